/* gemver: a rank-2 update, then two matrix-vector products. */
#include "../guest.h"

enum { N = SIZE(60, 1300) };

NOINLINE static void kernel(double alpha, double beta, double (*A)[N], double *u1, double *v1, double *u2,
                            double *v2, double *w, double *x, double *y, double *z) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) A[i][j] += u1[i] * v1[j] + u2[i] * v2[j];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) x[i] += beta * A[j][i] * y[j];
    for (int i = 0; i < N; i++) x[i] += z[i];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) w[i] += alpha * A[i][j] * x[j];
}

int main(void) {
    MATRIX(A, N, N);
    VECTOR(u1, N);
    VECTOR(v1, N);
    VECTOR(u2, N);
    VECTOR(v2, N);
    VECTOR(w, N);
    VECTOR(x, N);
    VECTOR(y, N);
    VECTOR(z, N);
    for (int i = 0; i < N; i++) {
        u1[i] = i;
        u2[i] = (i + 1.0) / N / 2;
        v1[i] = (i + 1.0) / N / 4;
        v2[i] = (i + 1.0) / N / 6;
        y[i] = (i + 1.0) / N / 8;
        z[i] = (i + 1.0) / N / 9;
        x[i] = w[i] = 0;
        for (int j = 0; j < N; j++) A[i][j] = fraction(i * j, N);
    }
    kernel(1.5, 1.2, A, u1, v1, u2, v2, w, x, y, z);
    return RESULT_VECTOR(w, N);
}
