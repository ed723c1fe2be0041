/* atax: y = A^T (A x). */
#include "../guest.h"

enum { M = SIZE(50, 1000), N = SIZE(60, 1100), ROUNDS = SIZE(1, 16) };

NOINLINE static void kernel(double (*A)[N], double *x, double *y, double *tmp) {
    for (int i = 0; i < N; i++) y[i] = 0;
    for (int i = 0; i < M; i++) {
        tmp[i] = 0;
        for (int j = 0; j < N; j++) tmp[i] += A[i][j] * x[j];
        for (int j = 0; j < N; j++) y[j] += A[i][j] * tmp[i];
    }
}

int main(void) {
    MATRIX(A, M, N);
    VECTOR(x, N);
    VECTOR(y, N);
    VECTOR(tmp, M);
    for (int i = 0; i < N; i++) x[i] = 1 + i / (double)N;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) A[i][j] = fraction(i + j, N) / (5 * M);
    for (int round = 0; round < ROUNDS; round++) {
        kernel(A, x, y, tmp);
        x[round] += 0.5;
    }
    return RESULT_VECTOR(y, N);
}
