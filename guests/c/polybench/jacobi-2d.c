/* jacobi-2d: a stencil of five points. */
#include "../guest.h"

enum { N = SIZE(30, 400), STEPS = SIZE(4, 100) };

NOINLINE static void kernel(double (*A)[N], double (*B)[N]) {
    for (int t = 0; t < STEPS; t++) {
        for (int i = 1; i < N - 1; i++)
            for (int j = 1; j < N - 1; j++)
                B[i][j] = 0.2 * (A[i][j] + A[i][j - 1] + A[i][j + 1] + A[i + 1][j] + A[i - 1][j]);
        for (int i = 1; i < N - 1; i++)
            for (int j = 1; j < N - 1; j++)
                A[i][j] = 0.2 * (B[i][j] + B[i][j - 1] + B[i][j + 1] + B[i + 1][j] + B[i - 1][j]);
    }
}

int main(void) {
    MATRIX(A, N, N);
    MATRIX(B, N, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            A[i][j] = (double)i * (j + 2) / N;
            B[i][j] = (double)i * (j + 3) / N;
        }
    kernel(A, B);
    return RESULT_MATRIX(A, N, N);
}
