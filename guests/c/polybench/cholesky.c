/* cholesky: A = L L^T for a positive definite A, in place. */
#include "../guest.h"
#include <math.h>

enum { N = SIZE(40, 500) };

NOINLINE static void kernel(double (*A)[N]) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) A[i][j] -= A[i][k] * A[j][k];
            A[i][j] /= A[j][j];
        }
        for (int k = 0; k < i; k++) A[i][i] -= A[i][k] * A[i][k];
        A[i][i] = sqrt(A[i][i]);
    }
}

int main(void) {
    MATRIX(A, N, N);
    /* Symmetric with a dominant diagonal is positive definite. */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) A[i][j] = fraction(i + j, N) + (i == j ? N : 0);
    kernel(A);
    return RESULT_MATRIX(A, N, N);
}
