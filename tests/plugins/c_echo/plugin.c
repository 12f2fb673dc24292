/* c-echo: the whole plugin contract without an SDK, in C and the C library alone.
 *
 * One thread per connection ("lane"): it dials the host's socket, upgrades, and then serves
 * HTTP/1.1 on what it dialled. Tools: `echo` (also without X-Tool) and `sleep` {"seconds": n}.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HEAD = 16 << 10, MAX_BODY = 64 << 20, FIRST_DELAY_MS = 50, LAST_DELAY_MS = 500 };

static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static atomic_bool control_up, initialized, stopping;
static atomic_int running_calls;

/* One connection's bytes: what was received and not yet used. */
struct connection {
    int fd;
    size_t length;
    char buffer[MAX_HEAD];
};

struct request {
    char method[8], path[64], tool[72], type[128];
    long length; /* of the body, -1: chunked */
    bool close;
    char *body;
};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool receive(struct connection *c)
{
    if (c->length == sizeof c->buffer)
        return false;
    ssize_t got = recv(c->fd, c->buffer + c->length, sizeof c->buffer - c->length, 0);
    if (got <= 0)
        return false;
    c->length += (size_t)got;
    return true;
}

static void use(struct connection *c, size_t count)
{
    c->length -= count;
    memmove(c->buffer, c->buffer + count, c->length);
}

/* The length of what ends with `mark`, the mark included; 0 at end of file or without room. */
static size_t read_until(struct connection *c, const char *mark)
{
    for (;;) {
        char *found = memmem(c->buffer, c->length, mark, strlen(mark));
        if (found != NULL)
            return (size_t)(found - c->buffer) + strlen(mark);
        if (!receive(c))
            return 0;
    }
}

static bool read_exactly(struct connection *c, char *into, size_t count)
{
    while (count > 0) {
        if (c->length == 0 && !receive(c))
            return false;
        size_t part = count < c->length ? count : c->length;
        memcpy(into, c->buffer, part);
        use(c, part);
        into += part;
        count -= part;
    }
    return true;
}

/* Digits and nothing else, -1 otherwise: strtol alone takes signs, spaces and rubbish. */
static long number(const char *text, int base)
{
    char *end;
    if (!isxdigit((unsigned char)*text))
        return -1;
    errno = 0;
    long value = strtol(text, &end, base);
    return errno || (*end != '\0' && *end != ';') || value > MAX_BODY ? -1 : value;
}

static bool read_header(struct request *r, char *line, bool *has_length)
{
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    if (!strcasecmp(line, "content-length")) {
        long length = number(value, 10);
        if (length < 0 || *has_length)
            return false;
        *has_length = true;
        r->length = length;
    } else if (!strcasecmp(line, "transfer-encoding")) {
        if (strcasecmp(value, "chunked") || *has_length)
            return false;
        *has_length = true;
        r->length = -1;
    } else if (!strcasecmp(line, "x-tool")) {
        snprintf(r->tool, sizeof r->tool, "%s", value);
    } else if (!strcasecmp(line, "content-type")) {
        snprintf(r->type, sizeof r->type, "%s", value);
    } else if (!strcasecmp(line, "connection")) {
        r->close = !strcasecmp(value, "close");
    }
    return true;
}

static bool parse_head(struct request *r, char *head)
{
    bool has_length = false;
    char version[12], *rest, *line = strtok_r(head, "\r\n", &rest);
    if (line == NULL || sscanf(line, "%7s %63s %11s", r->method, r->path, version) != 3 ||
        strcmp(version, "HTTP/1.1"))
        return false;
    snprintf(r->type, sizeof r->type, "application/json");
    while ((line = strtok_r(NULL, "\r\n", &rest)) != NULL)
        if (!read_header(r, line, &has_length))
            return false;
    return true;
}

static bool read_chunks(struct connection *c, struct request *r)
{
    for (r->length = 0;;) {
        size_t line = read_until(c, "\r\n");
        if (line < 3)
            return false;
        c->buffer[line - 2] = '\0';
        long size = number(c->buffer, 16);
        use(c, line);
        if (size < 0 || r->length + size > MAX_BODY)
            return false;
        if (size == 0)
            break;
        char *larger = realloc(r->body, (size_t)(r->length + size) + 1);
        char end[2];
        if (larger == NULL)
            return false;
        r->body = larger;
        if (!read_exactly(c, r->body + r->length, (size_t)size) || !read_exactly(c, end, 2) ||
            memcmp(end, "\r\n", 2))
            return false;
        r->length += size;
    }
    size_t trailer;
    while ((trailer = read_until(c, "\r\n")) > 2)
        use(c, trailer);
    use(c, trailer);
    return trailer == 2;
}

static bool read_request(struct connection *c, struct request *r)
{
    char head[MAX_HEAD + 1];
    size_t length = read_until(c, "\r\n\r\n");
    if (length == 0)
        return false;
    memcpy(head, c->buffer, length);
    head[length] = '\0';
    use(c, length);
    if (!parse_head(r, head))
        return false;
    if (r->length < 0)
        return read_chunks(c, r);
    r->body = malloc((size_t)r->length + 1);
    return r->body != NULL && read_exactly(c, r->body, (size_t)r->length);
}

static bool answer(int fd, const char *status, const char *type, const char *body, size_t length)
{
    char head[384];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                        status, type, length);
    return send_all(fd, head, (size_t)size) && send_all(fd, body, length);
}

static bool answer_json(int fd, const char *json)
{
    return answer(fd, "200 OK", "application/json", json, strlen(json));
}

static bool problem(int fd, const char *status, const char *code, const char *detail)
{
    char body[512];
    int size = snprintf(body, sizeof body,
                        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                        "\"detail\":\"%s\",\"code\":\"%s\"}",
                        status + 4, atoi(status), detail, code);
    return answer(fd, status, "application/problem+json", body, (size_t)size);
}

/* {"seconds": n}: the host held the input against the schema, so looking for the key will do. */
static bool sleep_tool(int fd, const struct request *r)
{
    static const char key[] = "\"seconds\"";
    char *found = memmem(r->body, (size_t)r->length, key, strlen(key));
    double seconds = -1;
    if (found != NULL) {
        r->body[r->length] = '\0';
        char *value = found + strlen(key) + strspn(found + strlen(key), " \t\r\n:");
        seconds = isdigit((unsigned char)*value) ? strtod(value, NULL) : -1;
    }
    if (seconds < 0 || seconds > 86400)
        return problem(fd, "422 Unprocessable Content", "invalid_input",
                       "seconds from 0 to 86400 expected");
    /* The host says that it gave the call up by closing the connection. */
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    if (poll(&watched, 1, (int)(seconds * 1000)) > 0)
        return false;
    char body[64];
    snprintf(body, sizeof body, "{\"slept\":%g}", seconds);
    return answer_json(fd, body);
}

static bool execute(int fd, const struct request *r)
{
    if (!initialized)
        return problem(fd, "503 Service Unavailable", "not_running", "not initialized");
    if (!strcmp(r->tool, "sleep"))
        return sleep_tool(fd, r);
    if (*r->tool != '\0' && strcmp(r->tool, "echo"))
        return problem(fd, "404 Not Found", "no_tool", "echo or sleep expected");
    return answer(fd, "200 OK", r->type, r->body, (size_t)r->length);
}

static bool dispatch(int fd, const struct request *r)
{
    bool post = !strcmp(r->method, "POST");
    if (post && !strcmp(r->path, "/v1/execute"))
        return execute(fd, r);
    if (post && !strcmp(r->path, "/v1/initialize")) {
        return atomic_exchange(&initialized, true)
                   ? problem(fd, "409 Conflict", "already_initialized", "initialized before")
                   : answer_json(fd, "{}");
    }
    if (!strcmp(r->method, "GET") && !strcmp(r->path, "/v1/status"))
        return answer_json(fd, "{\"state\":\"ready\",\"detail\":\"\",\"metrics\":{}}");
    if (post && !strcmp(r->path, "/v1/events")) {
        printf("event %.*s\n", (int)r->length, r->body);
        fflush(stdout); /* in the log before it is taken */
        return answer_json(fd, "{}");
    }
    if (post && !strcmp(r->path, "/v1/cleanup"))
        return answer_json(fd, "{}");
    return problem(fd, "404 Not Found", "not_found", "no such path");
}

static bool serve_one(struct connection *c)
{
    struct request r = {0};
    bool good = read_request(c, &r);
    if (good) {
        running_calls++;
        good = dispatch(c->fd, &r) && !r.close;
        running_calls--;
    }
    free(r.body);
    return good;
}

static bool dial(struct connection *c, const char *lane)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, socket_path, sizeof address.sun_path);
    char head[256];
    int size = snprintf(head, sizeof head,
                        "GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
                        "Upgrade: PTTH/1.0\r\nX-Lane: %s\r\n\r\n", lane);
    c->length = 0;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        !send_all(c->fd, head, (size_t)size))
        return false;
    size_t end = read_until(c, "\r\n\r\n");
    bool upgraded = end > 0 && !memcmp(c->buffer, "HTTP/1.1 101 ", 13);
    use(c, end);
    return upgraded;
}

static void *serve_lane(void *name)
{
    const char *lane = name;
    bool control = !strcmp(lane, "control");
    struct connection *c = malloc(sizeof *c);
    for (long delay = FIRST_DELAY_MS; c != NULL && !stopping;) {
        if (!control && !control_up) { /* the control lane makes the instance exist */
            pause_ms(5);
            continue;
        }
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (dial(c, lane)) {
            if (control)
                control_up = true;
            delay = FIRST_DELAY_MS;
            while (serve_one(c) && !stopping)
                ;
            if (control)
                control_up = false;
        }
        close(c->fd);
        pause_ms(delay);
        delay = delay * 2 < LAST_DELAY_MS ? delay * 2 : LAST_DELAY_MS;
    }
    return NULL;
}

static void start_lane(const char *lane)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve_lane, (void *)lane) != 0)
        _exit(1);
}

int main(void)
{
    const char *folder = getenv("ORCHESTRATOR_SOCKETS"), *count = getenv("ORCHESTRATOR_CONNECTIONS");
    const char *events = getenv("ORCHESTRATOR_EVENTS");
    snprintf(socket_path, sizeof socket_path, "%s/plugin.sock",
             folder != NULL ? folder : "/run/orchestrator");

    /* Blocked in every thread, so that main alone takes them, at a time of its choosing. */
    sigset_t signals;
    int taken;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    start_lane("control");
    for (int left = count != NULL ? atoi(count) : 5; left > 0; left--)
        start_lane("calls");
    if (events != NULL && !strcmp(events, "1"))
        start_lane("events");

    sigwait(&signals, &taken);
    stopping = true;
    while (running_calls > 0) /* the host's SIGKILL bounds this */
        pause_ms(5);
    _exit(0);
}
