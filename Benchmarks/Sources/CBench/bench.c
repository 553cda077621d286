// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CBench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int bench_run_alone(void) {
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
    struct sched_param first_in_first_out = {.sched_priority = 1};
    if (sched_setaffinity(0, sizeof last, &last) || sched_setscheduler(0, SCHED_FIFO, &first_in_first_out))
        return -errno;
    return 0;
}

int bench_load(const char *path, const char *program, int socket) {
    struct bpf_object *object = bpf_object__open(path);
    if (!object)
        return -errno;
    int error = bpf_object__load(object);
    if (error)
        return error;
    uint32_t zero = 0;
    uint64_t value = (uint64_t)socket;
    error = bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "sockets"), &zero, &value, BPF_ANY);
    return error ? error : bpf_program__fd(bpf_object__find_program_by_name(object, program));
}

int bench_newest_program(void) {
    int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (namespace < 0)
        return -errno;
    uint32_t ids[64], count = sizeof ids / sizeof *ids; // as many as a namespace can hold, oldest first
    int error = bpf_prog_query(namespace, BPF_SK_LOOKUP, 0, NULL, ids, &count);
    close(namespace);
    if (error)
        return error;
    return count ? bpf_prog_get_fd_by_id(ids[count - 1]) : -ENOENT;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int bench_measure(int program, const struct bench_packet *packet, uint32_t repeats, struct bench_run *run) {
    struct bpf_sk_lookup context = {.family = packet->family, .protocol = packet->protocol,
                                    .local_port = packet->port, .remote_port = 1};
    if (packet->family == AF_INET)
        context.local_ip4 = packet->address[0];
    else
        memcpy(context.local_ip6, packet->address, sizeof context.local_ip6);
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof context, .ctx_out = &context,
                .ctx_size_out = sizeof context, .repeat = (int)repeats);
    // The kernel reports whole nanoseconds a call: too coarse.
    double start = now();
    int error = bpf_prog_test_run_opts(program, &options);
    *run = (struct bench_run){.nanoseconds = now() - start, .verdict = options.retval, .cookie = context.cookie};
    return error;
}

int bench_trust(bool trusted) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets))
        return -errno;
    // Either is enough for the verifier. They stay permitted, to be taken back.
    const int trust[] = {CAP_PERFMON, CAP_SYS_ADMIN};
    for (size_t i = 0; i < 2; i++) {
        uint32_t *effective = &sets[CAP_TO_INDEX(trust[i])].effective, bit = CAP_TO_MASK(trust[i]);
        *effective = trusted ? *effective | bit : *effective & ~bit;
    }
    return syscall(SYS_capset, &header, sets) ? -errno : 0;
}
