/* doitgen: multiresolution analysis; every row of a cube times one matrix. */
#include "../guest.h"

enum { NQ = SIZE(12, 70), NR = SIZE(14, 75), NP = SIZE(16, 80) };

NOINLINE static void kernel(double (*A)[NQ][NP], double (*C4)[NP], double *sum) {
    for (int r = 0; r < NR; r++)
        for (int q = 0; q < NQ; q++) {
            for (int p = 0; p < NP; p++) {
                sum[p] = 0;
                for (int s = 0; s < NP; s++) sum[p] += A[r][q][s] * C4[s][p];
            }
            for (int p = 0; p < NP; p++) A[r][q][p] = sum[p];
        }
}

int main(void) {
    CUBE(A, NR, NQ, NP);
    MATRIX(C4, NP, NP);
    VECTOR(sum, NP);
    for (int i = 0; i < NR; i++)
        for (int j = 0; j < NQ; j++)
            for (int k = 0; k < NP; k++) A[i][j][k] = fraction(i * j + k, NP);
    for (int i = 0; i < NP; i++)
        for (int j = 0; j < NP; j++) C4[i][j] = fraction(i * j, NP);
    kernel(A, C4, sum);
    return RESULT_CUBE(A, NR, NQ, NP);
}
