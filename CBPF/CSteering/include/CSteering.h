// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot express: libbpf's size-checked option structs, macros, atomics on mapped memory, and functions that
// glibc declares only with _GNU_SOURCE. Nothing here makes decisions.
#ifndef CSTEERING_H
#define CSTEERING_H

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "steering_abi.h"

#pragma clang assume_nonnull begin

struct bpf_object;
struct bpf_sk_lookup;

/// The kernel's limit on descriptors per message (SCM_MAX_FD).
enum { CSTEERING_MAX_DESCRIPTORS = 253 };

/// The embedded object file of the BPF programs.
const void *csteering_object_bytes(void);
size_t csteering_object_size(void);

/// A map of the object file that the program uses. Maps not listed are not created.
struct csteering_map {
    const char *name;
    /// An existing map to use; -1 to create one.
    int reused;
    /// The number of entries of a new map; 0 for that in the object file.
    uint32_t entries;
};

/// What to load from the object file.
struct csteering_build {
    const char *program;
    /// Whether the kernel passes the ingress interface to programs.
    bool has_ingress_interface;
    /// The filter of a program that observes.
    struct steering_observation observation;
    const struct csteering_map *_Nullable maps;
    size_t map_count;
};

/// Opens and loads an object file without printing. Writes the verifier's log to `log`. Returns 0 or a negative errno.
int csteering_load(const void *bytes, size_t size, const struct csteering_build *build, char *log, size_t log_size,
                   struct bpf_object *_Nullable *_Nonnull object);

/// Runs a loaded sk_lookup program once on `context`, which receives the cookie of the selected socket. Returns 0 or a
/// negative errno.
int csteering_test_run(int program, struct bpf_sk_lookup *context, uint32_t *verdict);

/// Creates an array map with `count` values of `size` bytes. Returns a descriptor or a negative errno.
int csteering_create_chunks(uint32_t size, uint32_t count);

/// Returns the number of values in an entry of a per-CPU map, or a negative errno. Prints nothing.
int csteering_possible_cpus(void);

/// Opens a pinned map read-only. Returns a descriptor or a negative errno.
int csteering_open_pin_to_read(const char *path);

/// Makes malloc keep freed memory for reuse, in huge pages, for the life of the process.
void csteering_keep_memory(void);

/// Stores the generation with release ordering, in memory that the program reads.
void csteering_publish(uint64_t *generation, uint64_t value);

/// Loads the generation with acquire ordering.
uint64_t csteering_generation(const uint64_t *generation);

/// Exchanges two paths in one step (RENAME_EXCHANGE). Returns 0 or a negative errno.
int csteering_exchange(const char *one, const char *other);

/// Moves the calling thread into a network namespace (setns). Returns 0 or a negative errno.
int csteering_enter_netns(int descriptor);

/// Moves the calling thread into a new network namespace (unshare). Returns 0 or a negative errno.
int csteering_new_netns(void);

/// Reads SO_NETNS_COOKIE (Linux 5.14), which older C libraries do not define. Returns 0 or a negative errno.
int csteering_netns_cookie(int socket, uint64_t *cookie);

/// Opens a process (pidfd_open, Linux 5.3, which older C libraries do not declare), so that its PID cannot be mistaken
/// for a later process. Returns a descriptor, close-on-exec, or a negative errno.
int csteering_pidfd_open(pid_t pid);

/// Duplicates a descriptor of a process (pidfd_getfd, Linux 5.6). Returns a descriptor, close-on-exec, or a negative
/// errno.
int csteering_pidfd_getfd(int pidfd, int descriptor);

/// Kills a process (pidfd_send_signal, Linux 5.1). Returns 0 or a negative errno.
int csteering_pidfd_kill(int pidfd);

/// A received message: its size, source and original destination. The family of `destination` is 0 if the kernel did
/// not report it. If `segment` is not 0, the message consists of coalesced datagrams of that size; the last one may be
/// shorter (UDP_GRO).
struct csteering_datagram {
    size_t size, segment;
    struct sockaddr_storage source, destination;
};

/// The maximum number of messages in one csteering_receive call.
enum { CSTEERING_MAX_DATAGRAMS = 64 };

/// Receives datagrams with their original destinations, each into `size` bytes of the buffer. Needs IP_RECVORIGDSTADDR
/// on the socket. A blocking socket waits for the first datagram only. Returns their number or a negative errno. In C
/// because CMSG_* are macros and recvmmsg needs _GNU_SOURCE.
int csteering_receive(int socket, void *buffer, size_t size, struct csteering_datagram *datagrams, size_t count);

/// Sends a datagram from the address of `source` (IP_PKTINFO) and the socket's own port. If `segment` is not 0, the
/// kernel splits it into datagrams of that size; the last one may be shorter (UDP_SEGMENT). Returns the number of bytes
/// sent or a negative errno.
ssize_t csteering_send(int socket, const void *_Nullable buffer, size_t size, uint16_t segment,
                       const struct sockaddr_storage *source, const struct sockaddr_storage *destination);

/// Waits for a descriptor to become readable without a thread, by the kernel's asynchronous poll (io_submit, Linux
/// 4.19, which glibc does not declare). One object waits for one descriptor at a time.
struct csteering_poll;

/// Creates an object, or returns NULL if the kernel does not allow it.
struct csteering_poll *_Nullable csteering_poll_make(void);

/// Adds 1 to `counter` (an eventfd) once `descriptor` is readable. Keep `descriptor` open until then. Returns 0 or a
/// negative errno.
int csteering_poll_once(struct csteering_poll *poll, int descriptor, int counter);

/// Cancels the wait and frees the object.
void csteering_poll_end(struct csteering_poll *poll);

/// Sends a message with at most CSTEERING_MAX_DESCRIPTORS descriptors (SCM_RIGHTS; CMSG_* are macros). Returns its size
/// or a negative errno.
ssize_t csteering_send_message(int socket, const void *bytes, size_t size, const int *_Nullable descriptors,
                               size_t count);

/// The properties of a received message.
struct csteering_message {
    size_t descriptor_count;
    /// Whether the message was longer than the buffer (MSG_TRUNC).
    bool is_cut;
    /// Whether descriptors were discarded (MSG_CTRUNC): the process had no room for them, or did not want them.
    bool lacks_descriptors;
};

/// Receives a message with its descriptors, close-on-exec; if `descriptors` is NULL, the kernel discards them. Returns
/// its size, 0 if the other end is closed, or a negative errno.
ssize_t csteering_receive_message(int socket, void *buffer, size_t size, int *_Nullable descriptors,
                                  struct csteering_message *message);

/// Accepts a connection of a listening Unix socket (accept4 needs _GNU_SOURCE). Returns a descriptor, close-on-exec and
/// nonblocking, or a negative errno.
int csteering_accept(int listener);

/// Reads the user, group and PID that connected a Unix socket (SO_PEERCRED; struct ucred needs _GNU_SOURCE). Returns 0
/// or a negative errno.
int csteering_peer(int socket, uid_t *user, gid_t *group, pid_t *process);

/// Drops all capabilities of the calling thread except `kept`, irrevocably and across execve; also from the bounding
/// set if that is allowed. Returns 0 or a negative errno.
int csteering_drop_capabilities(uint64_t kept);

/// Forks the calling process, which must have a single thread. Returns the child's PID, 0 in the child, or a negative
/// errno. In C because Swift does not import fork.
pid_t csteering_fork(void);

/// Makes the calling process adopt its orphaned descendants (prctl is variadic). Returns 0 or a negative errno.
int csteering_adopt_descendants(void);

/// Closes all descriptors from `first` on (close_range needs _GNU_SOURCE). Returns 0 or a negative errno.
int csteering_close_from(int first);

/// Creates a file in memory, close-on-exec (memfd_create needs _GNU_SOURCE). Returns a descriptor or a negative errno.
int csteering_memory_file(const char *name);

#pragma clang assume_nonnull end

#endif
