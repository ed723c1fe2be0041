/* gesummv: y = alpha A x + beta B x. */
#include "../guest.h"

enum { N = SIZE(60, 900), ROUNDS = SIZE(1, 16) };

NOINLINE static void kernel(double alpha, double beta, double (*A)[N], double (*B)[N], double *tmp, double *x,
                            double *y) {
    for (int i = 0; i < N; i++) {
        tmp[i] = 0;
        y[i] = 0;
        for (int j = 0; j < N; j++) {
            tmp[i] += A[i][j] * x[j];
            y[i] += B[i][j] * x[j];
        }
        y[i] = alpha * tmp[i] + beta * y[i];
    }
}

int main(void) {
    MATRIX(A, N, N);
    MATRIX(B, N, N);
    VECTOR(tmp, N);
    VECTOR(x, N);
    VECTOR(y, N);
    for (int i = 0; i < N; i++) {
        x[i] = fraction(i, N);
        for (int j = 0; j < N; j++) {
            A[i][j] = fraction(i * j + 1, N);
            B[i][j] = fraction(i * j + 2, N);
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        kernel(1.5, 1.2, A, B, tmp, x, y);
        x[round] += 0.5;
    }
    return RESULT_VECTOR(y, N);
}
