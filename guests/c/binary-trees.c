/* binary-trees: builds and drops many trees, small and large (after the Benchmarks Game's definition). */
#include "guest.h"

enum { DEPTH = SIZE(8, 14) };

struct node {
    struct node *left, *right;
};

NOINLINE static struct node *grow(int depth) {
    struct node *node = allocate(sizeof *node);
    node->left = depth > 0 ? grow(depth - 1) : NULL;
    node->right = depth > 0 ? grow(depth - 1) : NULL;
    return node;
}

NOINLINE static unsigned count(const struct node *node) {
    return node->left == NULL ? 1 : 1 + count(node->left) + count(node->right);
}

NOINLINE static void drop(struct node *node) {
    if (node->left != NULL) {
        drop(node->left);
        drop(node->right);
    }
    free(node);
}

int main(void) {
    uint64_t sum = 0;
    struct node *lasting = grow(DEPTH);
    for (int depth = 4; depth <= DEPTH; depth += 4) {
        unsigned nodes = 0;
        for (int i = 0; i < 1 << (DEPTH - depth + 4); i++) {
            struct node *tree = grow(depth);
            nodes += count(tree);
            drop(tree);
        }
        sum = mix(sum, nodes);
    }
    sum = mix(sum, count(lasting));
    drop(lasting);
    return result(sum);
}
