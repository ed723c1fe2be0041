/* seidel-2d: a stencil of nine points, in place. */
#include "../guest.h"

enum { N = SIZE(30, 300), STEPS = SIZE(3, 25) };

NOINLINE static void kernel(double (*A)[N]) {
    for (int t = 0; t < STEPS; t++)
        for (int i = 1; i < N - 1; i++)
            for (int j = 1; j < N - 1; j++)
                A[i][j] = (A[i - 1][j - 1] + A[i - 1][j] + A[i - 1][j + 1] + A[i][j - 1] + A[i][j] + A[i][j + 1] +
                           A[i + 1][j - 1] + A[i + 1][j] + A[i + 1][j + 1]) /
                          9;
}

int main(void) {
    MATRIX(A, N, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) A[i][j] = ((double)i * (j + 2) + 2) / N;
    kernel(A);
    return RESULT_MATRIX(A, N, N);
}
