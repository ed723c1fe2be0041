/* bfs: distances from some nodes to all others of a generated graph, breadth first. */
#include "graph.h"

enum { NODES = SIZE(500, 60000), EDGES = SIZE(3000, 480000), SOURCES = 6 };

NOINLINE static uint64_t search(const struct graph *graph, uint32_t source, int32_t *distance, uint32_t *queue) {
    for (uint32_t node = 0; node < graph->nodes; node++) distance[node] = -1;
    uint32_t head = 0, tail = 0;
    distance[source] = 0;
    queue[tail++] = source;
    while (head < tail) {
        uint32_t node = queue[head++];
        for (uint32_t edge = graph->first[node]; edge < graph->first[node + 1]; edge++) {
            uint32_t next = graph->target[edge];
            if (distance[next] < 0) {
                distance[next] = distance[node] + 1;
                queue[tail++] = next;
            }
        }
    }
    uint64_t sum = 0;
    for (uint32_t node = 0; node < graph->nodes; node++) sum += (uint64_t)(distance[node] + 1);
    return mix(sum, tail);
}

int main(void) {
    struct graph graph = generate(NODES, EDGES);
    int32_t *distance = allocate(sizeof(int32_t[NODES]));
    uint32_t *queue = allocate(sizeof(uint32_t[NODES]));
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SOURCES; i++) sum = mix(sum, search(&graph, i * 73 + 1, distance, queue));
    return result(sum);
}
