/* correlation: the correlation matrix of M attributes over N points. */
#include "../guest.h"
#include <math.h>

enum { M = SIZE(24, 240), N = SIZE(30, 300) };

NOINLINE static void kernel(double (*data)[M], double (*corr)[M], double *mean, double *stddev) {
    for (int j = 0; j < M; j++) {
        mean[j] = 0;
        for (int i = 0; i < N; i++) mean[j] += data[i][j];
        mean[j] /= N;
    }
    for (int j = 0; j < M; j++) {
        stddev[j] = 0;
        for (int i = 0; i < N; i++) stddev[j] += (data[i][j] - mean[j]) * (data[i][j] - mean[j]);
        stddev[j] = sqrt(stddev[j] / N);
        /* A constant attribute correlates with nothing. */
        if (stddev[j] <= 0.1) stddev[j] = 1;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            data[i][j] -= mean[j];
            data[i][j] /= sqrt((double)N) * stddev[j];
        }
    for (int i = 0; i < M - 1; i++) {
        corr[i][i] = 1;
        for (int j = i + 1; j < M; j++) {
            corr[i][j] = 0;
            for (int k = 0; k < N; k++) corr[i][j] += data[k][i] * data[k][j];
            corr[j][i] = corr[i][j];
        }
    }
    corr[M - 1][M - 1] = 1;
}

int main(void) {
    MATRIX(data, N, M);
    MATRIX(corr, M, M);
    VECTOR(mean, M);
    VECTOR(stddev, M);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) data[i][j] = (double)(i * j) / M + i;
    kernel(data, corr, mean, stddev);
    return RESULT_MATRIX(corr, M, M);
}
