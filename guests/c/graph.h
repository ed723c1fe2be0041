/* A directed graph with a few nodes that many edges lead to, as graphs of the world have. */
#ifndef GRAPH_H
#define GRAPH_H

#include "guest.h"

struct graph {
    uint32_t nodes, edges;
    uint32_t *first; /* of a node: its first edge; one more than there are nodes */
    uint32_t *target;
};

static struct graph generate(uint32_t nodes, uint32_t edges) {
    struct graph graph = {nodes, edges, allocate(sizeof(uint32_t[nodes + 1])), allocate(sizeof(uint32_t[edges]))};
    uint32_t *source = allocate(sizeof(uint32_t[edges])), *target = allocate(sizeof(uint32_t[edges]));
    uint64_t numbers = 12345;
    memset(graph.first, 0, sizeof(uint32_t[nodes + 1]));
    for (uint32_t edge = 0; edge < edges; edge++) {
        source[edge] = (uint32_t)(next_number(&numbers) >> 32) % nodes;
        /* The square of a fraction prefers small numbers. */
        uint64_t number = next_number(&numbers) >> 44;
        target[edge] = (uint32_t)((number * number >> 20) * nodes >> 20);
        graph.first[source[edge] + 1]++;
    }
    for (uint32_t node = 0; node < nodes; node++) graph.first[node + 1] += graph.first[node];
    uint32_t *place = allocate(sizeof(uint32_t[nodes]));
    memcpy(place, graph.first, sizeof(uint32_t[nodes]));
    for (uint32_t edge = 0; edge < edges; edge++) graph.target[place[source[edge]]++] = target[edge];
    free(place);
    free(source);
    free(target);
    return graph;
}

#endif
