// Files through the C library: whatever is printed must not depend on how often the process moved.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    char *names[64];
    int count = 0;
    DIR *directory = opendir(path);
    if (!directory) { printf("%s: %s\n", path, strerror(errno)); return; }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
    closedir(directory);
    qsort(names, count, sizeof *names, by_name);
    printf("%s:", path);
    for (int i = 0; i < count; i++) { printf(" %s", names[i]); free(names[i]); }
    printf("\n");
}

static void try(const char *what, int result) {
    if (result < 0) printf("%s: %s\n", what, strerror(errno));
    else printf("%s: done\n", what);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    try("mkdir", mkdir("/d", 0777));
    try("mkdir again", mkdir("/d", 0777));
    FILE *file = fopen("/d/file", "w+");
    for (int i = 0; i < 1000; i++) {
        fprintf(file, "line %d\n", i);
        if (i % 100 == 0) printf("written %d\n", i);
    }
    rewind(file);
    char line[64];
    int sum = 0, n;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "line %d", &n);
        sum += n;
        if (n % 250 == 0) printf("read %d\n", n);
    }
    printf("sum %d at %ld\n", sum, ftell(file));
    fclose(file);

    try("rename", rename("/d/file", "/d/moved"));
    try("symlink", symlink("d/moved", "/link"));
    struct stat status;
    try("stat", stat("/link", &status));
    printf("%lld bytes\n", (long long)status.st_size);
    list("/");
    list("/d");
    list("/none");
    try("rmdir", rmdir("/d"));
    try("escape", open("/../secret", O_RDONLY));

    int fd = open("/d/moved", O_RDWR | O_APPEND);
    try("unlink", unlink("/d/moved"));
    try("write", (int)write(fd, "the end", 7));
    lseek(fd, -7, SEEK_END);
    n = (int)read(fd, line, sizeof line);
    printf("%d bytes: %.*s\n", n, n, line);
    try("truncate", ftruncate(fd, 3));
    printf("now %lld\n", (long long)lseek(fd, 0, SEEK_END));
    close(fd);
    try("rmdir", rmdir("/d"));
    list("/");
    return 3;
}
