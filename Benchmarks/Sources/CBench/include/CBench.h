// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say itself: libbpf's option structs, the context's layout, capabilities. All return
// 0 or a descriptor, or a negative errno.
#ifndef CBENCH_H
#define CBENCH_H

#include <stdbool.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The packet that a program is asked about: addresses in network order, `port` not.
struct bench_packet {
    uint32_t family, protocol, port;
    uint32_t address[4];
};

/// One measurement: `nanoseconds` by the wall clock, for all repeats together.
struct bench_run {
    double nanoseconds;
    uint32_t verdict;
    uint64_t cookie;
};

/// Gives the calling thread, and those that it starts, the last processor alone and ahead of all others:
/// first in, first out, so nothing interrupts a measurement, and none moves.
int bench_run_alone(void);

/// Loads an object of Benchmarks/bpf for the life of the process and puts a socket into slot 0 of its
/// map `sockets`. Returns the descriptor of one of its programs.
int bench_load(const char *path, const char *program, int socket);

/// The sk_lookup program that was attached last to the process's network namespace. Returns a descriptor.
int bench_newest_program(void);

/// Runs a program over and over on the same packet.
int bench_measure(int program, const struct bench_packet *packet, uint32_t repeats, struct bench_run *run);

/// Whether programs that are loaded from now on are trusted with speculation (CAP_PERFMON); the verifier
/// hardens the others.
int bench_trust(bool trusted);

#pragma clang assume_nonnull end

#endif
