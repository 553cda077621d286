// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "traffic_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

/// A reset instead of an end: no TIME_WAIT is left, which would fill tables that all measures share.
static int connect_resetting(const struct sockaddr_storage *target) {
    int client = socket(target->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0)
        return -errno;
    const struct linger reset = {.l_onoff = 1};
    // Whatever goes wrong ends a measure that would else wait for ever.
    const struct timeval patience = {.tv_sec = 5};
    if (setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) ||
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        connect(client, (const struct sockaddr *)target, target_size)) {
        int error = errno;
        close(client);
        return -error;
    }
    return client;
}

static int serve(int poller, const struct sockaddr_storage *expected) {
    struct epoll_event ready;
    int count = epoll_wait(poller, &ready, 1, 5000);
    if (count <= 0)
        return count < 0 ? -errno : -ETIMEDOUT;
    int server = accept4(ready.data.fd, NULL, NULL, SOCK_CLOEXEC);
    if (server < 0)
        return -errno;
    char byte;
    if (recv(server, &byte, 1, 0) != 1 || send(server, &byte, 1, MSG_NOSIGNAL) != 1)
        return -EPROTO;
    if (expected) {
        struct sockaddr_storage local = {0};
        socklen_t size = sizeof local;
        if (getsockname(server, (struct sockaddr *)&local, &size) || memcmp(&local, expected, target_size))
            return -EPROTO;
    }
    return server;
}

int bench_visit(int poller, bool check, struct bench_burst *burst) {
    struct moment start = moment();
    for (uint32_t i = 0; i < target_count; i++) {
        int client = connect_resetting(&targets[i]);
        if (client < 0)
            return client;
        char byte = 'x';
        if (send(client, &byte, 1, MSG_NOSIGNAL) != 1)
            return -errno;
        int server = serve(poller, check ? &targets[i] : NULL);
        if (server < 0)
            return server;
        if (recv(client, &byte, 1, 0) != 1)
            return -EPROTO;
        close(client);
        close(server);
    }
    *burst = burst_since(start, target_count);
    return 0;
}

enum { CONNECTIONS = 256 };
static const char question[32] = "steering";

/// Sends a question over connection number `slot`, which is made if there is none.
static int ask(int poller, const struct sockaddr_storage *target, uint32_t slot, int *clients) {
    if (clients[slot] < 0) {
        int client = connect_resetting(target);
        if (client < 0)
            return client;
        clients[slot] = client;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, client, &event))
            return -errno;
    }
    return send(clients[slot], question, sizeof question, MSG_NOSIGNAL) == sizeof question ? 0 : -EPROTO;
}

int bench_echo(const struct bench_packet *packet, uint32_t connections, double seconds, bool reconnect,
               struct bench_burst *burst) {
    struct sockaddr_storage target;
    target_size = socket_address(packet, &target);
    int clients[CONNECTIONS];
    if (connections > CONNECTIONS)
        return -EINVAL;
    for (uint32_t i = 0; i < connections; i++)
        clients[i] = -1;
    int poller = bench_poller();
    if (poller < 0)
        return poller;

    struct moment start = moment();
    uint32_t completed = 0;
    int error = 0;
    for (uint32_t i = 0; i < connections && !error; i++)
        error = ask(poller, &target, i, clients);
    while (!error && burst_since(start, 0).nanoseconds < seconds * 1e9) {
        struct epoll_event ready[CONNECTIONS];
        int count = epoll_wait(poller, ready, CONNECTIONS, 5000);
        if (count <= 0)
            error = count < 0 ? -errno : -ETIMEDOUT;
        for (int i = 0; i < count && !error; i++) {
            uint32_t slot = ready[i].data.u32;
            char echo[sizeof question];
            if (recv(clients[slot], echo, sizeof echo, MSG_WAITALL) != sizeof echo ||
                memcmp(echo, question, sizeof echo)) {
                error = -EPROTO;
                break;
            }
            completed++;
            if (reconnect) {
                close(clients[slot]);
                clients[slot] = -1;
            }
            error = ask(poller, &target, slot, clients);
        }
    }
    *burst = burst_since(start, completed);

    for (uint32_t i = 0; i < connections; i++)
        if (clients[i] >= 0)
            close(clients[i]);
    close(poller);
    return error;
}
