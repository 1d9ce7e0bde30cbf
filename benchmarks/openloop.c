/* An open loop of HTTP/1.1 POSTs: requests are sent when they are due, whether or not the server has kept up.
 *
 * Arrivals are random (a Poisson process), phase after phase of so many seconds at a rate. A latency is counted from
 * when the request was due to the last byte of its answer, so neither a slow server nor a slow generator hides waiting
 * (coordinated omission). A request that is not answered so long after it was due is given up and its connection closed,
 * as an impatient client would. Connections are kept and used again, the one used last first; where all are busy,
 * requests wait here, in the order in which they are due, and their latency runs.
 *
 *     openloop HOST PORT PATH BODIES CONNECTIONS TIMEOUT LIMIT SEED RATE:SECONDS[,RATE:SECONDS...] [MARK FIRST]
 *
 * BODIES is a file with a body on each line, sent in turn. Where MARK stands in one, a number of its length stands in
 * the request instead, counted from FIRST, so that no two are equal. Prints one JSON object; see openloop.py, which
 * compiles and runs this. One thread, epoll: Linux only. It takes a higher priority, where it may.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384   /* the longest head of an answer that is understood */
#define LOOK_SECONDS 0.01  /* how often the time-outs are looked at */
#define MAX_PHASES 64
#define NUMBERS 100000000000L /* numbers of the mark, before they begin again: eleven digits */

enum outcome { PENDING, ANSWERED, REFUSED, ERROR, TIMEOUT, UNSENT };
enum state { CONNECTING, IDLE, SENDING, RECEIVING };
enum framing { BY_LENGTH, CHUNKED, BY_CLOSE };

struct request {
    double due;     /* seconds from the start */
    float late;     /* how long after that this program came to it */
    float latency;  /* from due to the end of its answer */
    uint8_t phase, outcome;
};

struct connection {
    int fd, number;      /* number: its place among the live ones */
    enum state state;
    size_t request;      /* which one it carries */
    char *out;           /* what it sends */
    size_t out_bytes, sent;
    char in[HEAD_BYTES]; /* the head of the answer; then the last bytes of the body */
    size_t in_bytes;
    int in_body, status, keep, used; /* used: has answered before */
    enum framing framing;
    size_t body_left, body_bytes;
};

struct body { char *text; size_t bytes, mark; }; /* a whole request; mark: where the number goes, or bytes */

static struct { double rate, seconds, ends; } phases[MAX_PHASES];
static int phase_count;
static struct request *requests;
static size_t request_count, request_room, open_requests;
static size_t waiting;   /* the first request that waits for a connection; all after it do too */
static struct body *bodies;
static size_t body_count, next_body, longest;
static long next_number;
static size_t mark_bytes;
static struct connection **live, **idle, **closed;
static int live_count, idle_count, closed_count, most_live, connection_limit;
static long statuses[1000];
static double timeout, limit, start;
static struct addrinfo *address;
static int epoll;

static void fail(const char *what) { perror(what); exit(1); }

static void *need(void *memory) {
    if (!memory) fail("memory");
    return memory;
}

/* Seconds since the start. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9 - start;
}

static void conclude(size_t number, enum outcome outcome) {
    requests[number].outcome = outcome;
    requests[number].latency = now() - requests[number].due;
    open_requests--;
}

/* Connections */

static void watch(struct connection *c, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, how, c->fd, &event)) fail("epoll_ctl");
}

/* Memory is freed after the events of this turn, which may still name it. */
static void close_connection(struct connection *c) {
    close(c->fd);
    c->fd = -1;
    live[c->number] = live[--live_count];
    live[c->number]->number = c->number;
    for (int i = 0; c->state == IDLE && i < idle_count; i++)
        if (idle[i] == c) { memmove(idle + i, idle + i + 1, (--idle_count - i) * sizeof *idle); break; }
    closed[closed_count++] = c;
}

static void open_connection(size_t request);

static void give_up(struct connection *c, enum outcome outcome) {
    conclude(c->request, outcome);
    close_connection(c);
}

/* A connection failed. If it was kept, and not a byte of an answer came, the server may just have closed it as this
   request was on its way: it is sent again over a new one, as HTTP clients do (RFC 9112, 9.3.1), and once. */
static void broken(struct connection *c) {
    if (!c->used || c->in_body || c->in_bytes) { give_up(c, ERROR); return; }
    close_connection(c);
    open_connection(c->request);
}

static void receive(struct connection *c);

static void send_more(struct connection *c) {
    while (c->sent < c->out_bytes) {
        ssize_t n = send(c->fd, c->out + c->sent, c->out_bytes - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (c->state != SENDING) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->state = SENDING;
            return;
        }
        if (n < 0) { /* perhaps it was answered before all of it was sent */
            c->state = RECEIVING;
            receive(c);
            return;
        }
        c->sent += n;
    }
    if (c->state == SENDING) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = RECEIVING;
}

/* Gives a connection a request, the next body with the next number. */
static void carry(struct connection *c, size_t request) {
    const struct body *body = &bodies[next_body];
    next_body = (next_body + 1) % body_count;
    memcpy(c->out, body->text, body->bytes);
    if (body->mark < body->bytes) {
        char text[32];
        snprintf(text, sizeof text, "0.1%011ld", next_number);
        memcpy(c->out + body->mark, text, mark_bytes);
        next_number = (next_number + 1) % NUMBERS;
    }
    c->out_bytes = body->bytes;
    c->request = request;
    c->sent = c->in_bytes = c->in_body = 0;
}

static void open_connection(size_t request) {
    int one = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS) {
        close(fd);
        conclude(request, ERROR);
        return;
    }
    struct connection *c = need(malloc(sizeof *c));
    c->out = need(malloc(longest));
    c->fd = fd;
    c->state = CONNECTING;
    c->used = 0;
    c->number = live_count;
    live[live_count++] = c;
    if (live_count > most_live) most_live = live_count;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    carry(c, request);
}

static void connected(struct connection *c) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) { give_up(c, ERROR); return; }
    c->state = SENDING;
    send_more(c);
}

/* Sends what waits, as far as there are connections for it. */
static void dispatch(void) {
    double t = now();
    while (waiting < request_count) {
        if (t - requests[waiting].due >= timeout) { conclude(waiting++, UNSENT); continue; }
        if (idle_count) {
            struct connection *c = idle[--idle_count];
            c->state = RECEIVING;
            carry(c, waiting++);
            send_more(c);
        } else if (live_count < connection_limit) {
            open_connection(waiting++);
        } else {
            return;
        }
    }
}

/* Answers */

/* Reads the head if it is whole; what follows it is moved to the front. */
static int read_head(struct connection *c) {
    c->in[c->in_bytes] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return 0;
    *end = 0;
    c->status = c->in_bytes > 12 ? atoi(c->in + 9) : 0;
    char *length = strcasestr(c->in, "\ncontent-length:");
    c->framing = length ? BY_LENGTH : strcasestr(c->in, "\ntransfer-encoding: chunked") ? CHUNKED : BY_CLOSE;
    c->body_left = length ? strtoul(length + 16, 0, 10) : 0;
    c->keep = c->framing != BY_CLOSE && !strcasestr(c->in, "\nconnection: close");
    c->in_bytes -= end + 4 - c->in;
    memmove(c->in, end + 4, c->in_bytes);
    c->body_bytes = c->in_bytes;
    c->in_body = 1;
    return 1;
}

/* Whether the body has ended. Nothing follows an answer here, so the last chunk is the last of what was received. */
static int body_ended(struct connection *c) {
    if (c->framing == BY_LENGTH) return c->body_bytes >= c->body_left;
    if (c->framing == BY_CLOSE) return 0;
    if (c->body_bytes == 5) return !memcmp(c->in, "0\r\n\r\n", 5);
    return c->in_bytes >= 7 && !memcmp(c->in + c->in_bytes - 7, "\r\n0\r\n\r\n", 7);
}

static void answered(struct connection *c) {
    if (c->status > 0 && c->status < 1000) statuses[c->status]++;
    int refused = c->status == 503 || c->status == 429;
    conclude(c->request, c->status / 100 == 2 ? ANSWERED : refused ? REFUSED : ERROR);
    if (!c->keep || c->sent < c->out_bytes) { close_connection(c); return; }
    c->used = 1;
    c->state = IDLE;
    idle[idle_count++] = c;
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, c->in + c->in_bytes, sizeof c->in - 1 - c->in_bytes, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (c->state == IDLE) { close_connection(c); return; } /* closed by the server, or words nobody asked for */
    if (n == 0 && c->in_body && c->framing == BY_CLOSE) { answered(c); return; }
    if (n <= 0) { broken(c); return; }
    c->in_bytes += n;
    if (c->in_body) {
        c->body_bytes += n;
    } else if (!read_head(c)) {
        if (c->in_bytes == sizeof c->in - 1) give_up(c, ERROR);
        return;
    }
    if (body_ended(c)) { answered(c); return; }
    if (c->in_bytes > 7) { /* all that is still of use */
        memmove(c->in, c->in + c->in_bytes - 7, 7);
        c->in_bytes = 7;
    }
}

static void attend(struct epoll_event *event) {
    struct connection *c = event->data.ptr;
    if (c->fd < 0) return;
    if (c->state == CONNECTING) { connected(c); return; }
    if (c->state == SENDING && event->events & EPOLLOUT) send_more(c);
    if (c->fd >= 0 && event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
}

/* The loop */

static void arrive(double due, int phase, double t) {
    if (request_count == request_room) {
        request_room = request_room ? 2 * request_room : 1 << 16;
        requests = need(realloc(requests, request_room * sizeof *requests));
    }
    requests[request_count++] = (struct request){.due = due, .late = t - due, .phase = phase, .outcome = PENDING};
    open_requests++;
}

static void look_at_timeouts(double t) {
    for (int i = live_count - 1; i >= 0; i--)
        if (live[i]->state != IDLE && t - requests[live[i]->request].due >= timeout) give_up(live[i], TIMEOUT);
}

static void wait_for_events(double seconds) {
    struct pollfd ready = {.fd = epoll, .events = POLLIN};
    struct timespec t = {.tv_nsec = (long)(seconds * 1e9)};
    ppoll(&ready, 1, &t, 0); /* finer than epoll_wait's milliseconds, and older than epoll_pwait2 */
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 0);
    for (int i = 0; i < n; i++) attend(&events[i]);
    while (closed_count) {
        struct connection *c = closed[--closed_count];
        free(c->out);
        free(c);
    }
}

static double gap(double rate) { return -log1p(-drand48()) / rate; }

static void run(void) {
    int phase = 0;
    double due = gap(phases[0].rate), looked = 0;
    while (phase < phase_count || open_requests) {
        double t = now();
        while (phase < phase_count && due <= t) {
            if (due < phases[phase].ends) {
                arrive(due, phase, t);
                due += gap(phases[phase].rate);
            } else if (++phase < phase_count) {
                due = phases[phase - 1].ends + gap(phases[phase].rate); /* a Poisson process has no memory */
            }
        }
        dispatch();
        if (t - looked >= LOOK_SECONDS) look_at_timeouts(looked = t);
        double pause = phase < phase_count ? due - now() : LOOK_SECONDS;
        wait_for_events(pause < 0 ? 0 : pause > LOOK_SECONDS ? LOOK_SECONDS : pause);
    }
}

/* The report */

struct values { float *at; size_t count; };

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The least value that is not below this share of them, in milliseconds; null where there is none. */
static void print_quantile(const char *name, const struct values *values, double share) {
    if (!values->count) { printf(",\"%s\":null", name); return; }
    size_t rank = (size_t)ceil(share * values->count);
    printf(",\"%s\":%.4f", name, values->at[rank ? rank - 1 : 0] * 1e3);
}

/* What became of the requests of one phase, or (phase < 0) of those due in an interval. */
static void print_window(int phase, double from, double to) {
    static struct values answered, refused, late;
    if (!answered.at) {
        answered.at = need(malloc((request_count + 1) * sizeof(float)));
        refused.at = need(malloc((request_count + 1) * sizeof(float)));
        late.at = need(malloc((request_count + 1) * sizeof(float)));
    }
    answered.count = refused.count = late.count = 0;
    long counts[UNSENT + 1] = {0}, in_limit = 0;
    for (size_t i = 0; i < request_count; i++) {
        const struct request *r = &requests[i];
        if (phase >= 0 ? r->phase != phase : r->due < from || r->due >= to) continue;
        counts[r->outcome]++;
        late.at[late.count++] = r->late;
        if (r->outcome == ANSWERED) answered.at[answered.count++] = r->latency;
        if (r->outcome == REFUSED) refused.at[refused.count++] = r->latency;
        in_limit += r->outcome == ANSWERED && r->latency <= limit;
    }
    qsort(answered.at, answered.count, sizeof(float), ascending);
    qsort(refused.at, refused.count, sizeof(float), ascending);
    qsort(late.at, late.count, sizeof(float), ascending);
    printf("{\"seconds\":%.6g,\"offered\":%zu,\"answered\":%ld,\"in_limit\":%ld,\"refused\":%ld,\"errors\":%ld,"
           "\"timeouts\":%ld,\"unsent\":%ld", to - from, late.count, counts[ANSWERED], in_limit, counts[REFUSED],
           counts[ERROR], counts[TIMEOUT], counts[UNSENT]);
    print_quantile("p50_ms", &answered, .5);
    print_quantile("p99_ms", &answered, .99);
    print_quantile("max_ms", &answered, 1);
    print_quantile("refused_p99_ms", &refused, .99);
    print_quantile("late_p99_ms", &late, .99);
    print_quantile("late_max_ms", &late, 1);
    printf("}");
}

static void print_report(void) {
    printf("{\"connections\":%d,\"statuses\":{", most_live);
    const char *comma = "";
    for (int status = 0; status < 1000; status++)
        if (statuses[status]) { printf("%s\"%d\":%ld", comma, status, statuses[status]); comma = ","; }
    printf("},\"phases\":[");
    double began = 0;
    for (int i = 0; i < phase_count; began = phases[i++].ends) {
        if (i) printf(",");
        print_window(i, began, phases[i].ends);
    }
    printf("],\"seconds\":[");
    for (double from = 0; from < began - 1e-9; from += 1) {
        if (from > 0) printf(",");
        print_window(-1, from, from + 1 < began ? from + 1 : began);
    }
    printf("]}\n");
}

/* The arguments */

static void read_phases(char *text) {
    double ends = 0;
    for (char *at = strtok(text, ","); at && phase_count < MAX_PHASES; at = strtok(0, ",")) {
        double rate = 0, seconds = 0;
        if (sscanf(at, "%lf:%lf", &rate, &seconds) != 2 || rate <= 0 || seconds <= 0) {
            fprintf(stderr, "a phase is RATE:SECONDS, both above 0; not %s\n", at);
            exit(2);
        }
        phases[phase_count].rate = rate;
        phases[phase_count].seconds = seconds;
        phases[phase_count++].ends = ends += seconds;
    }
}

static void read_bodies(const char *file, const char *host, const char *port, const char *path, const char *mark) {
    FILE *lines = fopen(file, "r");
    if (!lines) fail(file);
    char *line = 0;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, lines)) > 0;) {
        if (line[n - 1] == '\n') line[--n] = 0;
        bodies = need(realloc(bodies, (body_count + 1) * sizeof *bodies));
        struct body *body = &bodies[body_count++];
        int bytes = asprintf(&body->text, "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
                             "Content-Length: %zd\r\n\r\n%s", path, host, port, n, line);
        if (bytes < 0) fail("memory");
        body->bytes = bytes;
        char *at = mark_bytes ? strstr(body->text, mark) : 0;
        body->mark = at ? (size_t)(at - body->text) : body->bytes;
        if (body->bytes > longest) longest = body->bytes;
    }
    fclose(lines);
    free(line);
    if (!body_count) { fprintf(stderr, "%s holds no body\n", file); exit(2); }
}

int main(int count, char **arguments) {
    if (count != 10 && count != 12) {
        fprintf(stderr, "openloop HOST PORT PATH BODIES CONNECTIONS TIMEOUT LIMIT SEED RATE:SECONDS,... [MARK FIRST]\n");
        return 2;
    }
    const char *host = arguments[1], *port = arguments[2], *mark = count == 12 ? arguments[10] : "";
    mark_bytes = strlen(mark);
    if (mark_bytes && mark_bytes != 14) { fprintf(stderr, "a mark has 14 characters; not %s\n", mark); return 2; }
    next_number = count == 12 ? atol(arguments[11]) % NUMBERS : 0;
    connection_limit = atoi(arguments[5]);
    timeout = atof(arguments[6]);
    limit = atof(arguments[7]);
    srand48(atol(arguments[8]));
    read_phases(arguments[9]);
    read_bodies(arguments[4], host, port, arguments[3], mark);
    if (connection_limit < 1 || !phase_count) { fprintf(stderr, "no connection, or no phase\n"); return 2; }

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int unknown = getaddrinfo(host, port, &hints, &address);
    if (unknown) { fprintf(stderr, "%s:%s: %s\n", host, port, gai_strerror(unknown)); return 1; }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    setpriority(PRIO_PROCESS, 0, -10); /* if it may: a load that is late is another load */
    prctl(PR_SET_TIMERSLACK, 1); /* nanosecond; the default would make each pause 50 µs longer */
    live = need(calloc(connection_limit + 1, sizeof *live));
    idle = need(calloc(connection_limit + 1, sizeof *idle));
    closed = need(calloc(2 * connection_limit + 512, sizeof *closed));
    epoll = epoll_create1(0);
    if (epoll < 0) fail("epoll_create1");
    start = now();
    run();
    print_report();
    return 0;
}
