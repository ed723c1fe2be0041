// Sleeps, waits for input, looks at the clock.
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s with %d arguments\n", argv[0], argc - 1);
    struct timespec before, after, pause = {0, 2000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 3; i++) {
        nanosleep(&pause, NULL);
        printf("slept %d\n", i);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long ns = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    printf("%s\n", ns >= 6000000 ? "long enough" : "too short");
    char line[64];
    while (fgets(line, sizeof line, stdin)) printf("got %s", line);
    printf("end of input\n");
    return 0;
}
