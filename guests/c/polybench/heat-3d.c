/* heat-3d: heat diffusion in three dimensions. */
#include "../guest.h"

enum { N = SIZE(12, 64), STEPS = SIZE(3, 40) };

NOINLINE static void step(double (*from)[N][N], double (*to)[N][N]) {
    for (int i = 1; i < N - 1; i++)
        for (int j = 1; j < N - 1; j++)
            for (int k = 1; k < N - 1; k++)
                to[i][j][k] = 0.125 * (from[i + 1][j][k] - 2 * from[i][j][k] + from[i - 1][j][k]) +
                              0.125 * (from[i][j + 1][k] - 2 * from[i][j][k] + from[i][j - 1][k]) +
                              0.125 * (from[i][j][k + 1] - 2 * from[i][j][k] + from[i][j][k - 1]) +
                              from[i][j][k];
}

int main(void) {
    CUBE(A, N, N, N);
    CUBE(B, N, N, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++) A[i][j][k] = B[i][j][k] = (double)(i + j + (N - k)) * 10 / N;
    for (int t = 1; t <= STEPS; t++) {
        step(A, B);
        step(B, A);
    }
    return RESULT_CUBE(A, N, N, N);
}
