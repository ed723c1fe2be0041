// Answers what it is told, line by line, and keeps what it was told on its stack and heap:
//   + NUMBER    add to the sum, and say it
//   push NAME   go one call deeper
//   pop         come back from it, and say the name
//   spin        compute until the end of time
//   trap        do what must not be done
//   keep        ask for a checkpoint, and say what came of it
//   grow MIB    ask for so much memory, use it, and say whether there is any
//   look        say whether that memory is as it was
//   end CODE    end
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((import_module("leap"), import_name("checkpoint"))) int checkpoint(void);

static void *volatile grown;
static long sum, *numbers, ints;
static int count;

__attribute__((noinline)) static unsigned spin(unsigned from) {
    unsigned x = from;
    for (unsigned long long turns = 0;; turns++) {
        x = x * 1664525u + 1013904223u;
        if (x == 42 && turns > 1ull << 62) return x;
    }
}

__attribute__((noinline)) static void talk(int depth, const char *name) {
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '+') {
            numbers = realloc(numbers, (count + 1) * sizeof *numbers);
            numbers[count++] = atol(line + 1);
            sum = 0;
            for (int i = 0; i < count; i++) sum += numbers[i];
            printf("%d numbers, sum %ld\n", count, sum);
        } else if (!strncmp(line, "push ", 5)) {
            printf("depth %d\n", depth + 1);
            talk(depth + 1, line + 5);
        } else if (!strcmp(line, "pop")) {
            printf("leaving %s\n", name);
            return;
        } else if (!strcmp(line, "spin")) {
            printf("spinning\n");
            printf("%u\n", spin(count));
        } else if (!strcmp(line, "keep")) {
            printf("answer %d\n", checkpoint());
        } else if (!strncmp(line, "grow ", 5)) {
            ints = atol(line + 5) << 18;
            grown = malloc(ints * sizeof(int));
            // No page is like another.
            for (long i = 0; grown && i < ints; i++) ((int *)grown)[i] = i;
            printf("%s\n", grown ? "there is" : "there is none");
        } else if (!strcmp(line, "look")) {
            int is_lost = 0;
            for (long i = 0; grown && i < ints; i++) is_lost |= ((int *)grown)[i] != i;
            printf("%s\n", is_lost ? "lost" : "as it was");
        } else if (!strcmp(line, "trap")) {
            __builtin_trap();
        } else if (!strncmp(line, "end ", 4)) {
            exit(atoi(line + 4));
        }
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
    if (getenv("GREETING")) printf("%s\n", getenv("GREETING"));
    talk(0, "nothing");
    return 0;
}
