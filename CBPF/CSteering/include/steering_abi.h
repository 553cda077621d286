/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What user space and the BPF program agree on: the layout of the tables, the
 * meaning of their words, the values of the maps. This file is its only owner:
 * steering.bpf.c includes it, and Swift imports it.
 *
 * The tables of a policy are pages of 32-bit words; a word is named by its index
 * over all pages. The first page begins with fixed tables:
 *
 *   0x00000  port classes: 65,536 16-bit numbers for TCP, then as many for UDP
 *   0x10000  IPv4 root: an entry for each value of the address's first 16 bits
 *   0x20000  IPv6 root: the same
 *   0x30000  struct steering_header
 *   0x30040  nodes and rows, in no order, on into further pages
 */
#ifndef STEERING_ABI_H
#define STEERING_ABI_H

#include <linux/types.h>

enum {
	/* The layout: raised whenever anything below, or the form of the pinned bindings, changes
	 * its meaning. */
	STEERING_ABI_VERSION = 2,

	STEERING_PAGE_SHIFT = 18,
	STEERING_PAGE_WORDS = 1 << STEERING_PAGE_SHIFT,
	STEERING_MAX_PAGES = 128,

	STEERING_PORTS_AT = 0,
	STEERING_ROOT_IPV4_AT = 0x10000,
	STEERING_ROOT_IPV6_AT = 0x20000,
	STEERING_HEADER_AT = 0x30000,
	STEERING_NODES_AT = 0x30040,
	STEERING_ROOT_BITS = 16,
};

/*
 * An entry of a trie: over the address, or over the port.
 *
 *   0              nothing is bound here
 *   a cell         what happens: its highest bit, LEAF, is set
 *   otherwise      a node that takes the next n bits of the key. Bits 0-5 are
 *                  64 - n; with bit 5, which n <= 32 always sets, bits 5-29 are
 *                  the word where the node begins: an odd one. A branch (n <= 16)
 *                  has 2^n entries. A SKIP has three words: the value that the n
 *                  bits must have, the entry then, the entry otherwise.
 */
enum {
	STEERING_SHIFT_MASK = 63,
	STEERING_NODE_SHIFT = 5,
	STEERING_SKIP = 1 << 30,
	STEERING_NODE_MASK = STEERING_SKIP - 1,
	STEERING_MAX_SKIP = 32,

	/* Nodes on a path, at most: below the IPv4 root, in each half of an IPv6 address,
	 * over a port. */
	STEERING_IPV4_DEPTH = 4,
	STEERING_IPV6_DEPTH = 8,
	STEERING_PORT_DEPTH = 4,
};
#define STEERING_LEAF 0x80000000u

/*
 * A cell: 0, or a kind in bits 28-31, then a number. Kinds with a label are the
 * greatest: the program, which is mostly run for them, compares once.
 */
enum {
	STEERING_CELL_SHIFT = 28,
	STEERING_CELL_MASK = (1 << STEERING_CELL_SHIFT) - 1,

	/* Only in the trie over the address: */
	STEERING_LOWER = 8, /* IPv6, below bit 64: a word, the entry of a trie over the other 64 */
	STEERING_ROW = 9, /* by port: a word, cells, one for each port class */
	STEERING_TREE = 10, /* by port: a word, two entries, TCP and UDP, of tries over the port */

	STEERING_MORE = 11, /* reserved: a word, a list to match source prefix and interface */
	STEERING_PASS = 12,
	STEERING_REFUSE = 13,
	STEERING_LABEL_OR_PASS = 14, /* label x 4: to its socket; without one, pass */
	STEERING_LABEL_OR_REFUSE = 15, /* label x 4: to its socket; without one, refuse */
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

/* About the tables: in the first page, for people and for the program's `word`. */
struct steering_header {
	__u32 pages_offset; /* page n is in slot n + pages_offset of `pages` */
	__u32 words; /* in use, over all pages */
	__u32 bindings;
	__u32 rows;
	__u32 port_classes; /* 0: the rows are tries over the port */
};

/* Bits of the generation: which half is in force (the bit is also the half's distance in
 * bytes), and whether it has further pages. The rest counts. */
enum {
	STEERING_HALF = STEERING_PAGE_WORDS * 4,
	STEERING_GENERATION_STEP = 2 * STEERING_HALF,

	STEERING_POLICY_PAGES_AT = 4096, /* bytes from the start of struct steering_policy */
};
#define STEERING_LARGE 0x8000000000000000ull /* the sign: cheap to test */

/* The policy in force and, in the other half, the last or the next one. */
struct steering_policy {
	__u64 generation;
	__u8 reserved[STEERING_POLICY_PAGES_AT - 8];
	__u32 pages[2][STEERING_PAGE_WORDS];
};

/* Who is in a slot of `sockets`, which itself tells only cookies: written before the socket is
 * put there, valid while the slot has this cookie. The program does not read it. */
enum {
	STEERING_SOCKET_REUSEPORT = 1,
	STEERING_SOCKET_IPV6 = 2, /* the socket's own family, whatever it receives */
	STEERING_SOCKET_DUAL_STACK = 4,
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

_Static_assert(sizeof(struct steering_policy) == STEERING_POLICY_PAGES_AT + 8 * STEERING_PAGE_WORDS, "no padding");
_Static_assert(sizeof(struct steering_registration_key) == 16, "no padding");
_Static_assert(sizeof(struct steering_registration) == 20, "no padding");
_Static_assert(sizeof(struct steering_header) <= 4 * (STEERING_NODES_AT - STEERING_HEADER_AT), "fits its place");

#endif
