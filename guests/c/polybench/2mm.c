/* 2mm: D = alpha A B C + beta D. */
#include "../guest.h"

enum { NI = SIZE(16, 240), NJ = SIZE(18, 250), NK = SIZE(22, 260), NL = SIZE(24, 270) };

NOINLINE static void kernel(double alpha, double beta, double (*tmp)[NJ], double (*A)[NK], double (*B)[NJ],
                            double (*C)[NL], double (*D)[NL]) {
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NJ; j++) {
            tmp[i][j] = 0;
            for (int k = 0; k < NK; k++) tmp[i][j] += alpha * A[i][k] * B[k][j];
        }
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NL; j++) {
            D[i][j] *= beta;
            for (int k = 0; k < NJ; k++) D[i][j] += tmp[i][k] * C[k][j];
        }
}

int main(void) {
    MATRIX(tmp, NI, NJ);
    MATRIX(A, NI, NK);
    MATRIX(B, NK, NJ);
    MATRIX(C, NJ, NL);
    MATRIX(D, NI, NL);
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NK; j++) A[i][j] = fraction(i * j + 1, NI);
    for (int i = 0; i < NK; i++)
        for (int j = 0; j < NJ; j++) B[i][j] = fraction(i * (j + 1), NJ);
    for (int i = 0; i < NJ; i++)
        for (int j = 0; j < NL; j++) C[i][j] = fraction(i * (j + 3) + 1, NL);
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NL; j++) D[i][j] = fraction(i * (j + 2), NK);
    kernel(1.5, 1.2, tmp, A, B, C, D);
    return RESULT_MATRIX(D, NI, NL);
}
