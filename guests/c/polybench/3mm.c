/* 3mm: G = (A B) (C D). */
#include "../guest.h"

enum { NI = SIZE(16, 200), NJ = SIZE(18, 210), NK = SIZE(20, 220), NL = SIZE(22, 230), NM = SIZE(24, 240) };

NOINLINE static void kernel(double (*E)[NJ], double (*A)[NK], double (*B)[NJ], double (*F)[NL], double (*C)[NM],
                            double (*D)[NL], double (*G)[NL]) {
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NJ; j++) {
            E[i][j] = 0;
            for (int k = 0; k < NK; k++) E[i][j] += A[i][k] * B[k][j];
        }
    for (int i = 0; i < NJ; i++)
        for (int j = 0; j < NL; j++) {
            F[i][j] = 0;
            for (int k = 0; k < NM; k++) F[i][j] += C[i][k] * D[k][j];
        }
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NL; j++) {
            G[i][j] = 0;
            for (int k = 0; k < NJ; k++) G[i][j] += E[i][k] * F[k][j];
        }
}

int main(void) {
    MATRIX(E, NI, NJ);
    MATRIX(A, NI, NK);
    MATRIX(B, NK, NJ);
    MATRIX(F, NJ, NL);
    MATRIX(C, NJ, NM);
    MATRIX(D, NM, NL);
    MATRIX(G, NI, NL);
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NK; j++) A[i][j] = fraction(i * j + 1, NI) / 5;
    for (int i = 0; i < NK; i++)
        for (int j = 0; j < NJ; j++) B[i][j] = fraction(i * (j + 1) + 2, NJ) / 5;
    for (int i = 0; i < NJ; i++)
        for (int j = 0; j < NM; j++) C[i][j] = fraction(i * (j + 3), NL) / 5;
    for (int i = 0; i < NM; i++)
        for (int j = 0; j < NL; j++) D[i][j] = fraction(i * (j + 2) + 2, NK) / 5;
    kernel(E, A, B, F, C, D, G);
    return RESULT_MATRIX(G, NI, NL);
}
