/* sort-mix: records of many sizes are allocated, sorted by a comparison function, looked up, resized, freed. */
#include "guest.h"

enum { RECORDS = SIZE(300, 30000), ROUNDS = 3 };

struct record {
    uint32_t key, length;
    uint8_t bytes[];
};

static struct record *make(uint64_t *numbers) {
    uint64_t number = next_number(numbers);
    uint32_t length = (uint32_t)(number >> 58);
    struct record *record = allocate(sizeof *record + length);
    record->key = (uint32_t)number;
    record->length = length;
    memset(record->bytes, (int)(number >> 32 & 255), length);
    return record;
}

static int compare(const void *a, const void *b) {
    const struct record *left = *(struct record *const *)a, *right = *(struct record *const *)b;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return (int)left->length - (int)right->length;
}

NOINLINE static uint64_t round_of(struct record **records, uint64_t *numbers, uint64_t sum) {
    for (int i = 0; i < RECORDS; i++) records[i] = make(numbers);
    qsort(records, RECORDS, sizeof *records, compare);
    for (int i = 0; i < RECORDS; i++) {
        struct record wanted = {(uint32_t)next_number(numbers), 0}, *key = &wanted;
        struct record **found = bsearch(&key, records, RECORDS, sizeof *records, compare);
        sum = mix(sum, found == NULL ? records[i]->key : (uint64_t)(found - records));
    }
    /* Every third record grows, every third goes. */
    for (int i = 0; i < RECORDS; i += 3) {
        records[i] = realloc(records[i], sizeof(struct record) + records[i]->length + 100);
        if (records[i] == NULL) abort();
        records[i]->bytes[records[i]->length] = 1;
        free(records[i + 1 < RECORDS ? i + 1 : i]);
        records[i + 1 < RECORDS ? i + 1 : i] = make(numbers);
    }
    qsort(records, RECORDS, sizeof *records, compare);
    for (int i = 0; i < RECORDS; i++) {
        sum = mix(sum, (uint64_t)records[i]->key << 32 | records[i]->length);
        free(records[i]);
    }
    return sum;
}

int main(void) {
    struct record **records = allocate(sizeof(struct record *[RECORDS]));
    uint64_t numbers = 99, sum = 0;
    for (int round = 0; round < ROUNDS; round++) sum = round_of(records, &numbers, sum);
    return result(sum);
}
