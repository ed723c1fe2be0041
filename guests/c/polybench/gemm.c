/* gemm: C = alpha A B + beta C. */
#include "../guest.h"

enum { NI = SIZE(20, 320), NJ = SIZE(25, 330), NK = SIZE(30, 340) };

NOINLINE static void kernel(double alpha, double beta, double (*C)[NJ], double (*A)[NK], double (*B)[NJ]) {
    for (int i = 0; i < NI; i++) {
        for (int j = 0; j < NJ; j++) C[i][j] *= beta;
        for (int k = 0; k < NK; k++)
            for (int j = 0; j < NJ; j++) C[i][j] += alpha * A[i][k] * B[k][j];
    }
}

int main(void) {
    MATRIX(C, NI, NJ);
    MATRIX(A, NI, NK);
    MATRIX(B, NK, NJ);
    for (int i = 0; i < NI; i++)
        for (int j = 0; j < NJ; j++) C[i][j] = fraction(i * j + 1, NI);
    for (int i = 0; i < NI; i++)
        for (int k = 0; k < NK; k++) A[i][k] = fraction(i * (k + 1), NK);
    for (int k = 0; k < NK; k++)
        for (int j = 0; j < NJ; j++) B[k][j] = fraction(k * (j + 2), NJ);
    kernel(1.5, 1.2, C, A, B);
    return RESULT_MATRIX(C, NI, NJ);
}
