// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say itself: libbpf's option structs, the context's layout, capabilities, and loops
// that must not be interrupted by anything of Swift's. All return 0 or a descriptor, or a negative errno.
#ifndef CBENCH_H
#define CBENCH_H

#include "lpm_abi.h"

#include <stdbool.h>
#include <stdint.h>

#include "traffic.h"

#pragma clang assume_nonnull begin

// MARK: - The process

/// Gives the calling thread, and those that it starts, the last processor alone and ahead of all others:
/// first in, first out, so nothing interrupts a measurement, and none moves.
int bench_run_alone(void);

/// Whether programs that are loaded from now on are trusted with speculation (CAP_PERFMON); the verifier
/// hardens the others.
int bench_trust(bool trusted);

/// Raises the limit of open descriptors to this, or as far as it goes. Returns the limit.
int bench_allow_descriptors(uint32_t count);

/// Gives back what the allocator keeps.
void bench_trim(void);

/// By the clock that never jumps.
double bench_now(void);

// MARK: - Programs

/// Loads an object of Benchmarks/bpf for the life of the process and puts sockets into the first slots of its
/// map `sockets`. Returns the descriptor of one of its programs.
int bench_load(const char *path, const char *program, const int *sockets, uint32_t count);

/// What lpm.bpf.c is once loaded.
struct bench_lpm {
    int program, bindings, sockets;
};

/// Loads lpm.bpf.c for the life of the process, for so many entries.
int bench_load_lpm(const char *path, uint32_t entries, struct bench_lpm *lpm);

/// Adds entries. One that is there already is replaced.
int bench_bind_lpm(const struct bench_lpm *lpm, const struct lpm_key *keys, const struct lpm_binding *bindings,
                   uint32_t count);

/// Puts a socket at a destination's place.
int bench_set_socket(int sockets, uint32_t destination, int socket);

/// The sk_lookup program that was attached last to the process's network namespace. Returns a descriptor.
int bench_newest_program(void);

// MARK: - Running them

/// A socket's cookie.
int bench_cookie(int socket, uint64_t *cookie);

/// The packet that a program is asked about: addresses in network order, ports not.
struct bench_packet {
    uint32_t family, protocol, port, source_port;
    uint32_t address[4];
};

/// What a program said of a packet.
struct bench_decision {
    uint32_t verdict;
    uint64_t cookie;
};

/// Asks a program about a packet, so many times.
int bench_run_same(int program, const struct bench_packet *packet, uint32_t repeats, double *nanoseconds,
                   struct bench_decision *decision);

/// Asks a program about each of some packets, once, in a call of its own: nothing is warm that the others did
/// not use. With decisions it stores them, which is not to be timed.
int bench_run_each(int program, const struct bench_packet *packets, uint32_t count, double *nanoseconds,
                   struct bench_decision *_Nullable decisions);

// MARK: - What the kernel holds

/// The distinct numbers of the maps in a map of maps, up to a capacity. Returns how many.
int bench_inner_maps(int map, uint32_t *identifiers, uint32_t capacity);

/// A descriptor of a map by its number.
int bench_map(uint32_t identifier);

/// A map of one map. Returns its descriptor; `inner` is what to write into it.
int bench_make_grace(int *inner);

/// Writes to that: the kernel returns when every program that ran before has ended.
int bench_wait_grace(int grace, int inner);

#pragma clang assume_nonnull end

#endif
