/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a packet to its cell, by the tables of steering_abi.h. Each step is a table access: the number of
 * bindings does not matter (after "recursive flow classification", Gupta and McKeown, SIGCOMM 1999).
 *
 * `tables` is the half in force and `bytes` its size, a constant power of two, so that the verifier sees
 * every access inside.
 */
#ifndef STEERING_CLASSIFY_BPF_H
#define STEERING_CLASSIFY_BPF_H

#include <bpf/bpf_endian.h>

/* The path of most packets is laid out without jumps. */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Before Linux 5.17 the context has no ingress interface; user space sets this before it loads. The
 * verifier knows constants, and does not look at what they rule out. */
const volatile __u8 has_ingress_interface = 1;

/* A test run has none either; tests take another field. */
#ifndef INGRESS_INTERFACE
#define INGRESS_INTERFACE(ctx) ((ctx)->ingress_ifindex)
#endif

/* The verifier forgets what it knows of a number; on a little-endian machine no instruction is made of it. Where it
 * follows speculation (no CAP_PERFMON), paths that meet again count as one only if it knows the same of every number,
 * and in Linux 6.1 only if none has been copied: else it walks each path to its end, a million instructions long.
 * It compares at branches, so this stands before them. */
#define FORGET(number) asm volatile("%0 = le64 %0" : "+r"(number))

static __always_inline __u64 load64(const char *tables, __u32 at, const __u32 bytes)
{
	return *(const __u64 *)(tables + (at & (bytes - 8)));
}

static __always_inline __u32 load32(const char *tables, __u32 at, const __u32 bytes)
{
	return *(const __u32 *)(tables + (at & (bytes - 4)));
}

/* The leaf for keys that an entry does not fit. The barrier keeps the compiler from making one access of several:
 * where speculation is followed (no CAP_PERFMON) the verifier refuses arithmetic that paths share. */
static __always_inline __u32 otherwise(const char *tables, __u32 at, const __u32 bytes)
{
	__u32 leaf = load32(tables, at, bytes);
	barrier();
	return leaf;
}

/* The tables in force. Read once: one policy for one packet. The header's generation is in the first half. */
static __always_inline const char *tables_in_force(const char *halves, const __u32 bytes)
{
	return halves + (*(const volatile __u64 *)halves & bytes);
}

static __always_inline __u32 kind_of(__u32 cell)
{
	return cell >> STEERING_CELL_SHIFT;
}

static __always_inline int is_label(__u32 cell)
{
	return cell >= (__u32)STEERING_FIRST_LABEL << STEERING_CELL_SHIFT;
}

/* 0 for a port that no binding names. */
static __always_inline __u32 port_class(struct bpf_sk_lookup *ctx, const char *tables)
{
	__u32 index = ctx->protocol << 16 | ctx->local_port; /* TCP is 6, UDP is 17 */

	barrier_var(index); /* the mask comes last: of merged bits older verifiers know no bounds */
	index &= 0x1ffff;
	return *(const __u16 *)(tables + index * 2 + STEERING_PORTS_AT);
}

/* Shifts by the lower six bits of an amount, as the instruction does (RFC 9669, section 4.1); in C the others would
 * have to be masked first. */
static __always_inline __u64 right(__u64 number, __u64 amount)
{
	asm volatile("%0 >>= %1" : "+r"(number) : "r"(amount));
	return number;
}

static __always_inline __u64 left(__u64 number, __u64 amount)
{
	asm volatile("%0 <<= %1" : "+r"(number) : "r"(amount));
	return number;
}

/* In its lower six bits: 63 less the number of bits that an entry skips. */
static __always_inline __u64 skip_of(__u64 entry)
{
	return entry >> STEERING_SKIP_SHIFT;
}

/* Whether the key does not begin with the bits that an entry skips: the value is on top of both. */
static __always_inline int differs(__u64 entry, __u64 key)
{
	return right(key ^ entry, skip_of(entry)) > 1;
}

static __always_inline int is_node(__u64 entry)
{
	return (__s32)entry > 0;
}

/* The leaf for keys that the entry does not fit, from the word at `place`; goes on where it fits. */
#define UNLESS_IT_FITS(place)                                                                                         \
	do {                                                                                                          \
		int differing = right(key ^ entry, skip) > 1;                                                          \
		FORGET(entry);                                                                                        \
		FORGET(key);                                                                                          \
		if (unlikely(differing))                                                                              \
			return otherwise(tables, place, bytes);                                                       \
	} while (0)

/* From an entry that is a node to the next, by the next bits of the key; returns when that is a leaf, or does not
 * fit. A macro, and not a loop: to a verifier that follows speculation (no CAP_PERFMON) a loop has no end, and
 * compilers do not promise to unroll one. */
#define STEP()                                                                                                        \
	do {                                                                                                          \
		__u32 node = (__u32)entry >> STEERING_NODE_SHIFT << 3;                                                \
		__u64 shift = entry;                                                                                  \
		key = left(key, ~skip);                                                                               \
		entry = load64(tables, node + 8 + (__u32)right(key, shift) * 8, bytes);                               \
		key = left(key, -shift);                                                                              \
		skip = skip_of(entry);                                                                                \
		UNLESS_IT_FITS(node);                                                                                 \
		if (likely(!is_node(entry)))                                                                          \
			return entry;                                                                                 \
	} while (0)

/* The leaf that an entry stands for: its own, one below it, or for keys that it does not fit the word at `place`. */
static __always_inline __u32 leaf_of(const char *tables, __u64 entry, __u64 key, __u32 place, const int depth,
				     const __u32 bytes)
{
	__u64 skip = skip_of(entry);

	_Static_assert(STEERING_IPV4_DEPTH == 4 && STEERING_DEPTH == 8, "as below");
	UNLESS_IT_FITS(place);
	if (!is_node(entry))
		return entry;
	STEP();
	STEP();
	STEP();
	STEP();
	if (depth == STEERING_DEPTH) {
		STEP();
		STEP();
		STEP();
		STEP();
	}
	return 0; /* no path is longer */
}

/* The leaf of the trie that a cell names. */
static __always_inline __u32 walk(const char *tables, __u32 cell, __u64 key, const __u32 bytes)
{
	__u32 trie = (cell & STEERING_CELL_MASK) * 8;

	return leaf_of(tables, load64(tables, trie + 8, bytes), key, trie, STEERING_DEPTH, bytes);
}

/* The same as a function: for what is rare, eight steps are written once. */
static __noinline __u32 walk_rarely(const char *tables, __u32 cell, __u64 key, const __u32 bytes)
{
	return walk(tables, cell, key, bytes);
}

static __always_inline __u64 upper(__u32 first, __u32 second)
{
	return bpf_be64_to_cpu((__u64)second << 32 | first);
}

/* Each family reads its own context fields: the verifier refuses accesses that the compiler merged, hence the
 * barriers. Where the word of a root's entry is 0, nothing is bound. */
static __always_inline __u64 ipv4_entry(struct bpf_sk_lookup *ctx, const char *tables, __u64 *key)
{
	__u64 address = ctx->local_ip4;
	barrier();
	*key = upper(address, 0) << 16;
	return *(const __u64 *)(tables + (address & 0xffff) * 8 + STEERING_ROOT_IPV4_AT);
}

static __always_inline __u32 ipv4_leaf(const char *tables, __u64 entry, __u64 key, const __u32 bytes)
{
	return leaf_of(tables, entry, key, STEERING_OTHERWISE_IPV4_AT, STEERING_IPV4_DEPTH, bytes);
}

/* The kernel makes four instructions of each word of an address, so words are read where they are needed. */
static __always_inline __u32 ipv6_leaf(struct bpf_sk_lookup *ctx, const char *tables, const __u32 bytes)
{
	__u64 address = ctx->local_ip6[0];
	__u64 entry = *(const __u64 *)(tables + (address & 0xffff) * 8 + STEERING_ROOT_IPV6_AT);
	if (!(__u32)entry)
		return 0;
	__u64 key = upper(address, ctx->local_ip6[1]) << 16;
	barrier();
	__u32 leaf = leaf_of(tables, entry, key, STEERING_OTHERWISE_IPV6_AT, STEERING_DEPTH, bytes);
	if (unlikely(kind_of(leaf) == STEERING_LOWER)) {
		key = upper(ctx->local_ip6[2], ctx->local_ip6[3]);
		barrier();
		leaf = walk(tables, leaf, key, bytes);
	}
	return leaf;
}

/* The cell of a leaf of the trie over the destination, for ports of a class; 0 when nothing is bound there. */
static __always_inline __u32 cell_of(const char *tables, __u32 leaf, __u32 class, const __u32 bytes)
{
	_Static_assert(STEERING_ROW == STEERING_LOWER + 1, "the least kind here: ipv6_leaf leaves no LOWER");
	if (leaf && kind_of(leaf) <= STEERING_ROW)
		return load32(tables, (leaf & STEERING_CELL_MASK) * 4 + class * 4, bytes);
	return leaf; /* the same for every port that is bound anywhere */
}

/* The second stage, for cells that a port, a source or an interface decides: kinds below a verdict's. */
static __noinline __u32 second_stage(struct bpf_sk_lookup *ctx, const char *tables, __u32 cell, const __u32 bytes)
{
	if (kind_of(cell) == STEERING_BY_PORT) {
		cell += (ctx->protocol & STEERING_UDP) * 2; /* a trie for each protocol */
		cell = walk_rarely(tables, cell, (__u64)ctx->local_port << 48, bytes);
	}
	if (kind_of(cell) == STEERING_BY_SOURCE) {
		__u64 key;
		if (ctx->family == 2) {
			key = upper(ctx->remote_ip4, 0);
			barrier();
		} else {
			key = upper(ctx->remote_ip6[0], ctx->remote_ip6[1]);
			barrier();
		}
		cell = walk_rarely(tables, cell, key, bytes);
		if (kind_of(cell) == STEERING_LOWER) {
			key = upper(ctx->remote_ip6[2], ctx->remote_ip6[3]);
			barrier();
			cell = walk_rarely(tables, cell, key, bytes);
		}
	}
	if (kind_of(cell) == STEERING_BY_INTERFACE) {
		__u64 key = has_ingress_interface ? (__u64)INGRESS_INTERFACE(ctx) << 32 : 0;
		cell = walk_rarely(tables, cell, key, bytes);
	}
	return cell;
}

#endif
