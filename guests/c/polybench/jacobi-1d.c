/* jacobi-1d: a stencil of three points. */
#include "../guest.h"

enum { N = SIZE(100, 4000), STEPS = SIZE(10, 4000) };

NOINLINE static void kernel(double *A, double *B) {
    for (int t = 0; t < STEPS; t++) {
        for (int i = 1; i < N - 1; i++) B[i] = 0.33333 * (A[i - 1] + A[i] + A[i + 1]);
        for (int i = 1; i < N - 1; i++) A[i] = 0.33333 * (B[i - 1] + B[i] + B[i + 1]);
    }
}

int main(void) {
    VECTOR(A, N);
    VECTOR(B, N);
    for (int i = 0; i < N; i++) {
        A[i] = (i + 2.0) / N;
        B[i] = (i + 3.0) / N;
    }
    kernel(A, B);
    return RESULT_VECTOR(A, N);
}
