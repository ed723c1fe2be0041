/* nbody: five planets attract each other (after the Benchmarks Game's definition). */
#include "guest.h"
#include <math.h>

enum { BODIES = 5, STEPS = SIZE(500, 400000) };

struct body {
    double x, y, z, vx, vy, vz, mass;
};

NOINLINE static void advance(struct body *bodies, double dt) {
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            double dx = bodies[i].x - bodies[j].x;
            double dy = bodies[i].y - bodies[j].y;
            double dz = bodies[i].z - bodies[j].z;
            double square = dx * dx + dy * dy + dz * dz;
            double force = dt / (square * sqrt(square));
            bodies[i].vx -= dx * bodies[j].mass * force;
            bodies[i].vy -= dy * bodies[j].mass * force;
            bodies[i].vz -= dz * bodies[j].mass * force;
            bodies[j].vx += dx * bodies[i].mass * force;
            bodies[j].vy += dy * bodies[i].mass * force;
            bodies[j].vz += dz * bodies[i].mass * force;
        }
    for (int i = 0; i < BODIES; i++) {
        bodies[i].x += dt * bodies[i].vx;
        bodies[i].y += dt * bodies[i].vy;
        bodies[i].z += dt * bodies[i].vz;
    }
}

int main(void) {
    /* A heavy body in the middle, four that circle it; units of our own. */
    struct body bodies[BODIES] = {{0, 0, 0, 0, 0, 0, 40}};
    for (int i = 1; i < BODIES; i++) {
        double distance = 3.0 * i + 1;
        double speed = sqrt(40 / distance);
        struct body body = {distance, 0.1 * i, -0.05 * i, 0.01 * i, speed, 0.02, 0.01 / i};
        bodies[i] = body;
    }
    for (int step = 0; step < STEPS; step++) advance(bodies, 0.01);
    uint64_t sum = 0;
    for (int i = 0; i < BODIES; i++) sum = mix_doubles(sum, &bodies[i].x, 7);
    return result(sum);
}
