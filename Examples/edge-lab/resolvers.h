// SPDX-License-Identifier: Apache-2.0
// The resolvers of the visitors: who asks for what (Zipf), what their caches hold, and DNS by UDP.
#pragma once
#include "options.h"
#include <math.h>
#include <sys/epoll.h>

static uint64_t seed;
static int events; // epoll

// MARK: Zipf

// Draws 1...count with the probability of k in proportion to k^-skew: rejection-inversion (Hoermann and Derflinger,
// Rejection-inversion to generate variates from monotone discrete distributions, 1996). It needs no table, so that
// twenty million names cost what ten do. The integral of x^-skew is inverted; a draw left of its k's column is refused.
struct zipf { double skew, low, high, sure; uint64_t count; };

static double zipf_integral(const struct zipf *zipf, double x) {
    double power = 1 - zipf->skew, logarithm = log(x);
    return fabs(power) < 1e-9 ? logarithm : expm1(power * logarithm) / power;
}

static double zipf_inverse(const struct zipf *zipf, double y) {
    double power = 1 - zipf->skew;
    return exp(fabs(power) < 1e-9 ? y : log1p(fmax(y * power, -1)) / power);
}

static struct zipf make_zipf(uint64_t count, double skew) {
    struct zipf zipf = {.skew = skew, .count = count};
    zipf.low = zipf_integral(&zipf, 1.5) - 1;
    zipf.high = zipf_integral(&zipf, (double)count + 0.5);
    zipf.sure = 2 - zipf_inverse(&zipf, zipf_integral(&zipf, 2.5) - pow(2, -skew));
    return zipf;
}

static uint64_t draw_zipf(const struct zipf *zipf) {
    for (;;) {
        double chance = (double)(draw(&seed) >> 11) * 0x1p-53, y = zipf->high + chance * (zipf->low - zipf->high);
        double x = zipf_inverse(zipf, y), k = fmin(fmax(floor(x + 0.5), 1), (double)zipf->count);
        if (k - x <= zipf->sure || y >= zipf_integral(zipf, k + 0.5) - pow(k, -zipf->skew)) return (uint64_t)k;
    }
}

static inline uint64_t draw_below(uint64_t end) { return (uint64_t)((__uint128_t)draw(&seed) * end >> 64); }

// MARK: Timers

// All timers of a queue run equally long, so that they are due in the order in which they were set.
struct timer { struct timer *next, *previous; uint64_t due; };
struct timers { struct timer ends; uint64_t duration; };

static void make_timers(struct timers *timers, uint64_t duration) {
    timers->ends.next = timers->ends.previous = &timers->ends;
    timers->duration = duration;
}

static inline void clear_timer(struct timer *timer) {
    if (!timer->next) return;
    timer->next->previous = timer->previous;
    timer->previous->next = timer->next;
    timer->next = NULL;
}

static inline void set_timer(struct timers *timers, struct timer *timer, uint64_t time) {
    clear_timer(timer);
    *timer = (struct timer){&timers->ends, timers->ends.previous, time + timers->duration};
    timer->previous->next = timers->ends.previous = timer;
}

// The first timer that is due, or NULL.
static inline struct timer *due_timer(struct timers *timers, uint64_t time) {
    struct timer *first = timers->ends.next;
    return first != &timers->ends && first->due <= time ? first : NULL;
}

// MARK: Caches

// What a resolver knows of a name, or is asking: then visits wait for it.
struct answer {
    uint32_t name, resolver, next;
    bool is_six, is_asked;
    struct address address;
    uint64_t expires;
    struct visit *waiting;
};

struct visit;
static void on_answer(struct visit *visit, const struct address *address, uint64_t time);
static void on_no_answer(struct visit *visit, enum kind kind, uint64_t time);
static struct visit *next_waiting(struct visit *visit);

enum { max_answers = 1 << 25, buckets = 1 << 20 };
static struct answer *answers; // the first is none
static uint32_t heads[buckets], free_answers, answer_count;

// The answer, which may be being asked for, or a new one to ask for. Those of its bucket that have expired are left
// out on the way, so that the table holds what is alive and not much more.
static struct answer *find_answer(uint32_t name, uint32_t resolver, bool is_six, uint64_t time) {
    uint32_t *head = &heads[mix(name, (uint64_t)resolver << 1 | is_six) % buckets];
    for (uint32_t *link = head; *link;) {
        struct answer *answer = &answers[*link];
        if (!answer->is_asked && answer->expires <= time) {
            uint32_t expired = *link;
            *link = answer->next;
            answer->next = free_answers;
            free_answers = expired;
            continue;
        }
        if (answer->name == name && answer->resolver == resolver && answer->is_six == is_six) return answer;
        link = &answer->next;
    }
    uint32_t at = free_answers;
    if (at) free_answers = answers[at].next;
    else if ((at = ++answer_count) == max_answers) { errno = ENOMEM; fail("more answers than the caches hold"); }
    answers[at] = (struct answer){.name = name, .resolver = resolver, .is_six = is_six, .next = *head};
    *head = at;
    return &answers[at];
}

// MARK: Queries

// A query that is outstanding; its id is its place. Places are taken in turn, so that a late answer meets another
// question, and is told from the right one by it.
struct query { struct timer timer; struct answer *answer; unsigned sent; };
enum { max_queries = 65536, query_room = 300, most_sent = 3 };
static struct query queries[max_queries];
static unsigned next_query;
static struct timers query_timers;

struct lane { int fd; };
static struct lane lanes[max_lanes];
static uint8_t origin[256]; // of all names, as the wire has it
static unsigned origin_length;

// Returns where the question ends.
static unsigned write_query(uint8_t *packet, unsigned id, const struct answer *answer, unsigned *length) {
    static const uint8_t opt[11] = {0, 0, type_opt, 1232 >> 8, 1232 & 0xff};
    int digits = sprintf((char *)packet + header + 1, "n%" PRIu32, answer->name);
    unsigned at = header + 1 + (unsigned)digits;
    memset(packet, 0, header);
    put16(packet, id);
    packet[5] = packet[11] = 1; // a question, and EDNS
    packet[header] = (uint8_t)digits;
    memcpy(packet + at, origin, origin_length);
    at += origin_length;
    put16(packet + at, answer->is_six ? type_aaaa : type_a);
    put16(packet + at + 2, class_in);
    memcpy(packet + at + 4, opt, sizeof opt);
    *length = at + 4 + sizeof opt;
    return at + 4;
}

// From any of the sockets. One that cannot be sent is as good as lost: the next attempt may leave.
static void send_query(unsigned id, uint64_t time) {
    struct query *query = &queries[id];
    uint8_t packet[query_room];
    unsigned length;
    write_query(packet, id, query->answer, &length);
    int fd = lanes[draw_below(lane_count)].fd;
    if (send(fd, packet, length, MSG_DONTWAIT) < 0) send(fd, packet, length, MSG_DONTWAIT); // past a former one's error
    query->sent++;
    set_timer(&query_timers, &query->timer, time);
}

// Whether there was an id left for it.
static bool ask(struct answer *answer, uint64_t time) {
    for (unsigned tries = 0; tries < max_queries; tries++) {
        struct query *query = &queries[next_query++ % max_queries];
        if (query->answer) continue;
        *query = (struct query){.answer = answer};
        answer->is_asked = true;
        count.queries++;
        send_query((unsigned)(query - queries), time);
        return true;
    }
    return false;
}

// All who wait go on, with the address or without one.
static void settle(struct query *query, const struct address *address, uint64_t ttl, enum kind kind, uint64_t time) {
    struct answer *answer = query->answer;
    struct visit *visit = answer->waiting;
    clear_timer(&query->timer);
    query->answer = NULL;
    answer->is_asked = false;
    answer->waiting = NULL;
    answer->expires = address ? time + ttl * 1000000000ull : 0;
    if (address) answer->address = *address;
    while (visit) {
        struct visit *next = next_waiting(visit);
        if (address) on_answer(visit, address, time);
        else on_no_answer(visit, kind, time);
        visit = next;
    }
}

static void retransmit_queries(uint64_t time) {
    for (struct timer *timer; (timer = due_timer(&query_timers, time));) {
        struct query *query = (struct query *)timer;
        if (query->sent < most_sent) {
            count.retransmissions++;
            send_query((unsigned)(query - queries), time);
        } else settle(query, NULL, 0, dns_timeout, time);
    }
}

// Behind a name, whole or compressed; the length or more where it is cut off.
static unsigned skip_name(const uint8_t *packet, unsigned at, unsigned length) {
    while (at < length && packet[at] != 0) {
        if (packet[at] >= 0xc0) return at + 2;
        at += packet[at] + 1u;
    }
    return at + 1;
}

// The first address of the kind that was asked for.
static bool find_address(const uint8_t *packet, unsigned at, unsigned length, bool is_six, struct address *address,
                         uint64_t *ttl) {
    for (unsigned left = get16(packet + 6); left > 0; left--) {
        at = skip_name(packet, at, length);
        if (at + 10 > length || at + 10 + get16(packet + at + 8) > length) return false;
        unsigned size = get16(packet + at + 8);
        if (get16(packet + at) == (is_six ? type_aaaa : type_a) && get16(packet + at + 2) == class_in
            && size == (is_six ? 16 : 4)) {
            *address = address_of(packet + at + 10, is_six);
            *ttl = (uint64_t)get16(packet + at + 4) << 16 | get16(packet + at + 6);
            return true;
        }
        at += 10 + size;
    }
    return false;
}

static void receive_answer(const struct lane *lane) {
    uint8_t packet[1500], asked[query_room];
    ssize_t received = recv(lane->fd, packet, sizeof packet, MSG_DONTWAIT);
    uint64_t time = now();
    if (received < 0) return; // the server's host refused a query: it is sent again when its time comes
    unsigned length = (unsigned)received, whole;
    struct query *query = &queries[length >= header ? get16(packet) : 0];
    if (length < header || !query->answer) { count.stray++; return; }
    unsigned end = write_query(asked, get16(packet), query->answer, &whole);
    if (length < end || !(packet[2] & 0x80) || get16(packet + 4) != 1
        || memcmp(packet + header, asked + header, end - header)) {
        count.stray++;
        return;
    }
    struct address address;
    uint64_t ttl;
    if (packet[3] & 0x0f) return settle(query, NULL, 0, dns_rcode, time);
    if (!find_address(packet, end, length, query->answer->is_six, &address, &ttl)) {
        return settle(query, NULL, 0, dns_no_address, time);
    }
    struct mark *mark = mark_of(&address);
    mark->answers++;
    mark->last_answer = time;
    settle(query, &address, ttl, kinds, time);
}

// MARK: Sockets

// Any address of the sources, which has no port until it is known to where.
static bool bind_source(int fd, bool is_six) {
    static const int one = 1;
    if (!options.has_sources[is_six]) return true;
    const struct prefix *prefix = &options.sources[is_six];
    struct address source = {.is_six = is_six};
    uint64_t part;
    do {
        source.words[0] = prefix->base[0] | (draw(&seed) & prefix->open[0]);
        if (is_six) source.words[1] = prefix->base[1] | (draw(&seed) & prefix->open[1]);
        else source.words[0] &= ~0ull << 32;
        part = source.words[0] & prefix->open[0];
    } while (!is_six && prefix->length < 31 && (part == 0 || part == (prefix->open[0] & ~0ull << 32))); // its ends
    struct sockaddr_storage name;
    socklen_t length = socket_name(&source, 0, &name);
    return !setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one)
        && !setsockopt(fd, SOL_IP, IP_FREEBIND, &one, sizeof one)
        && !bind(fd, (struct sockaddr *)&name, length);
}

// The suffix as the wire has it, behind the first label.
static void make_origin(const char *suffix) {
    if (strlen(suffix) > 200) usage("--suffix is too long");
    for (const char *label = suffix; *label;) {
        size_t length = strcspn(label, ".");
        if (length == 0 || length > 63) usage("--suffix has a label that is empty, or longer than 63");
        origin[origin_length++] = (uint8_t)length;
        memcpy(origin + origin_length, label, length);
        origin_length += (unsigned)length;
        label += length + (label[length] == '.');
    }
    origin_length++; // the root
}

static void open_lane(struct lane *lane) {
    struct sockaddr_storage name;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};
    socklen_t length = socket_name(&options.server, options.server_port, &name);
    lane->fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (lane->fd < 0 || !bind_source(lane->fd, options.server.is_six)) fail("a socket for queries");
    enlarge_buffer(lane->fd);
    if (connect(lane->fd, (struct sockaddr *)&name, length)) fail("connect to the name server");
    if (epoll_ctl(events, EPOLL_CTL_ADD, lane->fd, &event)) fail("epoll_ctl");
}
