/* The program in the engine tests' image: does what it is told, then waits for SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile unsigned long spins;

static void leave(int signal_number) { (void)signal_number; _exit(0); }

/* Not at once: the engine hears of no OOM before its shim watches, a moment after the start. */
static void eat(long megabytes) {
    usleep(500000);
    for (long i = 0; i < megabytes; i++) {
        char *piece = malloc(1 << 20);
        if (piece == NULL) _exit(9);
        memset(piece, 1, 1 << 20);
    }
}

/* "out:text" and "err:text", each a line. */
static void say(char **words) {
    for (; *words != NULL; words++) {
        FILE *stream = strncmp(*words, "err:", 4) == 0 ? stderr : stdout;
        fprintf(stream, "%s\n", *words + 4);
        fflush(stream);
        usleep(20000); /* the two streams are read by two threads of the engine */
    }
}

static void print_long(long length) {
    for (long i = 0; i < length; i++) putchar('x');
    putchar('\n');
    puts("after");
    fflush(stdout);
}

static void print_file(const char *path) {
    char buffer[65536];
    FILE *file = fopen(path, "r");
    if (file == NULL) { perror(path); fflush(stderr); return; }
    size_t size = fread(buffer, 1, sizeof buffer, file);
    fwrite(buffer, 1, size, stdout);
    fclose(file);
    fflush(stdout);
}

/* Writes until the disk is full or `limit` megabytes are there; says how many bytes fit. */
static void fill(const char *path, long limit) {
    static char piece[65536];
    long long written = 0;
    FILE *file = fopen(path, "w");
    if (file == NULL) { perror(path); fflush(stderr); return; }
    setvbuf(file, NULL, _IONBF, 0);
    while (written < (long long)limit << 20) {
        size_t size = fwrite(piece, 1, sizeof piece, file);
        written += size;
        if (size < sizeof piece) break;
    }
    fclose(file);
    printf("%lld\n", written);
    fflush(stdout);
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "sleep";
    long number = count > 2 ? atol(words[2]) : 0;
    signal(SIGTERM, strcmp(verb, "stubborn") == 0 ? SIG_IGN : leave);
    if (strcmp(verb, "exit") == 0) return (int)number;
    if (strcmp(verb, "eat") == 0) eat(number);
    if (strcmp(verb, "eat-in-child") == 0 && fork() == 0) { eat(number); _exit(0); }
    if (strcmp(verb, "say") == 0) say(words + 2);
    if (strcmp(verb, "long") == 0) print_long(number);
    if (strcmp(verb, "cat") == 0) print_file(words[2]);
    if (strcmp(verb, "fill") == 0) fill(words[2], atol(words[3]));
    if (strcmp(verb, "spin") == 0) for (;;) spins++;
    for (;;) pause();
}
