// SPDX-License-Identifier: Apache-2.0
//
// Traffic, made and received by one thread: what a slice of a measure is. In C, because a datagram costs
// little more than a call that would go through several layers. All return 0, a descriptor or a count, or
// a negative errno.
#ifndef CBENCH_TRAFFIC_H
#define CBENCH_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

struct bench_packet;

/// As many datagrams or connections as one call can be aimed at.
enum { BENCH_BURST = 1024 };

/// One slice: all its datagrams, connections or requests together.
struct bench_burst {
    double nanoseconds;
    /// Of it, what the process had a processor, user and system.
    double processor;
    /// Of it, what bench_exchange spent on waiting and receiving.
    double receiving;
    uint32_t completed;
};

/// Makes a network namespace for the calling thread, and enters it. It lives as long as something in it or
/// the descriptor.
int bench_make_namespace(void);

/// The calling thread's. Returns a descriptor.
int bench_own_namespace(void);

/// Moves the calling thread: the sockets it makes from now on belong there.
int bench_enter_namespace(int namespace);

/// A socket bound where a packet goes: UDP, or TCP and listening. It need not be an address of this host.
/// `transparent`: it may be given packets for any other address (TPROXY).
int bench_receiver(const struct bench_packet *address, bool transparent);

/// Makes the kernel choose among `count` members of a SO_REUSEPORT group from number `first` on, in the order in which
/// they were bound, by a program of classic BPF: by flow, or by processor.
int bench_choose_by_flow(int member, uint32_t family, uint32_t first, uint32_t count);
int bench_choose_by_processor(int member, uint32_t first, uint32_t count);

/// How many bytes of memory wait to be received.
int64_t bench_waiting(int socket);

/// As many such sockets in a process of their own, which nobody receives from: one process may not have as many
/// descriptors as a case may need sockets. Returns its process number, when they are there.
int bench_hold(const struct bench_packet *addresses, uint32_t count);

/// Whether a TCP connection to an address comes about; it is reset at once.
int bench_connects(const struct bench_packet *destination);

/// A UDP socket that sends from an address and port of the kernel's choice.
int bench_sender(uint32_t family);

/// Attaches a program to the calling thread's namespace for the life of the process.
int bench_attach(int program);

/// Waits for several sockets (epoll).
int bench_poller(void);
int bench_watch(int poller, int socket);

/// The receive buffer, as if net.core.rmem_max were no limit; the kernel doubles it and has a minimum.
int bench_set_receive_buffer(int socket, int bytes);

/// How many datagrams a socket was given and had no room for, ever.
int64_t bench_drops(int socket);

/// Where the following slices go, at most BENCH_BURST of one family and protocol.
int bench_aim(const struct bench_packet *targets, uint32_t count);

/// Sends a datagram to each target. Nobody receives.
int bench_flood(int sender, struct bench_burst *burst);

/// Sends `batch` datagrams and receives them on whatever sockets the poller has, until each target has had
/// its own. -EPROTO if they come to less.
int bench_exchange(int sender, int poller, uint32_t batch, struct bench_burst *burst);

/// Receives whatever waits on the poller's sockets.
int bench_drain(int poller);

/// A connection to each target from the calling thread's namespace, one after the other: connect, send a
/// byte, wait for a listener of the poller, accept, receive, send it back, close. `check`: see that the
/// connection arrived where it was aimed at.
int bench_visit(int poller, bool check, struct bench_burst *burst);

/// For some time, over so many connections at once: send a few bytes, wait for their echo. `reconnect`: over a new
/// connection each time.
int bench_echo(const struct bench_packet *target, uint32_t connections, double seconds, bool reconnect,
               struct bench_burst *burst);

/// Sends a datagram and waits for the answer, so many times, after a pause each: how long each took.
int bench_round_trips(const struct bench_packet *target, uint32_t count, uint32_t pause_microseconds,
                      double *nanoseconds);

/// Runs a shell command, which is asked to end (SIGTERM) when the calling thread does. Returns its process number.
int bench_start(const char *command);

/// Ends it, and waits until it has ended.
int bench_stop(int process);

#pragma clang assume_nonnull end

#endif
