/* syrk: C = alpha A A^T + beta C, the lower triangle of a symmetric C. */
#include "../guest.h"

enum { M = SIZE(24, 420), N = SIZE(30, 480) };

NOINLINE static void kernel(double alpha, double beta, double (*C)[N], double (*A)[M]) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j <= i; j++) C[i][j] *= beta;
        for (int k = 0; k < M; k++)
            for (int j = 0; j <= i; j++) C[i][j] += alpha * A[i][k] * A[j][k];
    }
}

int main(void) {
    MATRIX(C, N, N);
    MATRIX(A, N, M);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) A[i][j] = fraction(i * j + 1, N);
        for (int j = 0; j < N; j++) C[i][j] = fraction(i * j + 2, M);
    }
    kernel(1.5, 1.2, C, A);
    return RESULT_MATRIX(C, N, N);
}
