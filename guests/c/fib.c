/* fib: Fibonacci numbers by their definition: nothing but calls. */
#include "guest.h"

NOINLINE static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(void) {
    /* Not a constant for the compiler. */
    volatile uint32_t n = SIZE(18, 35);
    return result(fib(n));
}
