/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The ABI between user space and the BPF programs: the layout of the tables, the
 * encoding of their words, the values of the maps. It is defined only here:
 * steering.bpf.c includes this file, and Swift imports it.
 *
 * The tables of a policy are one block of memory, a power of two in size, little-endian:
 *
 *   0x00000  struct steering_header
 *   0x00040  port classes: 65,536 16-bit numbers for TCP, then as many for UDP
 *   0x40040  IPv4 root: an entry for each value of the first 16 bits of the address, indexed in network order
 *   0xc0040  IPv6 root: the same
 *   0x140040 nodes and rows, in no particular order
 *
 * A program has two such halves: one is in force, the other holds the former policy or takes the next one.
 */
#ifndef STEERING_ABI_H
#define STEERING_ABI_H

#include <linux/types.h>

enum {
	/* The version of the layout. Increment it whenever the meaning of anything below, or of the
	 * pinned bindings, changes. */
	STEERING_ABI_VERSION = 3,

	/* Bytes in a half. Each size is four times the one before. Before Linux 6.0, a map value is limited
	 * to 4 MiB: two halves of the smallest size. */
	STEERING_SMALLEST_TABLES = 2 << 20,
	STEERING_TABLE_SIZES = 4,

	STEERING_PORTS_AT = 0x40,
	STEERING_ROOT_IPV4_AT = 0x40040,
	STEERING_ROOT_IPV6_AT = 0xc0040,
	STEERING_NODES_AT = 0x140040,
	STEERING_ROOT_BITS = 16,
};

/*
 * An entry of a trie over an address, a port or an interface index. 64 bits:
 *
 *   0-31   a word. 0: nothing is bound here. With the highest bit, LEAF, set: a cell, which holds the
 *          outcome. Otherwise a node that branches on the next n bits of the key: bits 0-5 hold 64 - n,
 *          bits 6-30 its offset in units of 8 bytes. At that offset are a word for keys that do not
 *          match the entry selected in the node, 4 unused bytes, and 2^n entries
 *   32-37  63 - s, where the entry skips s bits of the key (s may be 0)
 *   38-63  the value that the skipped bits must have, left-aligned
 *
 * A trie without a root table, for keys of up to 64 bits, has the layout of a node with one entry.
 */
enum {
	STEERING_BITS_MASK = 63,
	STEERING_NODE_SHIFT = 6,
	STEERING_SKIP_SHIFT = 32,
	STEERING_MAX_SKIP = 26,

	/* The most nodes on a path: below the IPv4 root, and anywhere else. */
	STEERING_IPV4_DEPTH = 4,
	STEERING_DEPTH = 8,
};
#define STEERING_LEAF 0x80000000u

/*
 * A cell: 0, or a kind in bits 28-31 and a number below. The kinds with a label, by far the
 * most frequent, are the greatest, so that the program tests for them with one comparison.
 */
enum {
	STEERING_CELL_SHIFT = 28,
	STEERING_CELL_MASK = (1 << STEERING_CELL_SHIFT) - 1,

	/* Only in tries over an address, at bit 64: offset / 8 of the trie over the other 64 bits. */
	STEERING_LOWER = 8,
	/* Only in the trie over the destination: offset / 4 of a row of cells, one per port class. */
	STEERING_ROW = 9,
	/* Offset / 8 of a trie of the second stage, in the order in which they are looked up: over the port, with
	 * the trie for TCP and, 16 bytes later, the one for UDP; over the source address; over the interface index. */
	STEERING_BY_PORT = 10,
	STEERING_BY_SOURCE = 11,
	STEERING_BY_INTERFACE = 12,

	STEERING_VERDICT = 13, /* SK_DROP to refuse, SK_PASS to pass */
	STEERING_LABEL_OR_PASS = 14, /* label x 4 + family: to its socket; without one, pass */
	STEERING_LABEL_OR_REFUSE = 15, /* label x 4 + family: to its socket; without one, refuse */
	STEERING_FIRST_LABEL = STEERING_LABEL_OR_PASS,
};

/*
 * A destination: label x family x protocol. Its slots in `sockets` are at its number,
 * its number + STEERING_MAX_DESTINATIONS, and so on. The first holds the socket; the
 * others hold members of the same SO_REUSEPORT group, which stand in when it is closed.
 * `sockets`, `registrations`, `metrics` and `verdicts` survive an upgrade of the program,
 * so their shape is the same in every version.
 */
enum {
	STEERING_MAX_LABELS = 1024,
	STEERING_DESTINATIONS_PER_LABEL = 4,
	STEERING_IPV6 = 2,
	STEERING_UDP = 1,
	STEERING_SLOTS = 16,
	STEERING_MAX_DESTINATIONS = STEERING_MAX_LABELS * STEERING_DESTINATIONS_PER_LABEL,
};

/* The beginning of a half. */
struct steering_header {
	/* Only in the first half. Lower 32 bits: the offset of the half in force, in bytes, and a flag for user
	 * space. Upper 32 bits: the number of changes. */
	__u64 generation;
	/* The words for addresses that do not match the entry selected in the root. */
	__u32 otherwise_ipv4;
	__u32 otherwise_ipv6;
	/* For status output; the program does not read it. */
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
	STEERING_IGNORES_INTERFACES = 1, /* the kernel does not pass the ingress interface to the program */
};

/* The record of a socket in a slot of `sockets`, which itself returns only cookies. Written before the
 * socket is put into the slot, and valid while the slot has this cookie. The program does not read it. */
enum {
	STEERING_SOCKET_REUSEPORT = 1,
	STEERING_SOCKET_IPV6 = 2, /* the family of the socket itself, even if dual-stack */
	STEERING_SOCKET_DUAL_STACK = 4,
	STEERING_SOCKET_STANDBY = 8, /* in the last slot; drops packets so that clients retry */
};

struct steering_registration_key {
	__u64 cookie;
	__u32 slot;
	__u32 reserved;
};

struct steering_registration {
	__u8 address[16]; /* the bound address; IPv4 in the first four bytes */
	__u16 port;
	__u16 flags;
};

/* Per destination and CPU. A lookup without a usable socket also counts as a miss
 * (the destination has none) or as incompatible (the kernel refused the socket). */
struct steering_metrics {
	__u64 lookups;
	__u64 misses;
	__u64 incompatible;
};

/* Per CPU: packets decided by bindings without a label. */
struct steering_verdicts {
	__u64 refused;
	__u64 passed;
};

/*
 * The interface between programs that observe (observe.bpf.h) and the process that loaded them. Nothing of it is
 * pinned, so it may change in any version.
 */
enum {
	STEERING_EVENTS_BYTES = 256 << 10, /* size of the ring buffer */
};

/* The packets to report: one in `one_in` of those with (cell & mask) == value. */
struct steering_observation {
	__u32 one_in; /* not 0 */
	__u32 mask;
	__u32 value;
};

/* A packet that a binding matches. Addresses are in network order, IPv4 in the first word. */
struct steering_event {
	__u64 time; /* CLOCK_MONOTONIC, in nanoseconds */
	__u64 generation; /* of the policy that decided, as in the header */
	__u32 source[4];
	__u32 destination[4];
	__u32 cell;
	__u32 interface; /* ingress index; 0 before Linux 5.17 */
	__u16 source_port;
	__u16 destination_port;
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
};

/* Per CPU: packets that match the observation, before sampling, and events lost because the buffer was full. */
struct steering_observed {
	__u64 seen;
	__u64 lost;
};

_Static_assert(sizeof(struct steering_registration_key) == 16, "no padding");
_Static_assert(sizeof(struct steering_registration) == 20, "no padding");
_Static_assert(sizeof(struct steering_header) == STEERING_PORTS_AT, "fits its place");
_Static_assert(sizeof(struct steering_event) == 64, "no padding");

#endif
