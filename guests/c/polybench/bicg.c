/* bicg: s = A^T r and q = A p, the kernel of the biconjugate gradient method. */
#include "../guest.h"

enum { M = SIZE(50, 1000), N = SIZE(60, 1100), ROUNDS = SIZE(1, 16) };

NOINLINE static void kernel(double (*A)[M], double *s, double *q, double *p, double *r) {
    for (int i = 0; i < M; i++) s[i] = 0;
    for (int i = 0; i < N; i++) {
        q[i] = 0;
        for (int j = 0; j < M; j++) {
            s[j] += r[i] * A[i][j];
            q[i] += A[i][j] * p[j];
        }
    }
}

int main(void) {
    MATRIX(A, N, M);
    VECTOR(s, M);
    VECTOR(q, N);
    VECTOR(p, M);
    VECTOR(r, N);
    for (int i = 0; i < M; i++) p[i] = fraction(i, M);
    for (int i = 0; i < N; i++) {
        r[i] = fraction(i, N);
        for (int j = 0; j < M; j++) A[i][j] = fraction(i * (j + 1), N);
    }
    for (int round = 0; round < ROUNDS; round++) {
        kernel(A, s, q, p, r);
        p[round] += 0.5;
    }
    return result(mix_doubles(mix_doubles(0, s, M), q, N));
}
