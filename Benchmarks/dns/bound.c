// SPDX-License-Identifier: Apache-2.0
// The bound: as little as a name server that answers with random addresses can do, as fast as C does it.
//   bound ADDRESS PORT IPV4-PREFIX IPV6-PREFIX
// One thread, one UDP socket, batches of 64. It parses what a name server must (the header, one question, its name
// hashed whatever the case, EDNS), counts, and answers A or AAAA with an address of the prefix, drawn for each query.
// It has no names and no zones: what a server costs above it is what its policies cost.
#define _GNU_SOURCE
#include "wire.h"
#include <signal.h>
#include <stdbool.h>

enum { room = 1232, ttl = 30 };
enum rcode { noerror = 0, formerr = 1, notimp = 4, refused = 5, badvers = 16 };

struct counters { uint64_t received, dropped, answers[2], others, names[64]; };

static volatile sig_atomic_t stopped;
static void stop(int signal) { (void)signal; stopped = 1; }

// What a question asks for, and where it ends.
struct question { unsigned type, class, end; uint64_t name; };

// The question, its name hashed in lower case; false where it is malformed.
static bool read_question(const uint8_t *packet, unsigned length, struct question *question) {
    uint64_t hash = 0xcbf29ce484222325ull;
    unsigned at = header;
    while (true) {
        if (at >= length) return false;
        unsigned label = packet[at++];
        if (label == 0) break;
        if (label > 63 || at + label > length || at + label - header > 254) return false;
        hash = (hash ^ label) * 0x100000001b3ull;
        for (unsigned end = at + label; at < end; at++) {
            unsigned letter = packet[at];
            letter |= (unsigned)(letter - 'A' < 26) << 5;
            hash = (hash ^ letter) * 0x100000001b3ull;
        }
    }
    if (at + 4 > length) return false;
    *question = (struct question){get16(packet + at), get16(packet + at + 2), at + 4, hash};
    return true;
}

// Turns a query into its answer, where it lies; returns the answer's length, or 0 where there is nothing to say.
static unsigned answer(
    uint8_t *packet, unsigned length, const struct prefix pools[2], uint64_t *seed, struct counters *count
) {
    if (length < header || (packet[2] & 0x80)) return 0;
    unsigned opcode = packet[2] & 0x78, additional = get16(packet + 10), rcode = noerror, answers = 0, dnssec_ok = 0;
    bool has_edns = false;
    struct question question = {.end = header};

    if (opcode != 0) {
        rcode = notimp;
    } else if (get16(packet + 4) != 1 || get16(packet + 6) || get16(packet + 8) || additional > 1
               || !read_question(packet, length, &question)) {
        rcode = formerr;
    } else if (additional == 1) {
        const uint8_t *opt = packet + question.end;
        if (question.end + 11 > length || opt[0] != 0 || get16(opt + 1) != type_opt
            || question.end + 11 + get16(opt + 9) != length) {
            rcode = formerr;
        } else {
            has_edns = true;
            dnssec_ok = opt[7] & 0x80;
            if (opt[6] != 0) rcode = badvers;
        }
    }
    if (rcode == noerror && question.class != class_in) rcode = refused;

    unsigned at = question.end;
    if (rcode == noerror && (question.type == type_a || question.type == type_aaaa)) {
        bool is_six = question.type == type_aaaa;
        const struct prefix *pool = &pools[is_six];
        uint8_t *record = packet + at;
        memcpy(record, "\xc0\x0c", 2); // the name of the question
        put16(record + 2, question.type);
        put16(record + 4, class_in);
        put16(record + 6, 0);
        put16(record + 8, ttl);
        put16(record + 10, is_six ? 16 : 4);
        // A prefix has a power of two of addresses: random bits are as good as a number drawn below it.
        uint64_t high = htobe64(pool->base[0] | (draw(seed) & pool->open[0]));
        memcpy(record + 12, &high, is_six ? 8 : 4);
        if (is_six) {
            uint64_t low = htobe64(pool->base[1] | (draw(seed) & pool->open[1]));
            memcpy(record + 20, &low, 8);
        }
        at += is_six ? 28 : 16;
        answers = 1;
        count->answers[is_six]++;
    } else {
        count->others++;
    }
    count->names[question.name % 64]++;

    if (has_edns) {
        uint8_t *opt = packet + at;
        opt[0] = 0;
        put16(opt + 1, type_opt);
        put16(opt + 3, room);
        opt[5] = (uint8_t)(rcode >> 4);
        opt[6] = 0;
        put16(opt + 7, dnssec_ok << 8);
        put16(opt + 9, 0);
        at += 11;
    }
    packet[2] = (uint8_t)(0x80 | opcode | (rcode == noerror ? 0x04 : 0) | (packet[2] & 0x01)); // QR, AA, RD as it was
    packet[3] = (uint8_t)(rcode & 0x0f);
    put16(packet + 4, question.end > header);
    put16(packet + 6, answers);
    put16(packet + 8, 0);
    put16(packet + 10, has_edns);
    return at;
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: bound ADDRESS PORT IPV4-PREFIX IPV6-PREFIX\n"); return 2; }
    const struct prefix pools[2] = {parse_prefix(argv[3], AF_INET), parse_prefix(argv[4], AF_INET6)};
    const struct sockaddr_in local = socket_address(argv[1], (unsigned)atoi(argv[2]));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    enlarge_buffer(fd);
    if (bind(fd, (const struct sockaddr *)&local, sizeof local)) fail("bind");
    struct sigaction action = {.sa_handler = stop}; // no SA_RESTART: the wait for queries ends
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) fail("getrandom");

    static uint8_t packets[batch][room];
    static struct sockaddr_in peers[batch];
    static struct iovec into[batch], from[batch];
    static struct mmsghdr queries[batch], answers[batch];
    static struct counters count;
    for (int i = 0; i < batch; i++) {
        into[i] = (struct iovec){packets[i], room - 64}; // what is left is for the answer
        queries[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &into[i], .msg_iovlen = 1};
        answers[i].msg_hdr = (struct msghdr){.msg_namelen = sizeof peers[0], .msg_iov = &from[i], .msg_iovlen = 1};
    }
    while (!stopped) {
        for (int i = 0; i < batch; i++) queries[i].msg_hdr.msg_namelen = sizeof peers[0];
        int received = recvmmsg(fd, queries, batch, MSG_WAITFORONE, NULL), ready = 0;
        if (received < 0 && errno != EINTR) fail("recvmmsg");
        for (int i = 0; i < received; i++) {
            unsigned length = answer(packets[i], queries[i].msg_len, pools, &seed, &count);
            if (length == 0) { count.dropped++; continue; }
            from[ready] = (struct iovec){packets[i], length};
            answers[ready++].msg_hdr.msg_name = &peers[i];
        }
        count.received += received > 0 ? (uint64_t)received : 0;
        for (int sent = 0; sent < ready;) {
            int some = sendmmsg(fd, answers + sent, (unsigned)(ready - sent), 0);
            sent += some > 0 ? some : 1; // one that cannot be sent must not keep back the others
        }
    }
    fprintf(stderr, "%lu queries, %lu dropped; answers: %lu A, %lu AAAA, %lu without an address\n",
            count.received, count.dropped, count.answers[0], count.answers[1], count.others);
}
