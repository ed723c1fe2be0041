/* pagerank: the rank of every node of a generated graph, by repeated distribution along its edges. */
#include "graph.h"

enum { NODES = SIZE(500, 40000), EDGES = SIZE(3000, 400000), ROUNDS = SIZE(5, 20) };

NOINLINE static void distribute(const struct graph *graph, const double *rank, double *next) {
    double lost = 0;
    for (uint32_t node = 0; node < graph->nodes; node++) next[node] = 0;
    for (uint32_t node = 0; node < graph->nodes; node++) {
        uint32_t from = graph->first[node], to = graph->first[node + 1];
        if (from == to) lost += rank[node];
        double share = rank[node] / (to - from);
        for (uint32_t edge = from; edge < to; edge++) next[graph->target[edge]] += share;
    }
    for (uint32_t node = 0; node < graph->nodes; node++)
        next[node] = 0.15 / graph->nodes + 0.85 * (next[node] + lost / graph->nodes);
}

int main(void) {
    struct graph graph = generate(NODES, EDGES);
    VECTOR(rank, NODES);
    VECTOR(next, NODES);
    for (uint32_t node = 0; node < NODES; node++) rank[node] = 1.0 / NODES;
    for (int round = 0; round < ROUNDS; round += 2) {
        distribute(&graph, rank, next);
        distribute(&graph, next, rank);
    }
    return RESULT_VECTOR(rank, NODES);
}
