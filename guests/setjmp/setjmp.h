/* `setjmp` and `longjmp` for WASI, which has none: what clang makes of them, see runtime.c. */
#ifndef SETJMP_H
#define SETJMP_H

typedef struct {
    /* The activation that called `setjmp`, and which of its calls it was, counted from 1. */
    void *activation;
    unsigned call;
    /* What a jump throws: where to, and with which value. */
    struct {
        void *to;
        int value;
    } thrown;
} jmp_buf[1];

int setjmp(jmp_buf to) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf to, int value);

#endif
