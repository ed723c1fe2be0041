/* covariance: the covariance matrix of M attributes over N points. */
#include "../guest.h"

enum { M = SIZE(24, 240), N = SIZE(30, 300) };

NOINLINE static void kernel(double (*data)[M], double (*cov)[M], double *mean) {
    for (int j = 0; j < M; j++) {
        mean[j] = 0;
        for (int i = 0; i < N; i++) mean[j] += data[i][j];
        mean[j] /= N;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) data[i][j] -= mean[j];
    for (int i = 0; i < M; i++)
        for (int j = i; j < M; j++) {
            cov[i][j] = 0;
            for (int k = 0; k < N; k++) cov[i][j] += data[k][i] * data[k][j];
            cov[i][j] /= N - 1.0;
            cov[j][i] = cov[i][j];
        }
}

int main(void) {
    MATRIX(data, N, M);
    MATRIX(cov, M, M);
    VECTOR(mean, M);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) data[i][j] = (double)(i * j) / M;
    kernel(data, cov, mean);
    return RESULT_MATRIX(cov, M, M);
}
