/* adi: heat diffusion in two dimensions by the alternating direction implicit method. */
#include "../guest.h"

enum { N = SIZE(30, 260), STEPS = SIZE(4, 40) };

NOINLINE static void kernel(double (*u)[N], double (*v)[N], double (*p)[N], double (*q)[N]) {
    double dx = 1.0 / N, dy = 1.0 / N, dt = 1.0 / STEPS;
    double mul1 = 2 * dt / (dx * dx), mul2 = 1 * dt / (dy * dy);
    double a = -mul1 / 2, b = 1 + mul1, c = a;
    double d = -mul2 / 2, e = 1 + mul2, f = d;
    for (int t = 1; t <= STEPS; t++) {
        for (int i = 1; i < N - 1; i++) {
            v[0][i] = 1;
            p[i][0] = 0;
            q[i][0] = v[0][i];
            for (int j = 1; j < N - 1; j++) {
                p[i][j] = -c / (a * p[i][j - 1] + b);
                q[i][j] = (-d * u[j][i - 1] + (1 + 2 * d) * u[j][i] - f * u[j][i + 1] - a * q[i][j - 1]) /
                          (a * p[i][j - 1] + b);
            }
            v[N - 1][i] = 1;
            for (int j = N - 2; j >= 1; j--) v[j][i] = p[i][j] * v[j + 1][i] + q[i][j];
        }
        for (int i = 1; i < N - 1; i++) {
            u[i][0] = 1;
            p[i][0] = 0;
            q[i][0] = u[i][0];
            for (int j = 1; j < N - 1; j++) {
                p[i][j] = -f / (d * p[i][j - 1] + e);
                q[i][j] = (-a * v[i - 1][j] + (1 + 2 * a) * v[i][j] - c * v[i + 1][j] - d * q[i][j - 1]) /
                          (d * p[i][j - 1] + e);
            }
            u[i][N - 1] = 1;
            for (int j = N - 2; j >= 1; j--) u[i][j] = p[i][j] * u[i][j + 1] + q[i][j];
        }
    }
}

int main(void) {
    MATRIX(u, N, N);
    MATRIX(v, N, N);
    MATRIX(p, N, N);
    MATRIX(q, N, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            u[i][j] = (double)(i + N - j) / N;
            v[i][j] = 0;
        }
    kernel(u, v, p, q);
    return RESULT_MATRIX(u, N, N);
}
