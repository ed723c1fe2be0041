/* escapes: jumps out of many frames, out of jumps' own handlers, past handlers that do not want them, and again. */
#include "guest.h"

#include <setjmp.h>

enum { DEPTH = SIZE(60, 400), ROUNDS = SIZE(6, 4000), TEXTS = SIZE(12, 60000) };

static jmp_buf outer, inner;

/* Something to do in the middle of everything: a loop, so that there are stops in it. */
NOINLINE static uint64_t work(uint64_t sum, int rounds) {
    for (int i = 0; i < rounds; i++) sum = mix(sum, (uint64_t)i);
    return sum;
}

/* Goes down and jumps from there, over all of these frames. It does return once in 2^64 times: a compiler that saw that it
 * never does would make a loop of it. */
NOINLINE static uint64_t descend(jmp_buf to, int depth, int value, volatile uint64_t *trail) {
    *trail = work(*trail, depth % 5 + 1);
    if (*trail == 0) return 0;
    if (depth == 0) longjmp(to, value);
    uint64_t below = descend(to, depth - 1, value, trail);
    *trail = mix(*trail, below);
    return below + 1;
}

/* A handler in the way: it sees each jump, wants only its own, and jumps on while it handles it. */
NOINLINE static uint64_t middle(int round, volatile uint64_t *trail) {
    volatile int seen = 0;
    int value = setjmp(inner);
    if (value != 0) {
        seen = seen + value;
        *trail = work(mix(*trail, (uint64_t)seen), 7);
        if (value > 3) descend(outer, DEPTH / 2, value + round, trail);
    }
    if (seen < 6) descend(inner, DEPTH, seen + 1, trail);
    descend(round % 2 == 0 ? outer : inner, DEPTH, 40, trail);
    return 0;
}

NOINLINE static uint64_t round_of(int round, uint64_t sum) {
    volatile uint64_t trail = sum;
    /* Not an `if`: the handler is entered again for every jump that ends here. */
    switch (setjmp(outer)) {
    case 0: trail = mix(trail, middle(round, &trail)); break;
    case 7: trail = mix(trail, work(trail, 9)); break;
    default: trail = mix(trail, work(trail, 3)); break;
    }
    return work(trail, 5);
}

/* Sums and products in parentheses, by recursive descent; whatever is wrong is told by a jump to the top. */
struct parser {
    const char *at;
    int depth;
    jmp_buf failed;
};

static int64_t sum_of(struct parser *parser);

static int64_t factor(struct parser *parser) {
    if (++parser->depth > 30) longjmp(parser->failed, 3);
    int64_t value = 0;
    if (*parser->at == '(') {
        parser->at++;
        value = sum_of(parser);
        if (*parser->at++ != ')') longjmp(parser->failed, 2);
    } else {
        if (*parser->at < '0' || *parser->at > '9') longjmp(parser->failed, 1);
        while (*parser->at >= '0' && *parser->at <= '9') value = (value * 10 + *parser->at++ - '0') & 0xffffff;
    }
    parser->depth--;
    return value;
}

static int64_t product(struct parser *parser) {
    int64_t value = factor(parser);
    while (*parser->at == '*') {
        parser->at++;
        value = value * factor(parser) & 0xffffff;
    }
    return value;
}

static int64_t sum_of(struct parser *parser) {
    int64_t value = product(parser);
    while (*parser->at == '+') {
        parser->at++;
        value = (value + product(parser)) & 0xffffff;
    }
    return value;
}

NOINLINE static int64_t parse(const char *text) {
    struct parser parser = {text, 0, {{0}}};
    int reason = setjmp(parser.failed);
    if (reason != 0) return -(int64_t)((parser.at - text) * 4 + reason);
    int64_t value = sum_of(&parser);
    if (*parser.at != '\0') longjmp(parser.failed, 4);
    return value;
}

/* A text that is an expression for a while. */
static void write_text(char *text, int length, uint64_t *numbers) {
    static const char signs[] = "((((12345678+++***))))";
    int open = 0;
    for (int i = 0; i < length; i++) {
        uint64_t number = next_number(numbers) >> 32;
        char sign = signs[number % (sizeof signs - 1)];
        /* Mostly what may follow. */
        if (number >> 8 & 7) {
            int after_value = i > 0 && (text[i - 1] == ')' || (text[i - 1] >= '0' && text[i - 1] <= '9'));
            sign = after_value ? (open > 0 && number & 16 ? ')' : "+*3"[number % 3]) : (number & 64 ? '(' : '7');
        }
        open += (sign == '(') - (sign == ')');
        text[i] = sign;
    }
    text[length] = '\0';
}

int main(void) {
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) sum = round_of(round, sum);
    uint64_t numbers = 12345;
    char text[41];
    for (int i = 0; i < TEXTS; i++) {
        write_text(text, i % 40 + 1, &numbers);
        sum = mix(sum, (uint64_t)parse(text));
    }
    return result(sum);
}
