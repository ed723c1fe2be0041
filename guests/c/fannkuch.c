/* fannkuch: flips prefixes of all permutations of N numbers (after the Benchmarks Game's definition). */
#include "guest.h"

enum { N = SIZE(7, 10) };

/* How often the prefix that the first number names must be reversed until the first number is 0. */
NOINLINE static int flips(const int *permutation) {
    int p[N], count = 0;
    memcpy(p, permutation, sizeof p);
    while (p[0] != 0) {
        for (int low = 0, high = p[0]; low < high; low++, high--) {
            int swapped = p[low];
            p[low] = p[high];
            p[high] = swapped;
        }
        count++;
    }
    return count;
}

/* The next permutation: rotates growing prefixes. Returns 0 after the last. */
static int next(int *permutation, int *counts) {
    for (int r = 1; r < N; r++) {
        int first = permutation[0];
        for (int i = 0; i < r; i++) permutation[i] = permutation[i + 1];
        permutation[r] = first;
        if (++counts[r] <= r) return 1;
        counts[r] = 0;
    }
    return 0;
}

int main(void) {
    int permutation[N], counts[N] = {0}, most = 0, parity = 1;
    int64_t checksum = 0;
    for (int i = 0; i < N; i++) permutation[i] = i;
    do {
        int count = flips(permutation);
        if (count > most) most = count;
        checksum += parity * count;
        parity = -parity;
    } while (next(permutation, counts));
    return result(mix(mix(0, (uint64_t)most), (uint64_t)checksum));
}
