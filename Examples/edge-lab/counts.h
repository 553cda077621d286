// SPDX-License-Identifier: Apache-2.0
// What the visitors count and tell: latencies, failures by kind, what went to which prefix and when, requests of each
// address. Nothing here allocates for a sample, the first of each address aside.
#pragma once
#include "../../Benchmarks/dns/wire.h"
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

// The wall clock's seconds at a time of now()'s clock.
static inline double wall(uint64_t time) {
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    return (double)real.tv_sec + ((double)real.tv_nsec - (double)(int64_t)(now() - time)) / 1e9;
}

// An address as struct prefix has them: words in the host's order, IPv4 in the upper half of the first.
struct address { uint64_t words[2]; bool is_six; };

static inline struct address address_of(const void *bytes, bool is_six) {
    struct address address = {.is_six = is_six};
    memcpy(address.words, bytes, is_six ? 16 : 4);
    address.words[0] = be64toh(address.words[0]);
    address.words[1] = be64toh(address.words[1]);
    return address;
}

static inline socklen_t socket_name(const struct address *address, unsigned port, struct sockaddr_storage *name) {
    const uint64_t words[2] = {htobe64(address->words[0]), htobe64(address->words[1])};
    if (address->is_six) {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        memcpy(&six.sin6_addr, words, 16);
        memcpy(name, &six, sizeof six);
        return sizeof six;
    }
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    memcpy(&four.sin_addr, words, 4);
    memcpy(name, &four, sizeof four);
    return sizeof four;
}

static inline const char *address_text(const struct address *address) {
    static char text[INET6_ADDRSTRLEN];
    const uint64_t words[2] = {htobe64(address->words[0]), htobe64(address->words[1])};
    return inet_ntop(address->is_six ? AF_INET6 : AF_INET, words, text, sizeof text);
}

static inline bool covers(const struct prefix *prefix, const struct address *address) {
    return (prefix->bits == 128) == address->is_six
        && (address->words[0] & ~prefix->open[0]) == prefix->base[0]
        && (address->words[1] & ~prefix->open[1]) == prefix->base[1];
}

// MARK: Failures

enum kind { dns_timeout, dns_rcode, dns_no_address, refused, unreachable, connect_timeout, reset, early_close,
            wrong_status, wrong_body, request_timeout, unfinished, local, kinds };
static const char *const kind_names[kinds] = {
    "dnsTimeout", "dnsRcode", "dnsNoAddress", "refused", "unreachable", "connectTimeout", "reset", "earlyClose",
    "wrongStatus", "wrongBody", "requestTimeout", "unfinished", "local"};

static struct {
    uint64_t requests, failures, failed[kinds], visits, connections;
    uint64_t queries, retransmissions, joined, stray, cache_hits;
} count;

// MARK: Latencies

// Log-linear: each power of two of nanoseconds in 64 steps, so that a percentile is right to 1.6 %.
enum { step_bits = 6, steps = 1 << step_bits, step_rows = 40 };
struct latency { uint64_t samples, most, bins[step_rows * steps]; };
static struct latency dns_latency, connect_latency, request_latency, visit_latency, lateness;

static inline void add_sample(struct latency *latency, uint64_t nanoseconds) {
    unsigned row = 0, step = (unsigned)nanoseconds;
    if (nanoseconds >= steps) {
        unsigned shift = 63u - (unsigned)__builtin_clzll(nanoseconds) - step_bits;
        row = shift + 1 < step_rows ? shift + 1 : step_rows - 1;
        step = (unsigned)(nanoseconds >> shift) % steps;
    }
    latency->bins[row * steps + step]++;
    latency->samples++;
    if (nanoseconds > latency->most) latency->most = nanoseconds;
}

// In microseconds, the upper end of the bin where the part is reached.
static double percentile(const struct latency *latency, double part) {
    uint64_t wanted = (uint64_t)(part * (double)latency->samples), seen = 0;
    for (unsigned bin = 0; bin < step_rows * steps; bin++) {
        seen += latency->bins[bin];
        if (seen == 0 || seen < wanted) continue;
        unsigned row = bin / steps, step = bin % steps;
        uint64_t end = row == 0 ? step : ((uint64_t)(steps + step + 1) << (row - 1)) - 1;
        return (double)(end < latency->most ? end : latency->most) / 1e3;
    }
    return 0;
}

// MARK: Prefixes

// What was answered and connected to under a prefix, and when last. The ticks are what the timeline has told.
struct mark {
    const char *text;
    struct prefix prefix;
    uint64_t answers, connections, told_answers, told_connections, last_answer, last_connection;
};

enum { max_marks = 64 };
static struct mark marks[max_marks + 1] = {{.text = "other"}}; // the most specific first, "other" at the end
static unsigned mark_count;

static struct prefix parse_either(const char *text) {
    return parse_prefix(text, strchr(text, ':') ? AF_INET6 : AF_INET);
}

static void add_mark(const char *text) {
    if (mark_count == max_marks) { fprintf(stderr, "visitors: more than %d --mark\n", max_marks); exit(2); }
    struct mark mark = {.text = text, .prefix = parse_either(text)};
    unsigned at = 0;
    while (at < mark_count && marks[at].prefix.length >= mark.prefix.length) at++;
    memmove(&marks[at + 1], &marks[at], (++mark_count - at) * sizeof *marks);
    marks[at] = mark;
}

static inline struct mark *mark_of(const struct address *address) {
    for (unsigned i = 0; i < mark_count; i++) {
        if (covers(&marks[i].prefix, address)) return &marks[i];
    }
    return &marks[mark_count];
}

// MARK: Addresses

// How many requests an address had; only where a histogram is asked for.
struct used { struct address address; uint64_t requests; uint32_t next; };
enum { max_used = 1 << 24, used_buckets = 1 << 18 };
static struct used *used; // the first is none
static uint32_t used_count, used_heads[used_buckets];

static inline uint64_t mix(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)(a ^ 0xa0761d6478bd642full) * (b ^ 0xe7037ed1a0b428dbull);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

// Memory that costs nothing until it is touched.
static void *reserve(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) fail("memory");
    return memory;
}

static void count_use(const struct address *address) {
    uint32_t *head = &used_heads[mix(address->words[0], address->words[1]) % used_buckets], at = *head;
    while (at && memcmp(used[at].address.words, address->words, sizeof address->words)) at = used[at].next;
    if (!at) {
        if (++used_count == max_used) { errno = ENOMEM; fail("more addresses than a histogram holds"); }
        used[at = used_count] = (struct used){.address = *address, .next = *head};
        *head = at;
    }
    used[at].requests++;
}

static void write_histogram(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) fail(path);
    for (uint32_t at = 1; at <= used_count; at++) {
        fprintf(file, "%s %" PRIu64 "\n", address_text(&used[at].address), used[at].requests);
    }
    if (fclose(file)) fail(path);
}

// MARK: What is told

// A line of the timeline: what came since the last one.
static void tell_tick(FILE *file, uint64_t time) {
    static uint64_t told_requests, told_failures;
    fprintf(file, "{\"time\": %.3f, \"requests\": %" PRIu64 ", \"failed\": %" PRIu64,
            wall(time), count.requests - told_requests, count.failures - told_failures);
    told_requests = count.requests;
    told_failures = count.failures;
    for (int connections = 0; connections < 2; connections++) {
        fprintf(file, connections ? "}, \"connections\": {" : ", \"answers\": {");
        for (unsigned i = 0; i <= mark_count; i++) {
            struct mark *mark = &marks[i];
            uint64_t whole = connections ? mark->connections : mark->answers;
            uint64_t *told = connections ? &mark->told_connections : &mark->told_answers;
            fprintf(file, "%s\"%s\": %" PRIu64, i ? ", " : "", mark->text, whole - *told);
            *told = whole;
        }
    }
    fprintf(file, "}}\n");
    fflush(file);
}

static void tell_latency(const char *name, const struct latency *latency, const char *end) {
    printf("\"%s\": {\"samples\": %" PRIu64 ", \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f", name,
           latency->samples, percentile(latency, .5), percentile(latency, .9), percentile(latency, .99),
           percentile(latency, .999));
    printf(", \"max\": %.1f}%s", (double)latency->most / 1e3, end);
}

static void tell_time(const char *name, uint64_t time, const char *end) {
    if (time) printf("\"%s\": %.6f%s", name, wall(time), end);
    else printf("\"%s\": null%s", name, end);
}

static void tell_all(double seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"requests\": %" PRIu64 ", \"failed\": {", count.requests);
    const char *comma = "";
    for (unsigned kind = 0; kind < kinds; kind++) {
        if (count.failed[kind] == 0) continue;
        printf("%s\"%s\": %" PRIu64, comma, kind_names[kind], count.failed[kind]);
        comma = ", ";
    }
    printf("}, \"visits\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"queries\": %" PRIu64 ", \"retransmissions\": %"
           PRIu64 ", \"strayAnswers\": %" PRIu64 ", \"joinedQueries\": %" PRIu64 ", \"cacheHits\": %" PRIu64,
           count.visits, count.connections, count.queries, count.retransmissions, count.stray, count.joined,
           count.cache_hits);
    printf(", \"seconds\": %.3f, \"userSeconds\": %.2f, \"systemSeconds\": %.2f, \"latency\": {", seconds,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
    tell_latency("dns", &dns_latency, ", ");
    tell_latency("connect", &connect_latency, ", ");
    tell_latency("request", &request_latency, ", ");
    tell_latency("visit", &visit_latency, ", ");
    tell_latency("lateness", &lateness, "}, \"marks\": {");
    for (unsigned i = 0; i <= mark_count; i++) {
        printf("%s\"%s\": {\"answers\": %" PRIu64 ", \"connections\": %" PRIu64 ", ", i ? ", " : "", marks[i].text,
               marks[i].answers, marks[i].connections);
        tell_time("lastAnswer", marks[i].last_answer, ", ");
        tell_time("lastConnection", marks[i].last_connection, "}");
    }
    printf("}}\n");
}
