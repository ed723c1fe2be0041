/* syr2k: C = alpha A B^T + alpha B A^T + beta C, the lower triangle of a symmetric C. */
#include "../guest.h"

enum { M = SIZE(24, 320), N = SIZE(30, 380) };

NOINLINE static void kernel(double alpha, double beta, double (*C)[N], double (*A)[M], double (*B)[M]) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j <= i; j++) C[i][j] *= beta;
        for (int k = 0; k < M; k++)
            for (int j = 0; j <= i; j++) C[i][j] += A[j][k] * alpha * B[i][k] + B[j][k] * alpha * A[i][k];
    }
}

int main(void) {
    MATRIX(C, N, N);
    MATRIX(A, N, M);
    MATRIX(B, N, M);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            A[i][j] = fraction(i * j + 1, N);
            B[i][j] = fraction(i * j + 2, M);
        }
        for (int j = 0; j < N; j++) C[i][j] = fraction(i * j + 3, N);
    }
    kernel(1.5, 1.2, C, A, B);
    return RESULT_MATRIX(C, N, N);
}
