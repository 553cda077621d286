// SPDX-License-Identifier: Apache-2.0
//
// What the files of traffic share.
#ifndef CBENCH_TRAFFIC_INTERNAL_H
#define CBENCH_TRAFFIC_INTERNAL_H

#include "CBench.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/// What bench_aim has set.
extern struct sockaddr_storage targets[BENCH_BURST];
extern socklen_t target_size;
extern uint32_t target_count;

struct moment {
    struct timespec time, processor;
};

static inline struct moment moment(void) {
    struct moment now;
    clock_gettime(CLOCK_MONOTONIC, &now.time);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now.processor);
    return now;
}

static inline double nanoseconds_between(struct timespec start, struct timespec end) {
    return (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
}

static inline struct bench_burst burst_since(struct moment start, uint32_t completed) {
    struct moment end = moment();
    return (struct bench_burst){.nanoseconds = nanoseconds_between(start.time, end.time),
                                .processor = nanoseconds_between(start.processor, end.processor),
                                .completed = completed};
}

/// Returns the address's size.
static inline socklen_t socket_address(const struct bench_packet *packet, struct sockaddr_storage *address) {
    memset(address, 0, sizeof *address);
    if (packet->family == AF_INET) {
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
        *ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)packet->port),
                                     .sin_addr.s_addr = packet->address[0]};
        return sizeof *ipv4;
    }
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
    *ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)packet->port)};
    memcpy(&ipv6->sin6_addr, packet->address, sizeof ipv6->sin6_addr);
    return sizeof *ipv6;
}

#endif
