/* What the programs of the suite share: sizes, arrays, numbers that look random, and the result.
 *
 * A program prints one line, its checksum. Every back end, machine and compiler must print the same:
 * nothing here or in the programs depends on addresses, time, or the order of floating-point work.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tests capture and move programs many times on slow back ends; benchmarks run them at full size. */
#ifdef SMALL
#define SIZE(small, full) (small)
#else
#define SIZE(small, full) (full)
#endif

/* Keeps the compiler from folding the work into `main` or doing it at compile time. */
#define NOINLINE __attribute__((noinline))

/* Memory for a program's life. */
static inline void *allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == NULL) abort();
    return memory;
}

#define VECTOR(name, n) double *name = allocate(sizeof(double[n]))
#define MATRIX(name, n, m) double(*name)[m] = allocate(sizeof(double[n][m]))
#define CUBE(name, n, m, k) double(*name)[m][k] = allocate(sizeof(double[n][m][k]))

/* A number in [0, 1) to fill arrays with. */
static inline double fraction(int number, int of) { return (double)(number % of) / of; }

/* The next of a sequence of numbers that look random (xorshift64*). The state must not be 0. */
static inline uint64_t next_number(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

/* A checksum that depends on every bit and on the order. */
static inline uint64_t mix(uint64_t sum, uint64_t value) {
    sum = (sum ^ value) * 0x9E3779B97F4A7C15ULL;
    return sum ^ (sum >> 29);
}

static inline uint64_t mix_double(uint64_t sum, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mix(sum, bits);
}

static inline uint64_t mix_doubles(uint64_t sum, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) sum = mix_double(sum, values[i]);
    return sum;
}

/* Ends the program: prints the checksum as 16 hexadecimal digits. */
static inline int result(uint64_t sum) {
    char line[17];
    for (int i = 0; i < 16; i++) line[i] = "0123456789abcdef"[(sum >> (60 - 4 * i)) & 15];
    line[16] = '\n';
    return write(STDOUT_FILENO, line, sizeof line) == (ssize_t)sizeof line ? 0 : 1;
}

#define RESULT_VECTOR(name, n) result(mix_doubles(0, name, n))
#define RESULT_MATRIX(name, n, m) result(mix_doubles(0, &name[0][0], (size_t)(n) * (m)))
#define RESULT_CUBE(name, n, m, k) result(mix_doubles(0, &name[0][0][0], (size_t)(n) * (m) * (k)))

#endif
