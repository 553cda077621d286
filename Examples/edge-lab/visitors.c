// SPDX-License-Identifier: Apache-2.0
// Many visitors behind many resolvers: DNS by UDP, then HTTP by TCP to the address that was answered.
//   cc -std=gnu17 -O2 -o visitors visitors.c -lm
//   visitors --server ADDRESS[:PORT] [--suffix example.com] [--names N] [--skew 1.0] [--resolvers R] [--ipv6 SHARE]
//            [--ports 80,443] [--requests-per-connection 7] [--think MS] [--expect TEXT] [--timeout SECONDS]
//            [--sources PREFIX4] [--sources6 PREFIX6] [--sockets S]
//            [--rate REQUESTS | --concurrency C] [--requests N | --seconds S]
//            [--mark PREFIX]... [--histogram FILE] [--timeline FILE]
// A visit is to a name n<k> below the suffix, k from 0 and Zipf-distributed, by a client of one of the resolvers, Zipf
// too. The resolver's cache has the name or asks for it: 1 s, three attempts, each from any of the sockets. An answer
// lives for its TTL and no longer. Then a connection to any of the ports, the requests one after the other, --think
// apart, and the client closes first. Nothing is retried: a visit that fails is a failed request, and those that it
// would have made after that are not made. A server that closes while more requests were to come fails the next one.
// Requests are those that were answered and those that failed; with --requests exactly so many.
//
// With --rate visits begin when they are due, whatever comes back; without, C are open at all times. Latencies: `visit`
// from when it was due to its first response; `dns` from when it was due to the answer, of those that waited for one;
// `connect` and `request` from when the step before had ended; `lateness` is how late visits began. After --seconds, or
// a SIGTERM or SIGINT, no more visits begin and no more requests on connections; what is open has 5 s. Prints a line of
// JSON; times in it are of the wall clock, latencies in microseconds. The first 20 failures are told on standard error.
// Addresses of the sources must be routed to this host (`ip route add local PREFIX dev lo`).
#define _GNU_SOURCE
#include "resolvers.h"
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>

enum { max_open = 1 << 18, scratch_room = 1 << 16, most_body = 1 << 24, most_begun = 64 };
enum state { idle, asking, connecting, requesting, thinking };

// A visit, from when it begins until its connection is closed.
struct visit {
    struct timer timer;
    uint64_t due, since; // since: when the step that it is in began
    struct visit *next; // of those that wait for an answer, or of the free ones
    struct address address;
    uint32_t name;
    int fd;
    unsigned left, port;
    uint8_t state;
    bool is_six, has_visited, is_closed; // closed by the server
    uint8_t *data; // a response that came in parts
    size_t length, room;
};

static struct visit *visits, *free_visits;
static unsigned visit_room, visits_made, open_visits;
static struct timers step_timers, think_timers;
static struct zipf names, resolvers;
static uint64_t begun; // requests that visits were begun for
static bool is_ending;
static volatile sig_atomic_t stopped;

static void stop(int signal) { (void)signal; stopped = 1; }

// MARK: Ends

static void end_visit(struct visit *visit) {
    clear_timer(&visit->timer);
    if (visit->fd >= 0) close(visit->fd);
    free(visit->data);
    begun -= visit->left;
    *visit = (struct visit){.next = free_visits, .fd = -1};
    free_visits = visit;
    open_visits--;
}

static void fail_visit(struct visit *visit, enum kind kind, uint64_t time) {
    static unsigned told;
    bool has_address = visit->state != asking;
    if (told++ < 20) {
        fprintf(stderr, "visitors: %.3f n%" PRIu32 ".%s %s port %u: %s\n", wall(time), visit->name, options.suffix,
                has_address ? address_text(&visit->address) : "-", visit->port, kind_names[kind]);
    }
    count.requests++;
    count.failures++;
    count.failed[kind]++;
    if (has_address && options.histogram) count_use(&visit->address);
    visit->left--;
    end_visit(visit);
}

// MARK: Requests

static void send_request(struct visit *visit, uint64_t time) {
    static char text[512] = "GET / HTTP/1.1\r\nHost: n";
    static const unsigned start = sizeof "GET / HTTP/1.1\r\nHost: n" - 1;
    int length = (int)start + sprintf(text + start, "%" PRIu32 ".%s\r\n\r\n", visit->name, options.suffix);
    visit->state = requesting;
    visit->since = time;
    ssize_t sent = send(visit->fd, text, (size_t)length, MSG_NOSIGNAL);
    if (sent == length) set_timer(&step_timers, &visit->timer, time);
    else fail_visit(visit, sent >= 0 || errno == EAGAIN ? local : reset, time);
}

// One that was answered; the next, or the end.
static void finish_request(struct visit *visit, uint64_t time) {
    add_sample(&request_latency, time - visit->since);
    if (!visit->has_visited) add_sample(&visit_latency, time - visit->due);
    visit->has_visited = true;
    count.requests++;
    if (options.histogram) count_use(&visit->address);
    visit->left--;
    visit->length = 0;
    if (visit->left == 0 || is_ending) end_visit(visit);
    else if (visit->is_closed) fail_visit(visit, early_close, time);
    else if (options.think > 0) {
        visit->state = thinking;
        set_timer(&think_timers, &visit->timer, time);
    } else send_request(visit, time);
}

// What is wrong with a response, or `kinds`; then whole is how long it is, or 0 when more must come to tell.
static enum kind judge(const uint8_t *data, size_t length, size_t *whole) {
    static const char status[] = "HTTP/1.1 200 ", size[] = "Content-Length:";
    *whole = 0;
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return length > scratch_room ? wrong_body : kinds;
    if ((size_t)(end - data) < sizeof status || memcmp(data, status, sizeof status - 1)) return wrong_status;
    const uint8_t *line = data, *body = end + 4;
    while (line < end && strncasecmp((const char *)line, size, sizeof size - 1)) {
        line = (const uint8_t *)memchr(line, '\n', (size_t)(body - line)) + 1;
    }
    if (line >= end) return wrong_body;
    unsigned long long bytes = strtoull((const char *)line + sizeof size - 1, NULL, 10); // the line's end ends it
    size_t had = length - (size_t)(body - data);
    if (bytes > most_body || had > bytes) return wrong_body;
    if (had < bytes) return kinds;
    if (options.expect && !memmem(body, bytes, options.expect, strlen(options.expect))) return wrong_body;
    *whole = length;
    return kinds;
}

static void keep_part(struct visit *visit, const uint8_t *part, size_t length) {
    if (visit->length + length > visit->room) {
        visit->room = 2 * (visit->length + length);
        if (!(visit->data = realloc(visit->data, visit->room))) fail("memory for a response");
    }
    memcpy(visit->data + visit->length, part, length);
    visit->length += length;
}

// Reads until there is no more, as edges want it; a response that comes whole is looked at where it is.
static void receive_response(struct visit *visit, uint64_t time) {
    static uint8_t scratch[scratch_room];
    for (;;) {
        ssize_t received = recv(visit->fd, scratch, sizeof scratch, 0);
        if (received < 0 && errno == EAGAIN) return;
        if (received <= 0) return fail_visit(visit, received < 0 ? reset : early_close, time);
        const uint8_t *data = scratch;
        size_t length = (size_t)received, whole;
        if (visit->length > 0) {
            keep_part(visit, scratch, length);
            data = visit->data;
            length = visit->length;
        }
        enum kind kind = judge(data, length, &whole);
        if (kind != kinds) return fail_visit(visit, kind, time);
        if (whole) return finish_request(visit, time);
        if (data == scratch) keep_part(visit, scratch, length);
        if (received < scratch_room && !visit->is_closed) return;
    }
}

// MARK: Connections

static enum kind connect_failure(int error) {
    switch (error) {
    case ECONNREFUSED: return refused;
    case ETIMEDOUT: return connect_timeout;
    case EHOSTUNREACH: case ENETUNREACH: case EACCES: case EPERM: return unreachable;
    case ECONNRESET: case EPIPE: return reset;
    default: return local;
    }
}

static void connect_visit(struct visit *visit, const struct address *address, uint64_t time) {
    static const int one = 1;
    struct sockaddr_storage name;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = visit};
    visit->address = *address;
    visit->state = connecting;
    visit->fd = socket(address->is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (visit->fd < 0 || !bind_source(visit->fd, address->is_six)) return fail_visit(visit, local, time);
    setsockopt(visit->fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
    socklen_t length = socket_name(address, visit->port, &name);
    if (connect(visit->fd, (struct sockaddr *)&name, length) && errno != EINPROGRESS) {
        return fail_visit(visit, connect_failure(errno), time);
    }
    struct mark *mark = mark_of(address);
    count.connections++;
    mark->connections++;
    mark->last_connection = time;
    if (epoll_ctl(events, EPOLL_CTL_ADD, visit->fd, &event)) return fail_visit(visit, local, time);
    set_timer(&step_timers, &visit->timer, time);
}

static void on_connected(struct visit *visit, unsigned what, uint64_t time) {
    if (what & (EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(visit->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        return fail_visit(visit, error ? connect_failure(error) : reset, time);
    }
    if (!(what & EPOLLOUT)) return;
    add_sample(&connect_latency, time - visit->since);
    if (visit->is_closed) return fail_visit(visit, early_close, time); // accepted and closed: no other edge comes
    send_request(visit, time);
}

static void on_event(struct visit *visit, unsigned what) {
    uint64_t time = now();
    visit->is_closed |= (what & EPOLLRDHUP) != 0;
    if (visit->state == connecting) on_connected(visit, what, time);
    else if (!(what & ~(unsigned)EPOLLOUT)) return;
    else if (visit->state == requesting) receive_response(visit, time);
    else fail_visit(visit, what & EPOLLERR ? reset : visit->is_closed ? early_close : wrong_body, time); // it thinks
}

// MARK: Visits

static struct visit *next_waiting(struct visit *visit) { return visit->next; }

static void on_answer(struct visit *visit, const struct address *address, uint64_t time) {
    add_sample(&dns_latency, time - visit->due);
    visit->since = time;
    connect_visit(visit, address, time);
}

static void on_no_answer(struct visit *visit, enum kind kind, uint64_t time) { fail_visit(visit, kind, time); }

static struct visit *take_visit(void) {
    struct visit *visit = free_visits;
    if (visit) free_visits = visit->next;
    else if (visits_made < visit_room) visit = &visits[visits_made++];
    else return NULL;
    open_visits++;
    return visit;
}

static void begin_visit(uint64_t due, uint64_t time) {
    struct visit *visit = take_visit();
    if (due == 0) due = time;
    add_sample(&lateness, time - due);
    count.visits++;
    uint64_t remaining = options.requests ? options.requests - begun : UINT64_MAX;
    unsigned left = remaining < options.per_connection ? (unsigned)remaining : options.per_connection;
    if (!visit) { // no room: the request that was due fails here
        begun++, count.requests++, count.failures++, count.failed[local]++;
        return;
    }
    begun += left;
    *visit = (struct visit){.due = due, .since = due, .fd = -1, .state = asking, .left = left,
                            .name = (uint32_t)draw_zipf(&names) - 1,
                            .port = options.ports[draw_below(options.port_count)],
                            .is_six = (double)(draw(&seed) >> 11) * 0x1p-53 < options.ipv6};
    struct answer *answer = find_answer(visit->name, (uint32_t)draw_zipf(&resolvers), visit->is_six, time);
    if (!answer->is_asked && answer->expires > time) {
        count.cache_hits++;
        return connect_visit(visit, &answer->address, time);
    }
    if (answer->is_asked) count.joined++;
    else if (!ask(answer, time)) return fail_visit(visit, local, time);
    visit->next = answer->waiting;
    answer->waiting = visit;
}

static void run_timers(uint64_t time) {
    retransmit_queries(time);
    for (struct timer *timer; (timer = due_timer(&step_timers, time));) {
        struct visit *visit = (struct visit *)timer;
        fail_visit(visit, visit->state == connecting ? connect_timeout : request_timeout, time);
    }
    for (struct timer *timer; (timer = due_timer(&think_timers, time));) {
        clear_timer(timer);
        send_request((struct visit *)timer, timer->due);
    }
}

static void end_thinkers(void) {
    while (think_timers.ends.next != &think_timers.ends) end_visit((struct visit *)think_timers.ends.next);
}

static void fail_all_open(uint64_t time) {
    for (unsigned i = 0; i < max_queries; i++) {
        if (queries[i].answer) settle(&queries[i], NULL, 0, unfinished, time);
    }
    for (unsigned i = 0; i < visits_made; i++) {
        if (visits[i].state != idle) fail_visit(&visits[i], unfinished, time);
    }
}

// MARK: The loop

// Until the next of what is due; 0 when it has passed.
static uint64_t pause_until(uint64_t next, uint64_t time) {
    const struct timers *all[] = {&query_timers, &step_timers, &think_timers};
    for (int i = 0; i < 3; i++) {
        const struct timer *first = all[i]->ends.next;
        if (first != &all[i]->ends && first->due < next) next = first->due;
    }
    return next > time ? next - time : 0;
}

static void wait_for_events(uint64_t pause) {
    static struct epoll_event ready[256];
    const struct timespec most = {(time_t)(pause / 1000000000), (long)(pause % 1000000000)};
    int some = epoll_pwait2(events, ready, 256, &most, NULL);
    if (some < 0 && errno != EINTR) fail("epoll_pwait2");
    for (int i = 0; i < some; i++) {
        uintptr_t lane = ((uintptr_t)ready[i].data.ptr - (uintptr_t)lanes) / sizeof *lanes;
        if (lane < lane_count) receive_answer(&lanes[lane]);
        else on_event(ready[i].data.ptr, ready[i].events);
    }
}

// Those that are due, or for which there is room; some at a time, so that others are heard. Returns when the next is.
static uint64_t begin_visits(uint64_t start) {
    static uint64_t due_visits; // how many have been begun on schedule
    const double interval = options.rate > 0 ? 1e9 * options.per_connection / options.rate : 0;
    for (unsigned some = 0; some < most_begun; some++) {
        if (options.requests && begun >= options.requests) return UINT64_MAX;
        uint64_t time = now(), due = start + (uint64_t)((double)due_visits * interval);
        if (interval > 0 ? due > time : open_visits >= options.concurrency) return interval > 0 ? due : UINT64_MAX;
        begin_visit(interval > 0 ? due : 0, time);
        due_visits++;
    }
    return 0;
}

static void run(uint64_t start) {
    const uint64_t second = 1000000000, tick = second / 10;
    uint64_t end = options.seconds > 0 ? start + (uint64_t)(options.seconds * 1e9) : UINT64_MAX;
    uint64_t next_tick = start + tick;
    for (;;) {
        uint64_t time = now(), next = UINT64_MAX;
        if (!is_ending && (stopped || time >= end)) {
            is_ending = true;
            end = time + 5 * second;
            end_thinkers();
        } else if (is_ending && time >= end) fail_all_open(time);
        run_timers(time);
        if (!is_ending) next = begin_visits(start);
        if (time >= next_tick) {
            if (options.timeline) tell_tick(options.timeline, time);
            next_tick += tick * ((time - next_tick) / tick + 1);
        }
        if (open_visits == 0 && (is_ending || (options.requests && begun >= options.requests))) break;
        if (next > next_tick) next = next_tick;
        if (next > end) next = end;
        wait_for_events(pause_until(next, now()));
    }
    if (options.timeline) tell_tick(options.timeline, now());
}

// MARK: The beginning

// As many descriptors as there may be, and room for as many visits.
static void make_room(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &limit)) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit)) fail("setrlimit");
    }
    rlim_t room = limit.rlim_cur - lane_count - 16;
    visit_room = room < max_open ? (unsigned)room : max_open;
    if (options.rate <= 0 && options.concurrency > visit_room) usage("--concurrency is more than the descriptor limit");
    visits = reserve(visit_room * sizeof *visits);
    answers = reserve((size_t)max_answers * sizeof *answers);
    used = reserve((size_t)max_used * sizeof *used);
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    make_origin(options.suffix);
    make_room();
    make_timers(&query_timers, 1000000000);
    make_timers(&step_timers, (uint64_t)(options.timeout * 1e9));
    make_timers(&think_timers, (uint64_t)(options.think * 1e6));
    names = make_zipf(options.names, options.skew);
    resolvers = make_zipf(options.resolvers, 1);
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) fail("getrandom");
    prctl(PR_SET_TIMERSLACK, 1); // visits are due to the microsecond; the usual slack would make all late by 50
    if ((events = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll_create1");
    for (unsigned i = 0; i < lane_count; i++) open_lane(&lanes[i]);
    const struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    uint64_t start = now();
    run(start);
    double seconds = (double)(now() - start) / 1e9;
    if (options.histogram) write_histogram(options.histogram);
    tell_all(seconds);
}
