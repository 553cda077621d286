// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "traffic_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int bench_own_namespace(void) {
    // Not /proc/self: that is the main thread's.
    int namespace = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return namespace < 0 ? -errno : namespace;
}

int bench_make_namespace(void) { return unshare(CLONE_NEWNET) ? -errno : bench_own_namespace(); }

int bench_enter_namespace(int namespace) { return setns(namespace, CLONE_NEWNET) ? -errno : 0; }

/// Of the same name and meaning at both levels, IPv4 and IPv6.
static int set_for_family(int socket, int family, int ipv4_name, int ipv6_name) {
    const int on = 1;
    bool is_ipv4 = family == AF_INET;
    return setsockopt(socket, is_ipv4 ? SOL_IP : SOL_IPV6, is_ipv4 ? ipv4_name : ipv6_name, &on, sizeof on);
}

int bench_receiver(const struct bench_packet *packet, bool transparent) {
    struct sockaddr_storage address;
    socklen_t size = socket_address(packet, &address);
    bool is_tcp = packet->protocol == IPPROTO_TCP;
    int family = address.ss_family;
    int made = socket(family, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0)
        return -errno;
    const int on = 1;
    if ((family == AF_INET6 && setsockopt(made, SOL_IPV6, IPV6_V6ONLY, &on, sizeof on)) ||
        set_for_family(made, family, IP_FREEBIND, IPV6_FREEBIND) ||
        (transparent && set_for_family(made, family, IP_TRANSPARENT, IPV6_TRANSPARENT)) ||
        bind(made, (const struct sockaddr *)&address, size) || (is_tcp && listen(made, 4096))) {
        int error = errno;
        close(made);
        return -error;
    }
    return made;
}

int bench_sender(uint32_t family) {
    int sender = socket((int)family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sender < 0 ? -errno : sender;
}

int bench_attach(int program) {
    int namespace = bench_own_namespace();
    if (namespace < 0)
        return namespace;
    int link = bpf_link_create(program, namespace, BPF_SK_LOOKUP, NULL);
    close(namespace);
    return link;
}

int bench_set_receive_buffer(int socket, int bytes) {
    return setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) ? -errno : 0;
}

static int64_t memory_of(int socket, int what) {
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t size = sizeof memory;
    return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &size) ? -errno : memory[what];
}

int64_t bench_drops(int socket) { return memory_of(socket, SK_MEMINFO_DROPS); }

int64_t bench_waiting(int socket) { return memory_of(socket, SK_MEMINFO_RMEM_ALLOC); }

int bench_poller(void) {
    int poller = epoll_create1(EPOLL_CLOEXEC);
    return poller < 0 ? -errno : poller;
}

int bench_watch(int poller, int socket) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
    return epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) ? -errno : 0;
}

/// A child that is asked to end when the calling thread does. Returns as fork does, or a negative errno.
static pid_t fork_child(void) {
    pid_t parent = getpid(), child = fork();
    if (child)
        return child < 0 ? -errno : child;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    return 0;
}

int bench_hold(const struct bench_packet *addresses, uint32_t count) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    pid_t child = fork_child();
    if (child == 0) {
        // The parent's sockets live and die with the parent.
        dup2(ends[1], 0);
        close_range(1, ~0U, 0);
        int result = 0;
        for (uint32_t i = 0; i < count && result >= 0; i++)
            result = bench_receiver(&addresses[i], false);
        if (write(0, &result, sizeof result) != sizeof result || result < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    int result = child;
    if (child > 0 && (read(ends[0], &result, sizeof result) != sizeof result || result < 0)) {
        bench_stop(child);
        result = result < 0 ? result : -EPROTO;
        child = result;
    }
    close(ends[0]);
    return child;
}

int bench_connects(const struct bench_packet *destination) {
    struct sockaddr_storage address;
    socklen_t size = socket_address(destination, &address);
    struct linger reset = {.l_onoff = 1};
    int client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0)
        return -errno;
    int result = setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) ||
                         connect(client, (const struct sockaddr *)&address, size)
                     ? -errno
                     : 0;
    close(client);
    return result;
}

int bench_start(const char *command) {
    pid_t child = fork_child();
    if (child == 0) {
        execl("/bin/bash", "bash", "-c", command, NULL);
        _exit(127);
    }
    return child;
}

int bench_stop(int process) {
    int status;
    return kill(process, SIGTERM) || waitpid(process, &status, 0) < 0 ? -errno : 0;
}
