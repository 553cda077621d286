// SPDX-License-Identifier: Apache-2.0
// What programs that ask and answer share: numbers as the wire has them, prefixes, time, and chance.
#pragma once
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

enum { batch = 64, header = 12, type_a = 1, type_aaaa = 28, type_opt = 41, class_in = 1 };

// A prefix as two words in the host's order: what all its addresses share, and the bits that it leaves open. An IPv4
// address stands in the upper half of the first word.
struct prefix { uint64_t base[2], open[2]; unsigned length, bits; };

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

static inline unsigned get16(const uint8_t *at) { return (unsigned)(at[0] << 8 | at[1]); }
static inline void put16(uint8_t *at, unsigned value) { at[0] = (uint8_t)(value >> 8); at[1] = (uint8_t)value; }

static inline uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

// wyrand: one multiplication a draw.
static inline uint64_t draw(uint64_t *seed) {
    *seed += 0xa0761d6478bd642full;
    __uint128_t product = (__uint128_t)*seed * (*seed ^ 0xe7037ed1a0b428dbull);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline struct prefix parse_prefix(const char *text, int family) {
    char address[64];
    uint8_t bytes[16] = {0};
    const char *slash = strchr(text, '/');
    struct prefix prefix = {.bits = family == AF_INET ? 32 : 128, .length = slash ? (unsigned)atoi(slash + 1) : 0};
    snprintf(address, sizeof address, "%.*s", slash ? (int)(slash - text) : 0, text);
    if (prefix.length > prefix.bits || inet_pton(family, address, bytes) != 1) {
        fprintf(stderr, "'%s' is no prefix of this family: write one such as 192.0.2.0/24 or 2001:db8::/44\n", text);
        exit(2);
    }
    for (int word = 0; word < 2; word++) {
        int fixed = (int)prefix.length - 64 * word;
        prefix.open[word] = fixed <= 0 ? ~0ull : fixed >= 64 ? 0 : ~0ull >> fixed;
        memcpy(&prefix.base[word], bytes + 8 * word, 8);
        prefix.base[word] = be64toh(prefix.base[word]) & ~prefix.open[word];
    }
    return prefix;
}

// A socket's buffers as large as root may have them; else as large as the system lets all have them.
static inline void enlarge_buffer(int fd) {
    int bytes = 4 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)
        && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes)) fail("SO_RCVBUF");
}

static inline struct sockaddr_in socket_address(const char *address, unsigned port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &result.sin_addr) != 1) { errno = EINVAL; fail(address); }
    return result;
}
