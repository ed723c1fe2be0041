/* bytecode: an interpreter for a small stack machine, running a program that counts primes. */
#include "guest.h"

enum { LIMIT = SIZE(200, 50000) };

enum op { PUSH, LOAD, STORE, JUMP, JUMP_IF_ZERO, CALL, LABEL, ADD, MULTIPLY, REMAINDER, LESS, RETURN, PRINT, HALT };

static int has_operand(int32_t op) { return op <= LABEL; }

static int names_label(int32_t op) { return op >= JUMP && op <= CALL; }

struct machine {
    int32_t stack[64], locals[16];
    int32_t returns[16];
    uint64_t output;
};

enum local { N, COUNT, DIVISOR, ANSWER };
enum label { NEXT, IS_PRIME, TRY, PRIME, COMPOSITE, END, LABELS };

static const int32_t source[] = {
    PUSH, 2, STORE, N,
    LABEL, NEXT,
    LOAD, N, PUSH, LIMIT, LESS, JUMP_IF_ZERO, END,
    CALL, IS_PRIME,
    LOAD, COUNT, LOAD, ANSWER, ADD, STORE, COUNT,
    LOAD, N, PUSH, 1, ADD, STORE, N,
    JUMP, NEXT,

    LABEL, IS_PRIME,
    PUSH, 2, STORE, DIVISOR,
    LABEL, TRY,
    LOAD, DIVISOR, LOAD, DIVISOR, MULTIPLY, LOAD, N, PUSH, 1, ADD, LESS, JUMP_IF_ZERO, PRIME,
    LOAD, N, LOAD, DIVISOR, REMAINDER, JUMP_IF_ZERO, COMPOSITE,
    LOAD, DIVISOR, PUSH, 1, ADD, STORE, DIVISOR,
    JUMP, TRY,
    LABEL, PRIME,
    PUSH, 1, STORE, ANSWER, RETURN,
    LABEL, COMPOSITE,
    PUSH, 0, STORE, ANSWER, RETURN,

    LABEL, END,
    LOAD, COUNT, PRINT, HALT,
};

enum { WORDS = sizeof source / sizeof *source };

/* Drops the labels and puts addresses in the place of their names. */
static int32_t *assemble(void) {
    int32_t *code = allocate(sizeof source), length = 0, address[LABELS];
    for (int i = 0; i < WORDS; i += 1 + has_operand(source[i])) {
        if (source[i] == LABEL) {
            address[source[i + 1]] = length;
            continue;
        }
        code[length++] = source[i];
        if (has_operand(source[i])) code[length++] = source[i + 1];
    }
    for (int i = 0; i < length; i += 1 + has_operand(code[i]))
        if (names_label(code[i])) code[i + 1] = address[code[i + 1]];
    return code;
}

NOINLINE static void run(struct machine *machine, const int32_t *code) {
    int32_t *top = machine->stack, *back = machine->returns;
    for (const int32_t *at = code;;) {
        switch ((enum op)*at++) {
        case PUSH:
            *top++ = *at++;
            break;
        case LOAD:
            *top++ = machine->locals[*at++];
            break;
        case STORE:
            machine->locals[*at++] = *--top;
            break;
        case ADD:
            top--;
            top[-1] += top[0];
            break;
        case MULTIPLY:
            top--;
            top[-1] *= top[0];
            break;
        case REMAINDER:
            top--;
            top[-1] %= top[0];
            break;
        case LESS:
            top--;
            top[-1] = top[-1] < top[0];
            break;
        case JUMP:
            at = code + *at;
            break;
        case JUMP_IF_ZERO:
            at = *--top == 0 ? code + *at : at + 1;
            break;
        case CALL:
            *back++ = (int32_t)(at + 1 - code);
            at = code + *at;
            break;
        case RETURN:
            at = code + *--back;
            break;
        case PRINT:
            machine->output = mix(machine->output, (uint64_t)*--top);
            break;
        case LABEL:
        case HALT:
            return;
        }
    }
}

int main(void) {
    struct machine *machine = allocate(sizeof *machine);
    memset(machine, 0, sizeof *machine);
    run(machine, assemble());
    return result(machine->output);
}
