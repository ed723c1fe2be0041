/* gramschmidt: A = Q R by the modified Gram-Schmidt process. */
#include "../guest.h"
#include <math.h>

enum { M = SIZE(20, 220), N = SIZE(30, 260) };

NOINLINE static void kernel(double (*A)[N], double (*R)[N], double (*Q)[N]) {
    for (int k = 0; k < N; k++) {
        double norm = 0;
        for (int i = 0; i < M; i++) norm += A[i][k] * A[i][k];
        R[k][k] = sqrt(norm);
        for (int i = 0; i < M; i++) Q[i][k] = A[i][k] / R[k][k];
        for (int j = k + 1; j < N; j++) {
            R[k][j] = 0;
            for (int i = 0; i < M; i++) R[k][j] += Q[i][k] * A[i][j];
            for (int i = 0; i < M; i++) A[i][j] -= Q[i][k] * R[k][j];
        }
    }
}

int main(void) {
    MATRIX(A, M, N);
    MATRIX(R, N, N);
    MATRIX(Q, M, N);
    uint64_t state = 7;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) A[i][j] = 1 + (double)(next_number(&state) >> 40) / (1 << 24);
    memset(R, 0, sizeof(double[N][N]));
    kernel(A, R, Q);
    return result(mix_doubles(mix_doubles(0, &R[0][0], (size_t)N * N), &Q[0][0], (size_t)M * N));
}
