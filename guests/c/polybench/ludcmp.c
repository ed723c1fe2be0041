/* ludcmp: solves A x = b by LU decomposition and substitution. */
#include "../guest.h"

enum { N = SIZE(40, 380) };

NOINLINE static void kernel(double (*A)[N], double *b, double *x, double *y) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i; j++) {
            double w = A[i][j];
            for (int k = 0; k < j; k++) w -= A[i][k] * A[k][j];
            A[i][j] = w / A[j][j];
        }
        for (int j = i; j < N; j++) {
            double w = A[i][j];
            for (int k = 0; k < i; k++) w -= A[i][k] * A[k][j];
            A[i][j] = w;
        }
    }
    for (int i = 0; i < N; i++) {
        double w = b[i];
        for (int j = 0; j < i; j++) w -= A[i][j] * y[j];
        y[i] = w;
    }
    for (int i = N - 1; i >= 0; i--) {
        double w = y[i];
        for (int j = i + 1; j < N; j++) w -= A[i][j] * x[j];
        x[i] = w / A[i][i];
    }
}

int main(void) {
    MATRIX(A, N, N);
    VECTOR(b, N);
    VECTOR(x, N);
    VECTOR(y, N);
    for (int i = 0; i < N; i++) {
        b[i] = (i + 1.0) / N / 2 + 4;
        for (int j = 0; j < N; j++) A[i][j] = fraction(i * 3 + j, N) + (i == j ? N : 0);
    }
    kernel(A, b, x, y);
    return RESULT_VECTOR(x, N);
}
