/* lu: A = L U, in place, without pivoting. */
#include "../guest.h"

enum { N = SIZE(40, 380) };

NOINLINE static void kernel(double (*A)[N]) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) A[i][j] -= A[i][k] * A[k][j];
            A[i][j] /= A[j][j];
        }
        for (int j = i; j < N; j++)
            for (int k = 0; k < i; k++) A[i][j] -= A[i][k] * A[k][j];
    }
}

int main(void) {
    MATRIX(A, N, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) A[i][j] = fraction(i * 3 + j, N) + (i == j ? N : 0);
    kernel(A);
    return RESULT_MATRIX(A, N, N);
}
