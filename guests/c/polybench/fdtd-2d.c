/* fdtd-2d: an electromagnetic wave by finite differences in the time domain. */
#include "../guest.h"

enum { NX = SIZE(24, 400), NY = SIZE(30, 440), STEPS = SIZE(4, 60) };

NOINLINE static void kernel(double (*ex)[NY], double (*ey)[NY], double (*hz)[NY], double *fict) {
    for (int t = 0; t < STEPS; t++) {
        for (int j = 0; j < NY; j++) ey[0][j] = fict[t];
        for (int i = 1; i < NX; i++)
            for (int j = 0; j < NY; j++) ey[i][j] -= 0.5 * (hz[i][j] - hz[i - 1][j]);
        for (int i = 0; i < NX; i++)
            for (int j = 1; j < NY; j++) ex[i][j] -= 0.5 * (hz[i][j] - hz[i][j - 1]);
        for (int i = 0; i < NX - 1; i++)
            for (int j = 0; j < NY - 1; j++)
                hz[i][j] -= 0.7 * (ex[i][j + 1] - ex[i][j] + ey[i + 1][j] - ey[i][j]);
    }
}

int main(void) {
    MATRIX(ex, NX, NY);
    MATRIX(ey, NX, NY);
    MATRIX(hz, NX, NY);
    VECTOR(fict, STEPS);
    for (int t = 0; t < STEPS; t++) fict[t] = t;
    for (int i = 0; i < NX; i++)
        for (int j = 0; j < NY; j++) {
            ex[i][j] = (double)i * (j + 1) / NX;
            ey[i][j] = (double)i * (j + 2) / NY;
            hz[i][j] = (double)i * (j + 3) / NX;
        }
    kernel(ex, ey, hz, fict);
    return RESULT_MATRIX(hz, NX, NY);
}
