/* durbin: solves a Toeplitz system by Levinson and Durbin's recursion. */
#include "../guest.h"

enum { N = SIZE(80, 2000), ROUNDS = SIZE(1, 6) };

NOINLINE static void kernel(double *r, double *y, double *z) {
    y[0] = -r[0];
    double beta = 1;
    double alpha = -r[0];
    for (int k = 1; k < N; k++) {
        beta = (1 - alpha * alpha) * beta;
        double sum = 0;
        for (int i = 0; i < k; i++) sum += r[k - i - 1] * y[i];
        alpha = -(r[k] + sum) / beta;
        for (int i = 0; i < k; i++) z[i] = y[i] + alpha * y[k - i - 1];
        for (int i = 0; i < k; i++) y[i] = z[i];
        y[k] = alpha;
    }
}

int main(void) {
    VECTOR(r, N);
    VECTOR(y, N);
    VECTOR(z, N);
    /* Coefficients that fall off quickly keep the system well conditioned. */
    for (int i = 0; i < N; i++) r[i] = 0.5 / ((i + 1.0) * (i + 1.0));
    for (int round = 0; round < ROUNDS; round++) {
        kernel(r, y, z);
        r[round] *= 0.9;
    }
    return RESULT_VECTOR(y, N);
}
