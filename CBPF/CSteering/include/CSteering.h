// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say itself: option structs that libbpf checks to the byte, macros, atomics on
// mapped memory, and calls that glibc hides behind _GNU_SOURCE. Nothing here decides anything.
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

/// What the kernel takes in one message (SCM_MAX_FD).
enum { CSTEERING_MAX_DESCRIPTORS = 253 };

/// The compiled BPF program, embedded.
const void *csteering_object_bytes(void);
size_t csteering_object_size(void);

/// A map of the object that the program uses; others are not made.
struct csteering_map {
    const char *name;
    /// The map to use; -1 to make one.
    int reused;
    /// How many entries a new one has; 0: as the object says.
    uint32_t entries;
};

/// What to make of the object.
struct csteering_build {
    const char *program;
    /// Whether the kernel tells programs the ingress interface.
    bool has_ingress_interface;
    /// For programs that observe.
    struct steering_observation observation;
    const struct csteering_map *_Nullable maps;
    size_t map_count;
};

/// Opens and loads an object without printing; the verifier's log goes to `log`.
/// Returns 0, or a negative errno.
int csteering_load(const void *bytes, size_t size, const struct csteering_build *build, char *log, size_t log_size,
                   struct bpf_object *_Nullable *_Nonnull object);

/// Runs a loaded sk_lookup program once on `context`, which receives the chosen socket's cookie.
/// Returns 0, or a negative errno.
int csteering_test_run(int program, struct bpf_sk_lookup *context, uint32_t *verdict);

/// Creates an array map that holds bytes, in pieces of `size`. Returns a descriptor, or a negative errno.
int csteering_create_chunks(uint32_t size, uint32_t count);

/// How many values an entry of a per-CPU map has. Negative errno, and not a word on standard error.
int csteering_possible_cpus(void);

/// Opens what is pinned at a path for reading only: maps that may be read. Returns a descriptor, or a negative errno.
int csteering_open_pin_to_read(const char *path);

/// Makes malloc use freed memory again, and huge pages, for as long as the process lives.
void csteering_keep_memory(void);

/// Stores with release ordering, in memory that the program reads.
void csteering_publish(uint64_t *generation, uint64_t value);

/// Loads with acquire ordering.
uint64_t csteering_generation(const uint64_t *generation);

/// Makes two paths change places in one step (RENAME_EXCHANGE). Returns 0, or a negative errno.
int csteering_exchange(const char *one, const char *other);

/// Moves the calling thread into a network namespace (setns). Returns 0, or a negative errno.
int csteering_enter_netns(int descriptor);

/// Gives the calling thread a new network namespace (unshare). Returns 0, or a negative errno.
int csteering_new_netns(void);

/// SO_NETNS_COOKIE, which older C libraries do not name. Returns 0, or a negative errno.
int csteering_netns_cookie(int socket, uint64_t *cookie);

/// Opens a process, so that its number cannot come to mean another (pidfd_open, Linux 5.3; older C
/// libraries do not name it). Returns a descriptor, close-on-exec, or a negative errno.
int csteering_pidfd_open(pid_t pid);

/// Duplicates a descriptor of an opened process (pidfd_getfd, Linux 5.6). Returns a descriptor,
/// close-on-exec, or a negative errno.
int csteering_pidfd_getfd(int pidfd, int descriptor);

/// Kills an opened process (pidfd_send_signal, Linux 5.1). Returns 0, or a negative errno.
int csteering_pidfd_kill(int pidfd);

/// A datagram that was received: its length, and its ends. The family of `destination` is 0 where the kernel told none.
/// Where `segment` is not 0 it is a train of datagrams of that length each, the last of which may be shorter (UDP_GRO).
struct csteering_datagram {
    size_t size, segment;
    struct sockaddr_storage source, destination;
};

/// What csteering_receive takes in one call.
enum { CSTEERING_MAX_DATAGRAMS = 64 };

/// Receives datagrams with their original destinations (IP_RECVORIGDSTADDR must be on; CMSG_* are macros, recvmmsg is
/// behind _GNU_SOURCE), each into `size` bytes of the buffer. Waits for the first, if the socket blocks, and for no
/// other. Returns their number, or a negative errno.
int csteering_receive(int socket, void *buffer, size_t size, struct csteering_datagram *datagrams, size_t count);

/// Sends a datagram whose source address is that of `source` (IP_PKTINFO; its port is the socket's). Where `segment` is
/// not 0 it leaves as datagrams of that length each, the last of which may be shorter (UDP_SEGMENT).
/// Returns its length, or a negative errno.
ssize_t csteering_send(int socket, const void *_Nullable buffer, size_t size, uint16_t segment,
                       const struct sockaddr_storage *source, const struct sockaddr_storage *destination);

/// Waits for a descriptor to be readable, by the kernel's asynchronous poll (io_submit, Linux 4.19, which glibc does not
/// name): without a thread. One object waits for one descriptor at a time.
struct csteering_poll;

/// Makes one, or returns NULL where the kernel does not let it.
struct csteering_poll *_Nullable csteering_poll_make(void);

/// Adds 1 to `counter` (eventfd) once there is something to read from `descriptor`, which stays open until then.
/// Returns 0, or a negative errno.
int csteering_poll_once(struct csteering_poll *poll, int descriptor, int counter);

/// Waits no more, and frees the object.
void csteering_poll_end(struct csteering_poll *poll);

/// Sends a message with descriptors (SCM_RIGHTS; CMSG_* are macros), at most CSTEERING_MAX_DESCRIPTORS. Returns its
/// length, or a negative errno.
ssize_t csteering_send_message(int socket, const void *bytes, size_t size, const int *_Nullable descriptors,
                               size_t count);

/// What came with a message.
struct csteering_message {
    size_t descriptor_count;
    /// Whether the message was longer than the buffer.
    bool is_cut;
    /// Whether descriptors came that could not be taken: no room, or not asked for.
    bool lacks_descriptors;
};

/// Receives a message and the descriptors that came with it, close-on-exec; without `descriptors`, the kernel drops
/// them. Returns its length, 0 when the other end is closed, or a negative errno.
ssize_t csteering_receive_message(int socket, void *buffer, size_t size, int *_Nullable descriptors,
                                  struct csteering_message *message);

/// The next client of a listening Unix socket: a descriptor, close-on-exec and non-blocking (accept4 is behind
/// _GNU_SOURCE), or a negative errno.
int csteering_accept(int listener);

/// The user, the group and the process that connected a Unix socket (SO_PEERCRED; struct ucred is behind
/// _GNU_SOURCE). Returns 0, or a negative errno.
int csteering_peer(int socket, uid_t *user, gid_t *group, pid_t *process);

/// Gives up every capability of the calling thread but these, for good, also across execve. The bounding set shrinks
/// where that is allowed. Returns 0, or a negative errno.
int csteering_limit_capabilities(uint64_t kept);

/// A copy of the calling process, which must have one thread only (Swift cannot say fork, since others would be lost).
/// Returns its number, 0 in the copy, or a negative errno.
pid_t csteering_fork(void);

/// Makes the calling process the parent of those whose own ends, of all that descend from it (prctl is variadic). Returns
/// 0, or a negative errno.
int csteering_adopt_descendants(void);

/// Closes all descriptors from this one on (close_range is behind _GNU_SOURCE). Returns 0, or a negative errno.
int csteering_close_from(int first);

/// A file in memory alone, close-on-exec (memfd_create is behind _GNU_SOURCE). Returns a descriptor, or a negative errno.
int csteering_memory_file(const char *name);

#pragma clang assume_nonnull end

#endif
