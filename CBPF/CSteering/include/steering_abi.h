/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What user space and the BPF program agree on: the layout of the tables, the
 * meaning of their words, the values of the maps. This file is its only owner:
 * steering.bpf.c includes it, and Swift imports it.
 *
 * The tables of a policy are one piece of memory, a power of two in size, little-endian:
 *
 *   0x00000  struct steering_header
 *   0x00040  port classes: 65,536 16-bit numbers for TCP, then as many for UDP
 *   0x40040  IPv4 root: an entry for each value of the address's first 16 bits, in network order
 *   0xc0040  IPv6 root: the same
 *   0x140040 nodes and rows, in no order
 *
 * A program has two such halves: the one in force, and the last or the next one.
 */
#ifndef STEERING_ABI_H
#define STEERING_ABI_H

#include <linux/types.h>

enum {
	/* The layout: raised whenever anything below, or the form of the pinned bindings, changes
	 * its meaning. */
	STEERING_ABI_VERSION = 3,

	/* Bytes in a half. Each larger size is four times the one before. Before Linux 6.0 a map's value has
	 * at most 4 MiB: two halves of the smallest. */
	STEERING_SMALLEST_TABLES = 2 << 20,
	STEERING_TABLE_SIZES = 4,

	STEERING_PORTS_AT = 0x40,
	STEERING_ROOT_IPV4_AT = 0x40040,
	STEERING_ROOT_IPV6_AT = 0xc0040,
	STEERING_NODES_AT = 0x140040,
	STEERING_ROOT_BITS = 16,
};

/*
 * An entry of a trie: over an address, a port, an interface's index. 64 bits:
 *
 *   0-31   a word: 0, nothing is bound here; a cell, what happens: its highest bit, LEAF, is set;
 *          otherwise a node that takes the next n bits of the key. Bits 0-5 are 64 - n, 6-30 its place,
 *          in units of 8 bytes: a word for keys that an entry of the node does not fit, 4 bytes of
 *          nothing, and 2^n entries
 *   32-37  63 - s, where the entry skips s bits of the key (none at the least)
 *   38-63  the value that these bits must have, on top
 *
 * A trie without a root, for keys of up to 64 bits, is the word and the entry of a node of one.
 */
enum {
	STEERING_BITS_MASK = 63,
	STEERING_NODE_SHIFT = 6,
	STEERING_SKIP_SHIFT = 32,
	STEERING_MAX_SKIP = 26,

	/* Nodes on a path, at most: below the IPv4 root; anywhere else. */
	STEERING_IPV4_DEPTH = 4,
	STEERING_DEPTH = 8,
};
#define STEERING_LEAF 0x80000000u

/*
 * A cell: 0, or a kind in bits 28-31, then a number. Kinds with a label are the
 * greatest: the program, which is mostly run for them, compares once.
 */
enum {
	STEERING_CELL_SHIFT = 28,
	STEERING_CELL_MASK = (1 << STEERING_CELL_SHIFT) - 1,

	/* Only in tries over an address, at bit 64: the trie over the other 64, by its place / 8. */
	STEERING_LOWER = 8,
	/* Only in the trie over the destination: cells, one for each port class, by their place / 4. */
	STEERING_ROW = 9,
	/* Tries by their place / 8, in this order on the way of a packet: over the port, one for TCP and 16 bytes
	 * behind it one for UDP; over the source address; over the interface's index. */
	STEERING_BY_PORT = 10,
	STEERING_BY_SOURCE = 11,
	STEERING_BY_INTERFACE = 12,

	STEERING_VERDICT = 13, /* SK_DROP or SK_PASS: refuse, or leave it to others */
	STEERING_LABEL_OR_PASS = 14, /* label x 4 + family: to its socket; without one, pass */
	STEERING_LABEL_OR_REFUSE = 15, /* label x 4 + family: to its socket; without one, refuse */
	STEERING_FIRST_LABEL = STEERING_LABEL_OR_PASS,
};

/*
 * Destination: label x family x protocol. Each has slots in `sockets`, at its number,
 * its number + STEERING_MAX_DESTINATIONS and so on: the first holds the socket, the
 * rest hold other members of its SO_REUSEPORT group, which stand in when it is closed.
 * `sockets`, `registrations`, `metrics` and `verdicts` outlive an upgrade of the program:
 * their shape stays as it is in every version.
 */
enum {
	STEERING_MAX_LABELS = 1024,
	STEERING_DESTINATIONS_PER_LABEL = 4,
	STEERING_IPV6 = 2,
	STEERING_UDP = 1,
	STEERING_SLOTS = 16,
	STEERING_MAX_DESTINATIONS = STEERING_MAX_LABELS * STEERING_DESTINATIONS_PER_LABEL,
};

/* At the beginning of a half. */
struct steering_header {
	/* Of the first half only. The lower 32 bits: how far the half in force is from the first, in bytes, and a
	 * flag for user space. The upper ones count the changes. */
	__u64 generation;
	/* For addresses that their root's entry does not fit. */
	__u32 otherwise_ipv4;
	__u32 otherwise_ipv6;
	/* For people. */
	__u32 bytes; /* in use */
	__u32 bindings;
	__u32 rows;
	__u32 port_classes; /* 0: the rows are tries over the port */
	__u32 nodes;
	__u32 reserved[7];
};

enum {
	STEERING_OTHERWISE_IPV4_AT = 8,
	STEERING_OTHERWISE_IPV6_AT = 12,
	STEERING_GENERATION_SHIFT = 32,
	STEERING_IGNORES_INTERFACES = 1, /* the program was loaded where the context has no ingress interface */
};

/* Who is in a slot of `sockets`, which itself tells only cookies: written before the socket is
 * put there, valid while the slot has this cookie. The program does not read it. */
enum {
	STEERING_SOCKET_REUSEPORT = 1,
	STEERING_SOCKET_IPV6 = 2, /* the socket's own family, whatever it receives */
	STEERING_SOCKET_DUAL_STACK = 4,
	STEERING_SOCKET_STANDBY = 8, /* drops what comes, so that clients try again: in the last slot */
};

struct steering_registration_key {
	__u64 cookie;
	__u32 slot;
	__u32 reserved;
};

struct steering_registration {
	__u8 address[16]; /* where it is bound; an IPv4 address in the first four */
	__u16 port;
	__u16 flags;
};

/* Per destination and CPU. A lookup that finds no usable socket is also a miss
 * (the destination has none) or incompatible (the kernel refused it). */
struct steering_metrics {
	__u64 lookups;
	__u64 misses;
	__u64 incompatible;
};

/* Per CPU: packets whose winning binding names no label. */
struct steering_verdicts {
	__u64 refused;
	__u64 passed;
};

/*
 * What follows is between programs that observe (observe.bpf.h) and the process that loaded them: nothing of it is
 * pinned, so it may change in any version.
 */
enum {
	STEERING_EVENTS_BYTES = 256 << 10, /* of the ring buffer */
};

/* Which packets are told of: those whose cell, masked, has the value; of them one in so many. */
struct steering_observation {
	__u32 one_in; /* not 0 */
	__u32 mask;
	__u32 value;
};

/* A packet that is ours. Addresses are in network order, an IPv4 address in the first word. */
struct steering_event {
	__u64 time; /* CLOCK_MONOTONIC, in nanoseconds */
	__u64 generation; /* of the policy that it was judged by, as in the header */
	__u32 source[4];
	__u32 destination[4];
	__u32 cell;
	__u32 interface; /* its index; 0 before Linux 5.17 */
	__u16 source_port;
	__u16 destination_port;
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
};

/* Per CPU: packets that the observation asks for, whether one was told of or not; events that found no room. */
struct steering_observed {
	__u64 seen;
	__u64 lost;
};

_Static_assert(sizeof(struct steering_registration_key) == 16, "no padding");
_Static_assert(sizeof(struct steering_registration) == 20, "no padding");
_Static_assert(sizeof(struct steering_header) == STEERING_PORTS_AT, "fits its place");
_Static_assert(sizeof(struct steering_event) == 64, "no padding");

#endif
