/* ackermann: deep recursion. */
#include "guest.h"

NOINLINE static uint32_t ackermann(uint32_t m, uint32_t n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

int main(void) {
    volatile uint32_t n = SIZE(3, 8);
    uint64_t sum = 0;
    for (int round = 0; round < SIZE(1, 6); round++) sum = mix(sum, ackermann(3, n));
    return result(sum);
}
