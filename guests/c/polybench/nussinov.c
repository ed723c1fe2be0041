/* nussinov: how many bases of an RNA sequence can pair when it folds (dynamic programming). */
#include "../guest.h"

enum { N = SIZE(60, 600) };

static int larger(int a, int b) { return a >= b ? a : b; }

static int match(char a, char b) { return a + b == 3; }

NOINLINE static void kernel(char *sequence, int (*table)[N]) {
    for (int i = N - 1; i >= 0; i--)
        for (int j = i + 1; j < N; j++) {
            if (j - 1 >= 0) table[i][j] = larger(table[i][j], table[i][j - 1]);
            if (i + 1 < N) table[i][j] = larger(table[i][j], table[i + 1][j]);
            if (j - 1 >= 0 && i + 1 < N) {
                /* Neighbours do not pair. */
                int pair = i < j - 1 ? match(sequence[i], sequence[j]) : 0;
                table[i][j] = larger(table[i][j], table[i + 1][j - 1] + pair);
            }
            for (int k = i + 1; k < j; k++) table[i][j] = larger(table[i][j], table[i][k] + table[k + 1][j]);
        }
}

int main(void) {
    char *sequence = allocate(N);
    int(*table)[N] = allocate(sizeof(int[N][N]));
    for (int i = 0; i < N; i++) sequence[i] = (char)((i + 1) % 4);
    memset(table, 0, sizeof(int[N][N]));
    kernel(sequence, table);
    uint64_t sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = i; j < N; j++) sum = mix(sum, (uint64_t)table[i][j]);
    return result(sum);
}
