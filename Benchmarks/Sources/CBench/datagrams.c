// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "traffic_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

struct sockaddr_storage targets[BENCH_BURST];
socklen_t target_size;
uint32_t target_count;

int bench_aim(const struct bench_packet *packets, uint32_t count) {
    if (count == 0 || count > BENCH_BURST)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        target_size = socket_address(&packets[i], &targets[i]);
    target_count = count;
    return 0;
}

enum { BATCH = 64 }; // received in one call

static char payload[32];

/// Sends to `count` targets from number `first` on.
static int send_to(int sender, uint32_t first, uint32_t count) {
    static struct mmsghdr messages[BENCH_BURST];
    static struct iovec content = {.iov_base = payload, .iov_len = sizeof payload};
    for (uint32_t i = 0; i < count; i++)
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &targets[first + i], .msg_namelen = target_size, .msg_iov = &content, .msg_iovlen = 1};
    for (uint32_t sent = 0; sent < count;) {
        int more = sendmmsg(sender, messages + sent, count - sent, 0);
        if (more < 0)
            return -errno;
        sent += (uint32_t)more;
    }
    return 0;
}

/// Receives what waits on a socket. Returns how much that was.
static int receive_all(int socket) {
    static struct mmsghdr messages[BATCH];
    static char buffers[BATCH][sizeof payload];
    static struct iovec contents[BATCH];
    int received = 0;
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            contents[i] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof buffers[i]};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &contents[i], .msg_iovlen = 1};
        }
        int more = recvmmsg(socket, messages, BATCH, MSG_DONTWAIT, NULL);
        if (more < 0)
            return errno == EAGAIN ? received : -errno;
        received += more;
        if (more < BATCH)
            return received;
    }
}

int bench_flood(int sender, struct bench_burst *burst) {
    struct moment start = moment();
    int error = send_to(sender, 0, target_count);
    *burst = burst_since(start, target_count);
    return error;
}

/// Receives from the sockets that are ready. Returns how much that was, 0 if nothing came in time.
static int receive_from(int poller, int milliseconds) {
    struct epoll_event ready[BATCH];
    int sockets = epoll_wait(poller, ready, BATCH, milliseconds), received = 0;
    if (sockets < 0)
        return -errno;
    for (int i = 0; i < sockets; i++) {
        int more = receive_all(ready[i].data.fd);
        if (more < 0)
            return more;
        received += more;
    }
    return received;
}

int bench_drain(int poller) {
    int received;
    do
        received = receive_from(poller, 0);
    while (received > 0);
    return received;
}

int bench_exchange(int sender, int poller, uint32_t batch, struct bench_burst *burst) {
    struct moment start = moment();
    double receiving = 0;
    for (uint32_t first = 0; first < target_count; first += batch) {
        uint32_t count = first + batch > target_count ? target_count - first : batch;
        int error = send_to(sender, first, count);
        if (error)
            return error;
        struct timespec sent, taken;
        clock_gettime(CLOCK_MONOTONIC, &sent);
        for (uint32_t received = 0; received < count;) {
            int more = receive_from(poller, 1000);
            if (more <= 0)
                return more < 0 ? more : -EPROTO;
            received += (uint32_t)more;
        }
        clock_gettime(CLOCK_MONOTONIC, &taken);
        receiving += nanoseconds_between(sent, taken);
    }
    *burst = burst_since(start, target_count);
    burst->receiving = receiving;
    return 0;
}

int bench_round_trips(const struct bench_packet *target, uint32_t count, uint32_t pause_microseconds,
                      double *nanoseconds) {
    struct sockaddr_storage address;
    socklen_t size = socket_address(target, &address);
    const struct timeval patience = {.tv_sec = 2};
    int client = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (client < 0)
        return -errno;
    int error = setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
                        connect(client, (const struct sockaddr *)&address, size)
                    ? -errno
                    : 0;
    for (uint32_t i = 0; i < count && !error; i++) {
        usleep(pause_microseconds);
        struct moment start = moment();
        if (send(client, payload, sizeof payload, 0) < 0 || recv(client, payload, sizeof payload, 0) < 0)
            error = -errno;
        nanoseconds[i] = burst_since(start, 1).nanoseconds;
    }
    close(client);
    return error;
}
