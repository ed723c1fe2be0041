/* mandelbrot: which points of a grid belong to the set (after the Benchmarks Game's definition). */
#include "guest.h"

enum { N = SIZE(40, 500), LIMIT = 50 };

NOINLINE static int belongs(double cr, double ci) {
    double r = 0, i = 0, rr = 0, ii = 0;
    for (int n = 0; n < LIMIT && rr + ii <= 4; n++) {
        i = 2 * r * i + ci;
        r = rr - ii + cr;
        rr = r * r;
        ii = i * i;
    }
    return rr + ii <= 4;
}

int main(void) {
    uint64_t sum = 0;
    for (int y = 0; y < N; y++) {
        uint64_t bits = 0;
        for (int x = 0; x < N; x++) {
            bits = bits << 1 | (uint64_t)belongs(2.0 * x / N - 1.5, 2.0 * y / N - 1);
            if (x % 64 == 63 || x == N - 1) {
                sum = mix(sum, bits);
                bits = 0;
            }
        }
    }
    return result(sum);
}
