// SPDX-License-Identifier: Apache-2.0
// Asks a name server, and looks at every answer.
//   load --port P [--server ADDRESS] [--names N] [--types a|aaaa|mixed] [--seconds S | --queries Q] [--rate R]
//        [--window W] [--sockets S] [--v4 PREFIX] [--v6 PREFIX] [--histogram FILE]
// Names are n<k>.example.com with k drawn below N; each query has EDNS, and letters of its name in random case. Without
// --rate as many queries are outstanding as the window holds (128: no socket of a default size overflows), so that the
// server is never idle. With it queries leave at fixed times, whatever comes back, and the latency counts from when a
// query was due. Spins on one thread: give it a processor of its own. Prints a line of JSON. The histogram has a line
// "address count" for each address that was answered, or, where a pool has more than 4,096, for each 4,096th of it.
#define _GNU_SOURCE
#include "wire.h"
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

enum { max_sockets = 64, max_window = 1024, query_room = 64, answer_room = 1500, bins = 4096 };

// A query that was sent and not yet answered. Its id is its slot and a generation, so that an answer that comes when it
// was given up is told from others.
struct query { uint64_t due; uint16_t generation, length, type; bool outstanding; uint8_t packet[query_room]; };

// One socket, and the queries that use it.
struct lane {
    int fd;
    unsigned free_count;
    uint16_t free[max_window];
    struct query queries[max_window];
};

static struct {
    const char *server, *histogram;
    unsigned port, window, sockets;
    uint64_t names, queries;
    double seconds, rate;
    char types;
} options = {.server = "127.0.0.1", .window = 128, .sockets = 4, .names = 100000, .seconds = 2, .types = 'm'};

static struct prefix prefixes[2];
static uint64_t histogram[2][bins]; // by the first 12 of the bits that a prefix leaves open
static struct lane lanes[max_sockets];
static struct { uint64_t sent, answered, wrong, lost, late; } count;
static uint64_t seed, start;
static uint32_t *latencies; // in ns, of a paced run
static uint64_t latency_count, latency_room;

static void usage(const char *what) {
    fprintf(stderr, "load: %s: see the head of load.c\n", what);
    exit(2);
}

// n<k>.example.com, A or AAAA, with EDNS.
static void write_query(struct query *query, unsigned id) {
    static const uint8_t origin[] = "\7example\3com";
    static const uint8_t opt[11] = {0, 0, type_opt, 1232 >> 8, 1232 & 0xff};
    uint8_t *packet = query->packet, digits[20];
    unsigned length = 0, at = header;
    uint64_t cases = draw(&seed), k = (uint64_t)((__uint128_t)draw(&seed) * options.names >> 64);
    do digits[length++] = (uint8_t)('0' + k % 10); while (k /= 10);
    memset(packet, 0, header);
    put16(packet, id);
    packet[5] = packet[11] = 1; // a question, and EDNS
    packet[at++] = (uint8_t)(length + 1);
    packet[at++] = (uint8_t)('n' ^ (cases & 0x20));
    while (length > 0) packet[at++] = digits[--length];
    memcpy(packet + at, origin, sizeof origin); // with its root label
    packet[at + 1] ^= cases >> 8 & 0x20;
    packet[at + 9] ^= cases >> 16 & 0x20;
    at += sizeof origin;
    query->type = options.types == 'a' || (options.types == 'm' && cases >> 63) ? type_a : type_aaaa;
    put16(packet + at, query->type);
    put16(packet + at + 2, 1);
    memcpy(packet + at + 4, opt, sizeof opt);
    query->length = (uint16_t)(at + 4 + sizeof opt);
}

static unsigned shown_bits(const struct prefix *prefix) {
    unsigned open = prefix->bits - prefix->length;
    return open < 12 ? open : 12;
}

// Whether an answer's address is of its pool; counts it in the histogram.
static bool is_expected(const uint8_t *data, bool is_six) {
    const struct prefix *prefix = &prefixes[is_six];
    uint64_t words[2] = {0, 0};
    memcpy(words, data, prefix->bits / 8);
    for (int word = 0; word < 2; word++) {
        words[word] = be64toh(words[word]);
        if ((words[word] & ~prefix->open[word]) != prefix->base[word]) return false;
    }
    unsigned shown = shown_bits(prefix);
    __uint128_t address = (__uint128_t)words[0] << 64 | words[1];
    histogram[is_six][shown ? (unsigned)(address << prefix->length >> (128 - shown)) : 0]++;
    return true;
}

// Behind a name, whole or compressed; the length or more where it is cut off.
static unsigned skip_name(const uint8_t *packet, unsigned at, unsigned length) {
    while (at < length && packet[at] != 0) {
        if (packet[at] >= 0xc0) return at + 2;
        at += packet[at] + 1u;
    }
    return at + 1;
}

// Why an answer is wrong, or NULL: it must hold the question as it was asked, one address of the pool, and EDNS.
static const char *fault(const struct query *query, const uint8_t *packet, unsigned length) {
    unsigned at = query->length - 11u;
    if ((packet[2] & 0xfe) != 0x84 || (packet[3] & 0x7f) != 0) return "header or rcode";
    if (length < at || get16(packet + 4) != 1) return "no question";
    if (memcmp(packet + header, query->packet + header, at - header)) return "another question";
    if (get16(packet + 6) != 1) return "number of answers";
    unsigned records = 1 + get16(packet + 8) + get16(packet + 10);
    bool has_edns = false;
    for (unsigned record = 0; record < records; record++) {
        at = skip_name(packet, at, length);
        if (at + 10 > length || at + 10 + get16(packet + at + 8) > length) return "cut off";
        unsigned type = get16(packet + at), size = get16(packet + at + 8);
        if (record == 0) {
            bool is_six = query->type == type_aaaa;
            if (type != query->type || size != (is_six ? 16 : 4)) return "type of the answer";
            if (!is_expected(packet + at + 10, is_six)) return "an address of no pool";
        }
        has_edns |= type == type_opt;
        at += 10 + size;
    }
    return at != length ? "length" : has_edns ? NULL : "no EDNS";
}

static void show_wrong(const char *why, const uint8_t *packet, unsigned length) {
    if (count.wrong++ >= 3) return; // a few tell what is wrong
    fprintf(stderr, "load: wrong answer (%s):", why);
    for (unsigned i = 0; i < length; i++) fprintf(stderr, " %02x", packet[i]);
    fprintf(stderr, "\n");
}

// Sends up to a batch on this lane.
static void send_queries(struct lane *lane, uint64_t due, uint64_t interval, uint64_t most) {
    struct iovec parts[batch];
    struct mmsghdr messages[batch] = {0};
    unsigned ready = 0;
    for (; ready < most && ready < batch && lane->free_count > 0; ready++) {
        unsigned slot = lane->free[--lane->free_count];
        struct query *query = &lane->queries[slot];
        query->due = due + ready * interval;
        query->outstanding = true;
        write_query(query, slot | ++query->generation % (65536 / max_window) * max_window);
        parts[ready] = (struct iovec){query->packet, query->length};
        messages[ready].msg_hdr = (struct msghdr){.msg_iov = &parts[ready], .msg_iovlen = 1};
    }
    for (unsigned sent = 0; sent < ready;) {
        int some = sendmmsg(lane->fd, messages + sent, ready - sent, 0);
        if (some < 0 && errno != EAGAIN && errno != EINTR) fail("sending (does the server listen?)");
        sent += some > 0 ? (unsigned)some : 0;
    }
    count.sent += ready;
}

// Looks at what came back on this lane; returns how many answers.
static unsigned receive_answers(struct lane *lane) {
    static uint8_t packets[batch][answer_room];
    static struct iovec parts[batch];
    static struct mmsghdr messages[batch];
    if (!parts[0].iov_base) {
        for (int i = 0; i < batch; i++) {
            parts[i] = (struct iovec){packets[i], answer_room};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        }
    }
    int received = recvmmsg(lane->fd, messages, batch, MSG_DONTWAIT, NULL);
    if (received < 0 && errno != EAGAIN && errno != EINTR) fail("receiving (does the server listen?)");
    if (received <= 0) return 0;
    uint64_t time = options.rate > 0 ? now() : 0;
    for (int i = 0; i < received; i++) {
        const uint8_t *packet = packets[i];
        unsigned length = messages[i].msg_len, slot = length >= header ? get16(packet) % max_window : 0;
        struct query *query = &lane->queries[slot];
        if (length < header) { show_wrong("too short", packet, length); continue; }
        if (!query->outstanding || get16(packet) != get16(query->packet)) { count.late++; continue; }
        const char *why = fault(query, packet, length);
        if (why) show_wrong(why, packet, length);
        count.answered++;
        if (latency_count < latency_room) latencies[latency_count++] = (uint32_t)(time - query->due);
        query->outstanding = false;
        lane->free[lane->free_count++] = (uint16_t)slot;
    }
    return (unsigned)received;
}

// Gives up what was not answered.
static void forget_outstanding(struct lane *lane) {
    for (unsigned slot = 0; slot < options.window; slot++) {
        if (!lane->queries[slot].outstanding) continue;
        lane->queries[slot].outstanding = false;
        lane->free[lane->free_count++] = (uint16_t)slot;
        count.lost++;
    }
}

static void open_lane(struct lane *lane) {
    const struct sockaddr_in peer = socket_address(options.server, options.port);
    lane->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (lane->fd < 0) fail("socket");
    enlarge_buffer(lane->fd);
    if (connect(lane->fd, (const struct sockaddr *)&peer, sizeof peer)) fail("connect");
    while (lane->free_count < options.window) {
        lane->free[lane->free_count] = (uint16_t)lane->free_count;
        lane->free_count++;
    }
}

static bool is_any_outstanding(void) {
    for (unsigned i = 0; i < options.sockets; i++) {
        if (lanes[i].free_count < options.window) return true;
    }
    return false;
}

// How many queries may leave now: with a rate those that are due, without one as many as the window has room for.
static uint64_t due_now(uint64_t interval) {
    uint64_t most = options.queries ? options.queries : UINT64_MAX;
    if (interval && (now() - start) / interval + 1 < most) most = (now() - start) / interval + 1;
    return most > count.sent ? most - count.sent : 0;
}

// Asks until the time or the number of queries is up, then waits for what is outstanding.
// SIGINT ends the asking; what is outstanding is waited for.
static volatile sig_atomic_t stopped;
static void stop(int signal) { (void)signal; stopped = 1; }

static void run(void) {
    const uint64_t patience = 1000000000, end = start + (uint64_t)(options.seconds * 1e9);
    const uint64_t interval = options.rate > 0 ? (uint64_t)(1e9 / options.rate) : 0;
    uint64_t heard = start;
    bool is_asking = true;
    while (is_asking || is_any_outstanding()) {
        uint64_t time = now();
        is_asking = !stopped && (options.queries ? count.sent < options.queries : time < end);
        for (unsigned i = 0; i < options.sockets; i++) {
            if (receive_answers(&lanes[i]) > 0) heard = time;
            if (is_asking) send_queries(&lanes[i], start + count.sent * interval, interval, due_now(interval));
        }
        if (time > heard + patience) {
            for (unsigned i = 0; i < options.sockets; i++) forget_outstanding(&lanes[i]);
            heard = time;
        }
    }
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double percentile(double part) {
    return latency_count ? latencies[(uint64_t)(part * (double)(latency_count - 1))] / 1e3 : 0;
}

static void write_histogram(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) fail(path);
    for (int family = 0; family < 2; family++) {
        const struct prefix *prefix = &prefixes[family];
        unsigned shown = shown_bits(prefix);
        for (uint64_t bin = 0; bin < 1ull << shown; bin++) {
            if (histogram[family][bin] == 0) continue;
            __uint128_t open = shown ? (__uint128_t)bin << (128 - shown) >> prefix->length : 0;
            uint64_t words[2] = {
                htobe64(prefix->base[0] | (uint64_t)(open >> 64)), htobe64(prefix->base[1] | (uint64_t)open)};
            char text[64];
            inet_ntop(family ? AF_INET6 : AF_INET, words, text, sizeof text);
            fprintf(file, "%s %" PRIu64 "\n", text, histogram[family][bin]);
        }
    }
    if (fclose(file)) fail(path);
}

int main(int argc, char **argv) {
    static const struct option known[] = {
        {"server", 1, 0, 's'}, {"port", 1, 0, 'p'}, {"names", 1, 0, 'n'}, {"types", 1, 0, 't'}, {"seconds", 1, 0, 'd'},
        {"queries", 1, 0, 'q'}, {"rate", 1, 0, 'r'}, {"window", 1, 0, 'w'}, {"sockets", 1, 0, 'c'}, {"v4", 1, 0, '4'},
        {"v6", 1, 0, '6'}, {"histogram", 1, 0, 'h'}, {0}};
    prefixes[0] = parse_prefix("192.0.2.0/24", AF_INET);
    prefixes[1] = parse_prefix("2001:db8::/44", AF_INET6);
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 's': options.server = optarg; break;
        case 'p': options.port = (unsigned)atoi(optarg); break;
        case 'n': options.names = strtoull(optarg, NULL, 10); break;
        case 't': options.types = strcmp(optarg, "aaaa") == 0 ? '6' : optarg[0]; break;
        case 'd': options.seconds = atof(optarg); break;
        case 'q': options.queries = strtoull(optarg, NULL, 10); break;
        case 'r': options.rate = atof(optarg); break;
        case 'w': options.window = (unsigned)atoi(optarg); break;
        case 'c': options.sockets = (unsigned)atoi(optarg); break;
        case '4': prefixes[0] = parse_prefix(optarg, AF_INET); break;
        case '6': prefixes[1] = parse_prefix(optarg, AF_INET6); break;
        case 'h': options.histogram = optarg; break;
        default: return 2;
        }
    }
    if (options.sockets < 1 || options.sockets > max_sockets) usage("--sockets is not between 1 and 64");
    options.window = (options.window + options.sockets - 1) / options.sockets; // of each socket
    if (options.window < 1 || options.window > max_window) usage("--window is not between 1 and 1,024 a socket");
    if (!options.port || !options.names) usage("--port and --names must be more than 0");
    if (options.rate > 0) {
        latency_room = (uint64_t)(options.queries ? options.queries : options.rate * options.seconds) + 1024;
        latencies = malloc(latency_room * sizeof *latencies);
        if (!latencies) fail("memory for latencies");
        memset(latencies, 0, latency_room * sizeof *latencies); // no page is first touched while it counts
    }
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) fail("getrandom");
    for (unsigned i = 0; i < options.sockets; i++) open_lane(&lanes[i]);

    signal(SIGINT, stop);
    start = now();
    run();
    double seconds = (double)(now() - start) / 1e9;
    qsort(latencies, latency_count, sizeof *latencies, compare);
    if (options.histogram) write_histogram(options.histogram);
    printf("{\"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"lost\": %" PRIu64,
           count.sent, count.answered, count.wrong, count.lost);
    printf(", \"late\": %" PRIu64 ", \"seconds\": %.3f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}\n",
           count.late, seconds, percentile(.5), percentile(.99), percentile(.999));
}
