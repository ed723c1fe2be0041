/* trisolv: solves L x = b for a lower triangular L. */
#include "../guest.h"

enum { N = SIZE(60, 1100), ROUNDS = SIZE(1, 30) };

NOINLINE static void kernel(double (*L)[N], double *x, double *b) {
    for (int i = 0; i < N; i++) {
        x[i] = b[i];
        for (int j = 0; j < i; j++) x[i] -= L[i][j] * x[j];
        x[i] /= L[i][i];
    }
}

int main(void) {
    MATRIX(L, N, N);
    VECTOR(x, N);
    VECTOR(b, N);
    for (int i = 0; i < N; i++) {
        b[i] = i + 1;
        for (int j = 0; j <= i; j++) L[i][j] = (double)(i + N - j + 1) * 2 / N + (i == j ? N : 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        kernel(L, x, b);
        b[round] += x[N - 1 - round];
    }
    return RESULT_VECTOR(x, N);
}
