// Recursion, allocation, floats and function pointers; a line of output now and then.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tree { struct tree *left, *right; int key; };

static struct tree *insert(struct tree *tree, int key) {
    if (!tree) {
        tree = calloc(1, sizeof *tree);
        tree->key = key;
    } else if (key < tree->key) tree->left = insert(tree->left, key);
    else if (key > tree->key) tree->right = insert(tree->right, key);
    return tree;
}

static int depth(const struct tree *tree) {
    if (!tree) return 0;
    int left = depth(tree->left), right = depth(tree->right);
    return 1 + (left > right ? left : right);
}

static int walk(const struct tree *tree, int nth) {
    if (!tree) return nth;
    nth = walk(tree->left, nth);
    // In the middle of a deep stack.
    if (nth % 500 == 0) printf("key %d is %d\n", nth, tree->key);
    return walk(tree->right, nth + 1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static unsigned state = 12345;
static unsigned next(void) { return state = state * 1664525u + 1013904223u; }

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct tree *tree = NULL;
    for (int i = 0; i < 3000; i++) {
        tree = insert(tree, next() >> 4);
        if (i % 1000 == 0) printf("inserted %d\n", i);
    }
    printf("depth %d\n", depth(tree));
    printf("keys %d\n", walk(tree, 0));

    double *numbers = malloc(4000 * sizeof *numbers);
    for (int i = 0; i < 4000; i++) numbers[i] = sin(next() * 1e-5) * exp(i * 1e-3);
    printf("sorting\n");
    qsort(numbers, 4000, sizeof *numbers, compare);
    double sum = 0;
    for (int i = 0; i < 4000; i++) sum += numbers[i] * i;
    printf("%.17g %.17g %.17g\n", numbers[0], numbers[3999], sum);

    char *grown = NULL;
    size_t size = 1;
    for (int i = 0; i < 22; i++, size *= 2) {
        grown = realloc(grown, size);
        memset(grown + size / 2, i, size - size / 2);
        if (i % 7 == 0) printf("grown to %zu\n", size);
    }
    unsigned check = 0;
    for (size_t i = 0; i < size / 2; i++) check = check * 31 + (unsigned char)grown[i];
    printf("check %u\n", check);
    return 0;
}
