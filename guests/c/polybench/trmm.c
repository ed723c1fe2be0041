/* trmm: B = alpha A^T B, with A lower triangular with ones on its diagonal. */
#include "../guest.h"

enum { M = SIZE(24, 320), N = SIZE(30, 360) };

NOINLINE static void kernel(double alpha, double (*A)[M], double (*B)[N]) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            for (int k = i + 1; k < M; k++) B[i][j] += A[k][i] * B[k][j];
            B[i][j] *= alpha;
        }
}

int main(void) {
    MATRIX(A, M, M);
    MATRIX(B, M, N);
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < M; j++) A[i][j] = j < i ? fraction(i + j, M) : j == i;
        for (int j = 0; j < N; j++) B[i][j] = fraction(N + i - j, N);
    }
    kernel(1.5, A, B);
    return RESULT_MATRIX(B, M, N);
}
