// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CSteering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR 74
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* Sets constants, which the verifier must know when the program is loaded. */
static int set_constant(struct bpf_object *object, const char *section, const void *value, size_t size) {
    struct bpf_map *map;
    bpf_object__for_each_map(map, object) {
        const char *found = strstr(bpf_map__name(map), ".rodata");
        if (found && !strcmp(found, section))
            return bpf_map__set_initial_value(map, value, size);
    }
    return -ENOENT;
}

/* Creates a map of zero-filled global data. libbpf would copy its own zeros into it, needlessly: 4 MiB and more. */
static int create_zeroed(struct bpf_map *map) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = bpf_map__map_flags(map));
    int made = bpf_map_create(bpf_map__type(map), bpf_map__name(map), bpf_map__key_size(map), bpf_map__value_size(map),
                              bpf_map__max_entries(map), &options);
    if (made < 0)
        return made;
    int error = bpf_map__reuse_fd(map, made);
    close(made);
    return error;
}

/* Selects one program, and the maps that it uses. */
static int choose(struct bpf_object *object, const struct csteering_build *build) {
    const uint8_t has_ingress_interface = build->has_ingress_interface;
    struct bpf_program *program;
    struct bpf_map *map;
    int error = set_constant(object, ".rodata", &has_ingress_interface, sizeof has_ingress_interface);
    if (!error)
        error = set_constant(object, ".rodata.observe", &build->observation, sizeof build->observation);
    bpf_object__for_each_program(program, object) {
        bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), build->program));
        /* Makes the verifier compare states wherever paths can meet. With its own heuristic, and speculation to
           follow, Linux 6.1 exceeds its limit of a million instructions. The program itself does not change. */
        bpf_program__set_flags(program, BPF_F_TEST_STATE_FREQ);
    }
    bpf_object__for_each_map(map, object) {
        if (!strstr(bpf_map__name(map), ".rodata"))
            bpf_map__set_autocreate(map, false);
    }
    for (size_t i = 0; i < build->map_count && !error; i++) {
        const struct csteering_map *wanted = &build->maps[i];
        map = bpf_object__find_map_by_name(object, wanted->name);
        if (!map)
            return -ENOENT;
        bpf_map__set_autocreate(map, true);
        if (wanted->reused >= 0)
            error = bpf_map__reuse_fd(map, wanted->reused);
        else if (!strncmp(wanted->name, ".bss", strlen(".bss")))
            error = create_zeroed(map);
        else if (wanted->entries)
            error = bpf_map__set_max_entries(map, wanted->entries);
    }
    return error;
}

int csteering_load(const void *bytes, size_t size, const struct csteering_build *build, char *log, size_t log_size,
                   struct bpf_object **object) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "steering", .kernel_log_buf = log,
                .kernel_log_size = log_size);
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    struct bpf_object *opened = bpf_object__open_mem(bytes, size, &options);
    int error = opened ? choose(opened, build) : -errno;
    if (!error)
        error = bpf_object__load(opened);
    libbpf_set_print(print);
    if (error) {
        bpf_object__close(opened);
        opened = NULL;
    }
    *object = opened;
    return error;
}

int csteering_test_run(int program, struct bpf_sk_lookup *context, uint32_t *verdict) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = sizeof *context, .ctx_out = context,
                .ctx_size_out = sizeof *context);
    int error = bpf_prog_test_run_opts(program, &options);
    *verdict = options.retval;
    return error;
}

int csteering_create_chunks(uint32_t size, uint32_t count) {
    return bpf_map_create(BPF_MAP_TYPE_ARRAY, "bindings", sizeof(uint32_t), size, count, NULL);
}

int csteering_possible_cpus(void) {
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    int cpus = libbpf_num_possible_cpus();
    libbpf_set_print(print);
    return cpus;
}

int csteering_open_pin_to_read(const char *path) {
    LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = BPF_F_RDONLY);
    return bpf_obj_get_opts(path, &options);
}

void csteering_keep_memory(void) {
    const size_t huge = 2 << 20, reserve = 128 << 20;
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, reserve);
    void *volatile block = malloc(1 << 20); /* extends the heap by the reserve */
    free(block);
    uintptr_t end = (uintptr_t)sbrk(0), start = (end - reserve + huge) & ~(huge - 1);
    madvise((void *)start, end - start, MADV_HUGEPAGE);
}

void csteering_publish(uint64_t *generation, uint64_t value) {
    __atomic_store_n(generation, value, __ATOMIC_RELEASE);
}

uint64_t csteering_generation(const uint64_t *generation) { return __atomic_load_n(generation, __ATOMIC_ACQUIRE); }

int csteering_exchange(const char *one, const char *other) {
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) ? -errno : 0;
}

int csteering_enter_netns(int descriptor) { return setns(descriptor, CLONE_NEWNET) ? -errno : 0; }

int csteering_new_netns(void) { return unshare(CLONE_NEWNET) ? -errno : 0; }

int csteering_netns_cookie(int socket, uint64_t *cookie) {
    socklen_t size = sizeof *cookie;
    return getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) ? -errno : 0;
}

int csteering_pidfd_open(pid_t pid) {
    long descriptor = syscall(SYS_pidfd_open, pid, 0);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int csteering_pidfd_getfd(int pidfd, int descriptor) {
    long taken = syscall(SYS_pidfd_getfd, pidfd, descriptor, 0);
    return taken < 0 ? -errno : (int)taken;
}

int csteering_pidfd_kill(int pidfd) {
    return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) ? -errno : 0;
}

/* Reads the original destination, and the segment size of coalesced datagrams. */
static void read_control(struct msghdr *message, struct csteering_datagram *datagram) {
    struct sockaddr_storage *destination = &datagram->destination;
    memset(destination, 0, sizeof *destination);
    datagram->segment = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR)
            memcpy(destination, CMSG_DATA(c), sizeof(struct sockaddr_in));
        else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVORIGDSTADDR)
            memcpy(destination, CMSG_DATA(c), sizeof(struct sockaddr_in6));
        else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            datagram->segment = size > 0 ? (size_t)size : 0;
        }
    }
}

int csteering_receive(int socket, void *buffer, size_t size, struct csteering_datagram *datagrams, size_t count) {
    _Alignas(struct cmsghdr) char control[CSTEERING_MAX_DATAGRAMS][128];
    struct mmsghdr messages[CSTEERING_MAX_DATAGRAMS];
    struct iovec parts[CSTEERING_MAX_DATAGRAMS];
    if (count > CSTEERING_MAX_DATAGRAMS)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){.iov_base = (char *)buffer + i * size, .iov_len = size};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &datagrams[i].source, .msg_namelen = sizeof datagrams[i].source,
                            .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i],
                            .msg_controllen = sizeof control[i]};
    }
    int received = recvmmsg(socket, messages, count, MSG_WAITFORONE, NULL);
    if (received < 0)
        return -errno;
    for (int i = 0; i < received; i++) {
        datagrams[i].size = messages[i].msg_len;
        read_control(&messages[i].msg_hdr, &datagrams[i]);
    }
    return received;
}

ssize_t csteering_send(int socket, const void *buffer, size_t size, uint16_t segment,
                       const struct sockaddr_storage *source, const struct sockaddr_storage *destination) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof segment)] = {0};
    struct iovec part = {.iov_base = (void *)buffer, .iov_len = size};
    struct msghdr message = {.msg_name = (void *)destination, .msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)control;
    if (destination->ss_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = ((const struct sockaddr_in *)source)->sin_addr};
        message.msg_namelen = sizeof(struct sockaddr_in);
        message.msg_controllen = CMSG_SPACE(sizeof info);
        *c = (struct cmsghdr){.cmsg_level = SOL_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
        memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_addr = ((const struct sockaddr_in6 *)source)->sin6_addr};
        message.msg_namelen = sizeof(struct sockaddr_in6);
        message.msg_controllen = CMSG_SPACE(sizeof info);
        *c = (struct cmsghdr){.cmsg_level = SOL_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
    if (segment) {
        c = (struct cmsghdr *)(control + message.msg_controllen);
        *c = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
        memcpy(CMSG_DATA(c), &segment, sizeof segment);
        message.msg_controllen += CMSG_SPACE(sizeof segment);
    }
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CSTEERING_MAX_DESCRIPTORS * sizeof(int))];
};

ssize_t csteering_send_message(int socket, const void *bytes, size_t size, const int *descriptors, size_t count) {
    union control control = {0};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > CSTEERING_MAX_DESCRIPTORS)
        return -EINVAL;
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
        memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

ssize_t csteering_receive_message(int socket, void *buffer, size_t size, int *descriptors,
                                  struct csteering_message *message) {
    union control control;
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptors) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
    }
    *message = (struct csteering_message){0};
    ssize_t received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (received < 0)
        return -errno;
    /* The kernel puts all descriptors of a message into one header. */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        message->descriptor_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(c), message->descriptor_count * sizeof(int));
    }
    message->is_cut = header.msg_flags & MSG_TRUNC;
    message->lacks_descriptors = header.msg_flags & MSG_CTRUNC;
    return received;
}

int csteering_accept(int listener) {
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return accepted < 0 ? -errno : accepted;
}

int csteering_peer(int socket, uid_t *user, gid_t *group, pid_t *process) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size))
        return -errno;
    *user = peer.uid;
    *group = peer.gid;
    *process = peer.pid;
    return 0;
}

int csteering_drop_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    /* Fails without CAP_SETPCAP; then no_new_privs, below, keeps execve from restoring any of them. */
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (!(kept >> capability & 1))
            prctl(PR_CAPBSET_DROP, capability);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capget, &header, sets))
        return -errno;
    for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
        sets[word].permitted &= kept >> 32 * word;
        sets[word].effective = sets[word].permitted;
        sets[word].inheritable = 0;
    }
    return syscall(SYS_capset, &header, sets) ? -errno : 0;
}

pid_t csteering_fork(void) {
    pid_t process = fork();
    return process < 0 ? -errno : process;
}

int csteering_adopt_descendants(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) ? -errno : 0; }

int csteering_close_from(int first) { return close_range(first, ~0U, 0) ? -errno : 0; }

int csteering_memory_file(const char *name) {
    int file = memfd_create(name, MFD_CLOEXEC);
    return file < 0 ? -errno : file;
}
