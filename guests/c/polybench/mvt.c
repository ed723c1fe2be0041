/* mvt: x1 += A y1 and x2 += A^T y2. */
#include "../guest.h"

enum { N = SIZE(60, 900), ROUNDS = SIZE(1, 10) };

NOINLINE static void kernel(double *x1, double *x2, double *y1, double *y2, double (*A)[N]) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) x1[i] += A[i][j] * y1[j];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) x2[i] += A[j][i] * y2[j];
}

int main(void) {
    MATRIX(A, N, N);
    VECTOR(x1, N);
    VECTOR(x2, N);
    VECTOR(y1, N);
    VECTOR(y2, N);
    for (int i = 0; i < N; i++) {
        x1[i] = fraction(i, N);
        x2[i] = fraction(i + 1, N);
        y1[i] = fraction(i + 3, N);
        y2[i] = fraction(i + 4, N);
        for (int j = 0; j < N; j++) A[i][j] = fraction(i * j, N);
    }
    for (int round = 0; round < ROUNDS; round++) kernel(x1, x2, y1, y2, A);
    return result(mix_doubles(mix_doubles(0, x1, N), x2, N));
}
