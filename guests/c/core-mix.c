/* core-mix: what small embedded programs do: linked lists, integer matrices, a state machine that reads
 * text, and a CRC over everything. Written after the published description of CoreMark's workload; it is
 * not CoreMark and its results compare with nothing but themselves. */
#include "guest.h"

enum { ROUNDS = SIZE(4, 400), ITEMS = 120, N = 20, TEXT = 600 };

/* --- CRC-16 (polynomial 0xA001), bit by bit --- */

static uint16_t crc_byte(uint16_t crc, uint8_t byte) {
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = (uint16_t)(crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1);
    return crc;
}

static uint16_t crc_word(uint16_t crc, uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8) crc = crc_byte(crc, (uint8_t)(word >> shift));
    return crc;
}

/* --- Lists: find, reverse, merge sort with a comparison by pointer --- */

struct item {
    struct item *next;
    int16_t key;
    int16_t data;
};

typedef int (*comparison)(const struct item *, const struct item *);

static int by_key(const struct item *a, const struct item *b) { return a->key - b->key; }

static int by_data(const struct item *a, const struct item *b) {
    return crc_byte(0, (uint8_t)a->data) - crc_byte(0, (uint8_t)b->data);
}

static struct item *find(struct item *list, int16_t key) {
    while (list != NULL && list->key != key) list = list->next;
    return list;
}

static struct item *reverse(struct item *list) {
    struct item *reversed = NULL;
    while (list != NULL) {
        struct item *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

static struct item *merge(struct item *a, struct item *b, comparison compare) {
    struct item head, *tail = &head;
    while (a != NULL && b != NULL) {
        struct item **from = compare(a, b) <= 0 ? &a : &b;
        tail->next = *from;
        tail = *from;
        *from = tail->next;
    }
    tail->next = a != NULL ? a : b;
    return head.next;
}

static struct item *sort(struct item *list, comparison compare) {
    if (list == NULL || list->next == NULL) return list;
    struct item *middle = list, *end = list->next;
    while (end != NULL && end->next != NULL) {
        middle = middle->next;
        end = end->next->next;
    }
    struct item *second = middle->next;
    middle->next = NULL;
    return merge(sort(list, compare), sort(second, compare), compare);
}

NOINLINE static uint16_t lists(struct item *items, uint16_t crc, uint64_t *numbers) {
    for (int i = 0; i < ITEMS; i++) {
        items[i].next = i + 1 < ITEMS ? &items[i + 1] : NULL;
        items[i].key = (int16_t)(next_number(numbers) >> 52);
        items[i].data = (int16_t)i;
    }
    struct item *list = items;
    for (int i = 0; i < 40; i++) {
        struct item *found = find(list, (int16_t)(items[i].key ^ (i & 1)));
        crc = crc_word(crc, found == NULL ? 0xFFFF : (uint32_t)found->data);
        list = reverse(list);
    }
    list = sort(list, by_key);
    for (struct item *item = list; item != NULL; item = item->next) crc = crc_word(crc, (uint32_t)item->key);
    list = sort(list, by_data);
    for (struct item *item = list; item != NULL; item = item->next) crc = crc_word(crc, (uint32_t)item->data);
    return crc;
}

/* --- Matrices of small integers --- */

NOINLINE static uint16_t matrices(int16_t (*a)[N], int16_t (*b)[N], int32_t (*c)[N], uint16_t crc, int16_t value) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (int16_t)(a[i][j] + value);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) c[i][j] = a[i][j] * value;
    for (int i = 0; i < N; i++) crc = crc_word(crc, (uint32_t)c[i][N - 1 - i]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            c[i][j] = 0;
            for (int k = 0; k < N; k++) c[i][j] += a[i][k] * b[k][j];
        }
    for (int i = 0; i < N; i++) crc = crc_word(crc, (uint32_t)c[i][i]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            c[i][j] = 0;
            for (int k = 0; k < N; k++) {
                int32_t product = a[i][k] * b[k][j];
                c[i][j] += ((product >> 2) & 15) * ((product >> 5) & 127);
            }
        }
    for (int i = 0; i < N; i++) crc = crc_word(crc, (uint32_t)c[i][i]);
    return crc;
}

/* --- A state machine that tells kinds of numbers apart --- */

enum state { START, SIGN, INTEGER, FRACTION, EXPONENT_MARK, EXPONENT_SIGN, EXPONENT, INVALID, STATES };

static enum state step(enum state state, char c) {
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? FRACTION : INVALID;
    case SIGN:
        return digit ? INTEGER : c == '.' ? FRACTION : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT_MARK : INVALID;
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? EXPONENT_MARK : INVALID;
    case EXPONENT_MARK:
        return digit ? EXPONENT : c == '+' || c == '-' ? EXPONENT_SIGN : INVALID;
    case EXPONENT_SIGN:
    case EXPONENT:
        return digit ? EXPONENT : INVALID;
    default:
        return INVALID;
    }
}

NOINLINE static uint16_t texts(char *text, uint16_t crc, uint64_t *numbers) {
    static const char *const words[] = {"5012", "1234", "-874", "+122", "35.54400", ".1234500", "-110.700", "+0.64400",
                                        "5.500e+3", "-.123e-2", "-87e+832", "+0.6e-12", "T0.3e-1F", "-T.T++Tq", "1T3.4e4z", "34.0e-T^"};
    int length = 0;
    while (length < TEXT - 10) {
        for (const char *word = words[next_number(numbers) >> 60]; *word != 0; word++) text[length++] = *word;
        text[length++] = ',';
    }
    text[length] = 0;
    uint32_t finals[STATES] = {0}, visits[STATES] = {0};
    for (int pass = 0; pass < 2; pass++) {
        enum state state = START;
        for (const char *c = text; *c != 0; c++) {
            if (*c == ',') {
                finals[state]++;
                state = START;
            } else {
                state = step(state, *c);
                visits[state]++;
            }
        }
        /* The second pass reads a damaged text. */
        for (int i = 3; i < length; i += 17)
            if (text[i] != ',') text[i] ^= 1;
    }
    for (int i = 0; i < STATES; i++) crc = crc_word(crc_word(crc, finals[i]), visits[i]);
    return crc;
}

int main(void) {
    struct item *items = allocate(sizeof(struct item[ITEMS]));
    int16_t(*a)[N] = allocate(sizeof(int16_t[N][N]));
    int16_t(*b)[N] = allocate(sizeof(int16_t[N][N]));
    int32_t(*c)[N] = allocate(sizeof(int32_t[N][N]));
    char *text = allocate(TEXT);
    uint64_t numbers = 66;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (int16_t)(next_number(&numbers) >> 56);
            b[i][j] = (int16_t)(next_number(&numbers) >> 56);
        }
    uint64_t sum = 0;
    uint16_t crc = 0xFFFF;
    for (int round = 0; round < ROUNDS; round++) {
        crc = lists(items, crc, &numbers);
        crc = matrices(a, b, c, crc, (int16_t)(round & 3));
        crc = texts(text, crc, &numbers);
        sum = mix(sum, crc);
    }
    return result(sum);
}
