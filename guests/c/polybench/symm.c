/* symm: C = alpha A B + beta C, with A symmetric and only its lower triangle stored. */
#include "../guest.h"

enum { M = SIZE(24, 300), N = SIZE(30, 330) };

NOINLINE static void kernel(double alpha, double beta, double (*C)[N], double (*A)[M], double (*B)[N]) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double temp = 0;
            for (int k = 0; k < i; k++) {
                C[k][j] += alpha * B[i][j] * A[i][k];
                temp += B[k][j] * A[i][k];
            }
            C[i][j] = beta * C[i][j] + alpha * B[i][j] * A[i][i] + alpha * temp;
        }
}

int main(void) {
    MATRIX(C, M, N);
    MATRIX(A, M, M);
    MATRIX(B, M, N);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            C[i][j] = fraction(i + j, 100) / M;
            B[i][j] = fraction(N + i - j, 100) / M;
        }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) A[i][j] = j <= i ? fraction(i + j, 100) / M : -999;
    kernel(1.5, 1.2, C, A, B);
    return RESULT_MATRIX(C, M, N);
}
