// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * steer: chooses the socket that receives a packet, by its destination address,
 * destination port and protocol; where a policy says so, also by its source
 * address and the interface that it came in on.
 *
 * It runs where the kernel looks for a listening TCP or an unconnected UDP
 * socket; packets of established connections never come here.
 *
 *   policy    the tables: the port has a class, the address has a row, class and
 *             row give a cell, the cell says what happens (classify.bpf.h)
 *   sockets   destination -> socket; registrations: what user space knows of each
 *   metrics   per destination; verdicts: for bindings without a label
 *   grace     user space writes to it to wait for runs that are under way
 *
 *   SK_PASS with a socket   a binding steers this packet to it
 *   SK_PASS without         not ours, or a binding says pass
 *   SK_DROP                 ours and refused: TCP answers with a reset, UDP with
 *                           an ICMP port unreachable
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "steering_abi.h"

#include "classify.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEERING_MAX_DESTINATIONS * STEERING_SLOTS);
	__type(key, __u32);
	__type(value, __u64); /* user space reads the socket's cookie */
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEERING_MAX_DESTINATIONS * STEERING_SLOTS);
	__type(key, struct steering_registration_key);
	__type(value, struct steering_registration);
} registrations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEERING_MAX_DESTINATIONS);
	__type(key, __u32);
	__type(value, struct steering_metrics);
} metrics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steering_verdicts);
} verdicts SEC(".maps");

struct token {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} token SEC(".maps");

/* A write to a map of maps returns only when every run that began before it has
 * ended. The program itself does not use it, and it is empty at first: filling it would wait, too. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct token);
} grace SEC(".maps");

/* REPLACE: beside programs that do so too, the one attached last decides; beside others, ours. */
static __always_inline long select(struct bpf_sk_lookup *ctx, struct bpf_sock *socket)
{
	return bpf_sk_assign(ctx, socket, BPF_SK_LOOKUP_F_REPLACE);
}

/* The first slot failed: to another member of its SO_REUSEPORT group or, when none is
 * left, as the label says. A function, so that the ordinary path stays short. */
static __noinline int without_first(struct bpf_sk_lookup *ctx, __u32 destination, __u32 cell)
{
	int found = 0;
#pragma unroll
	for (__u32 row = 0; row < STEERING_SLOTS; row++) {
		__u32 slot = row * STEERING_MAX_DESTINATIONS + destination;
		struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &slot);
		if (!socket)
			continue;
		long error = select(ctx, socket);
		bpf_sk_release(socket);
		if (!error)
			return SK_PASS;
		found |= error != 0;
	}
	struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
	if (counters) {
		barrier_var(found); /* each counter behind its own test: merged, one is reached by speculation alone */
		if (found) {
			counters->incompatible++;
			barrier();
		} else {
			counters->misses++;
			barrier();
		}
	}
	return kind_of(cell) == STEERING_LABEL_OR_PASS ? SK_PASS : SK_DROP;
}

/* A verdict that is made where it is returned. Left alone the compiler makes it once, at the beginning, in a register
 * that every packet has to save. */
static __always_inline int verdict(const int value)
{
	int made;
	asm volatile("%0 = %1" : "=r"(made) : "i"(value));
	return made;
}

/* To the socket of a label. */
static __always_inline int deliver(struct bpf_sk_lookup *ctx, __u32 cell)
{
	volatile __u32 kept = cell; /* on the stack, not in such a register */
	__u32 destination = (cell & STEERING_CELL_MASK) + (ctx->protocol & STEERING_UDP);

	struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
	if (likely(counters))
		counters->lookups++;
	struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &destination); /* its number is its first slot's */
	if (likely(socket)) {
		if (likely(!select(ctx, socket))) {
			bpf_sk_release(socket);
			return verdict(SK_PASS);
		}
		barrier(); /* one release for both would have to remember which */
		bpf_sk_release(socket);
	}
	return without_first(ctx, destination, kept) ? verdict(SK_PASS) : verdict(SK_DROP);
}

/* The verdict of a cell without a label; 0 is not ours. A function, so that the ordinary path stays short. */
static __noinline int without_label(__u32 cell)
{
	const __u32 zero = 0;
	struct steering_verdicts *counts;

	if (!cell)
		return SK_PASS;
	if ((cell & STEERING_CELL_MASK) == SK_PASS) {
		counts = bpf_map_lookup_elem(&verdicts, &zero);
		if (counts)
			counts->passed++;
		return SK_PASS; /* an exception inside a wider binding */
	}
	counts = bpf_map_lookup_elem(&verdicts, &zero);
	if (counts)
		counts->refused++;
	return SK_DROP;
}

static __always_inline int steer(struct bpf_sk_lookup *ctx, const char *halves, const __u32 bytes)
{
	const char *tables = tables_in_force(halves, bytes);
	__u32 class = port_class(ctx, tables);
	if (!class)
		return verdict(SK_PASS);

	__u32 cell;
	if (likely(ctx->family == 2)) {
		__u64 key, entry = ipv4_entry(ctx, tables, &key);
		if (likely(is_label(entry)) && likely(!differs(entry, key)))
			return deliver(ctx, entry); /* most often, and straight on */
		if (!(__u32)entry)
			return verdict(SK_PASS);
		cell = ipv4_leaf(tables, entry, key, bytes);
	} else {
		cell = ipv6_leaf(ctx, tables, bytes);
	}
	if (!is_label(cell)) {
		cell = cell_of(tables, cell, class, bytes);
		if (unlikely(!is_label(cell))) {
			if (!cell)
				return verdict(SK_PASS); /* not ours */
			if (kind_of(cell) < STEERING_VERDICT)
				cell = second_stage(ctx, tables, cell, bytes);
			if (!is_label(cell))
				return without_label(cell);
		}
	}
	return deliver(ctx, cell);
}

/* One program for each size of tables: a size that the verifier had to look up would cost a nanosecond. */
#define FOR_EACH_TABLE_SIZE(DEFINE)                                                                                   \
	DEFINE(2m, STEERING_SMALLEST_TABLES)                                                                          \
	DEFINE(8m, STEERING_SMALLEST_TABLES * 4)                                                                      \
	DEFINE(32m, STEERING_SMALLEST_TABLES * 16)                                                                    \
	DEFINE(128m, STEERING_SMALLEST_TABLES * 64)

/* With its own tables: zero-filled, so that a fresh one steers nothing. User space loads the one it needs and maps
 * its tables. */
#define PROGRAM(name, bytes)                                                                                          \
	char policy_##name[2 * (bytes)] __attribute__((aligned(8))) SEC(".bss." #name);                               \
	SEC("sk_lookup") int steer_##name(struct bpf_sk_lookup *ctx)                                                  \
	{                                                                                                             \
		return steer(ctx, policy_##name, bytes);                                                              \
	}

FOR_EACH_TABLE_SIZE(PROGRAM)

#include "observe.bpf.h"

char _license[] SEC("license") = "GPL"; /* one of the two above */
