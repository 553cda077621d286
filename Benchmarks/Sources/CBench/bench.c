// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CBench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

int bench_load(const char *path, const char *program, const int *sockets, uint32_t count) {
    struct bpf_object *object = bpf_object__open(path);
    if (!object)
        return -errno;
    int error = bpf_object__load(object);
    for (uint32_t i = 0; !error && i < count; i++)
        error = bench_set_socket(bpf_object__find_map_fd_by_name(object, "sockets"), i, sockets[i]);
    return error ? error : bpf_program__fd(bpf_object__find_program_by_name(object, program));
}

int bench_cookie(int socket, uint64_t *cookie) {
    socklen_t size = sizeof *cookie;
    return getsockopt(socket, SOL_SOCKET, SO_COOKIE, cookie, &size) ? -errno : 0;
}

int bench_set_socket(int sockets, uint32_t destination, int socket) {
    uint64_t value = (uint64_t)socket;
    return bpf_map_update_elem(sockets, &destination, &value, BPF_ANY);
}

int bench_load_lpm(const char *path, uint32_t entries, struct bench_lpm *lpm) {
    struct bpf_object *object = bpf_object__open(path);
    if (!object)
        return -errno;
    int error = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "bindings"), entries);
    if (!error)
        error = bpf_object__load(object);
    if (error)
        return error;
    *lpm = (struct bench_lpm){.program = bpf_program__fd(bpf_object__find_program_by_name(object, "lpm")),
                              .bindings = bpf_object__find_map_fd_by_name(object, "bindings"),
                              .sockets = bpf_object__find_map_fd_by_name(object, "sockets")};
    return 0;
}

int bench_bind_lpm(const struct bench_lpm *lpm, const struct lpm_key *keys, const struct lpm_binding *bindings,
                   uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int error = bpf_map_update_elem(lpm->bindings, &keys[i], &bindings[i], BPF_ANY);
        if (error)
            return error;
    }
    return 0;
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

void bench_trim(void) { malloc_trim(0); }

double bench_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct bpf_sk_lookup context_of(const struct bench_packet *packet) {
    struct bpf_sk_lookup context = {.family = packet->family, .protocol = packet->protocol,
                                    .local_port = packet->port, .remote_port = htons((uint16_t)packet->source_port)};
    if (packet->family == AF_INET)
        context.local_ip4 = packet->address[0];
    else
        memcpy(context.local_ip6, packet->address, sizeof context.local_ip6);
    return context;
}

int bench_run_same(int program, const struct bench_packet *packet, uint32_t repeats, double *nanoseconds,
                   struct bench_decision *decision) {
    struct bpf_sk_lookup context = context_of(packet);
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof context, .ctx_out = &context,
                .ctx_size_out = sizeof context, .repeat = (int)repeats);
    // The kernel reports whole nanoseconds a call: too coarse.
    double start = bench_now();
    int error = bpf_prog_test_run_opts(program, &options);
    *nanoseconds = bench_now() - start;
    *decision = (struct bench_decision){.verdict = options.retval, .cookie = context.cookie};
    return error;
}

int bench_run_each(int program, const struct bench_packet *packets, uint32_t count, double *nanoseconds,
                   struct bench_decision *decisions) {
    struct bpf_sk_lookup *contexts = malloc(count * sizeof *contexts);
    if (!contexts)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        contexts[i] = context_of(&packets[i]);
    // Not by libbpf, which would add to what every call costs.
    union bpf_attr attributes = {.test = {.prog_fd = (uint32_t)program, .ctx_size_in = sizeof *contexts}};
    long error = 0;
    double start = bench_now();
    for (uint32_t i = 0; i < count && !error; i++) {
        attributes.test.ctx_in = (uintptr_t)&contexts[i];
        if (decisions) {
            attributes.test.ctx_out = attributes.test.ctx_in;
            attributes.test.ctx_size_out = sizeof *contexts;
        }
        error = syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof attributes);
        if (decisions)
            decisions[i] = (struct bench_decision){.verdict = attributes.test.retval, .cookie = contexts[i].cookie};
    }
    *nanoseconds = bench_now() - start;
    int result = error ? -errno : 0;
    free(contexts);
    return result;
}

int bench_inner_maps(int map, uint32_t *identifiers, uint32_t capacity) {
    struct bpf_map_info info = {0};
    uint32_t size = sizeof info, count = 0;
    int error = bpf_obj_get_info_by_fd(map, &info, &size);
    if (error || info.type != BPF_MAP_TYPE_ARRAY_OF_MAPS)
        return error;
    for (uint32_t key = 0; key < info.max_entries && count < capacity; key++) {
        uint32_t identifier, i = 0;
        if (bpf_map_lookup_elem(map, &key, &identifier))
            continue;
        while (i < count && identifiers[i] != identifier)
            i++;
        if (i == count)
            identifiers[count++] = identifier;
    }
    return (int)count;
}

int bench_map(uint32_t identifier) { return bpf_map_get_fd_by_id(identifier); }

int bench_make_grace(int *inner) {
    *inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "inner", 4, 4, 1, NULL);
    LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = (uint32_t)*inner);
    return *inner < 0 ? *inner : bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", 4, 4, 1, &options);
}

int bench_wait_grace(int grace, int inner) {
    uint32_t zero = 0;
    return bpf_map_update_elem(grace, &zero, &inner, BPF_ANY);
}

int bench_allow_descriptors(uint32_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return -errno;
    struct rlimit wanted = {.rlim_cur = count, .rlim_max = count > limit.rlim_max ? count : limit.rlim_max};
    if (limit.rlim_cur < count && !setrlimit(RLIMIT_NOFILE, &wanted))
        return (int)count;
    limit.rlim_cur = limit.rlim_max; // containers often may not raise it
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return -errno;
    return limit.rlim_max > INT_MAX ? INT_MAX : (int)limit.rlim_max;
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
