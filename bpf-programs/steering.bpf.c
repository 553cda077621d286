// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * steer: chooses the socket that receives a packet, by its destination address,
 * destination port and protocol.
 *
 * It runs where the kernel looks for a listening TCP or an unconnected UDP
 * socket; packets of established connections never come here.
 *
 *   policy    the tables: the port has a class, the address has a row, class and
 *             row give a cell, the cell says what happens. Each step is a table
 *             access: the number of bindings does not matter (after "recursive
 *             flow classification", Gupta and McKeown, SIGCOMM 1999)
 *   pages     more of them, for large policies
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
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steering_abi.h"

/* The path of a packet that is steered is laid out without jumps where possible. */
#define likely(x) __builtin_expect(!!(x), 1)

/* Zero-filled, so that a fresh program steers nothing. User space maps it. */
struct steering_policy policy SEC(".bss.policy");

/* Two halves, like the policy's: the next one is complete before it is in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2 * STEERING_MAX_PAGES);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, STEERING_PAGE_WORDS * sizeof(__u32));
	});
} pages SEC(".maps");

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
 * ended. The program itself does not use it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct token);
} grace SEC(".maps") = { .values = { &token } };

/* The page that holds a word. Small tables have one page, in `first`; large ones
 * keep all nodes and rows in further pages. `large` is a constant. */
static __always_inline const __u32 *page_of(const __u32 *first, __u32 index, const int large)
{
	if (!large)
		return first;

	const struct steering_header *header = (const void *)&first[STEERING_HEADER_AT];
	const __u32 zero = 0;
	__u32 slot = (index >> STEERING_PAGE_SHIFT) + header->pages_offset;
	void *map = bpf_map_lookup_elem(&pages, &slot);

	return map ? bpf_map_lookup_elem(map, &zero) : 0;
}

static __always_inline __u32 word(const __u32 *page, __u32 index)
{
	return page[index & (STEERING_PAGE_WORDS - 1)];
}

static __always_inline __u32 kind_of(__u32 cell)
{
	return cell >> STEERING_CELL_SHIFT;
}

static __always_inline int is_label(__u32 cell)
{
	return cell >= (__u32)STEERING_FIRST_LABEL << STEERING_CELL_SHIFT;
}

/* Whether there was a node to step into: from an entry to the next, by the next bits of
 * the key, which are on top of it. A node lies in one page. */
static __always_inline int step(__u32 *entry, __u64 *key, const __u32 *first, const int large)
{
	if (likely((__s32)*entry <= 0))
		return 0; /* nothing, or a leaf */

	__u32 shift = *entry & STEERING_SHIFT_MASK;
	__u32 node = (*entry & STEERING_NODE_MASK) >> STEERING_NODE_SHIFT;
	const __u32 *page = page_of(first, node, large);
	if (!page) {
		*entry = 0;
		return 0;
	}
	__u32 bits = *key >> shift;
	if (*entry & STEERING_SKIP)
		bits = 1 + (word(page, node) != bits);
	*entry = word(page, node + bits);
	*key <<= 64 - shift;
	return 1;
}

/* Not a loop: to a verifier that follows speculation (no CAP_PERFMON) a loop has no
 * end, and compilers do not promise to unroll one. */
static __always_inline int four_steps(__u32 *entry, __u64 *key, const __u32 *first, const int large)
{
	return step(entry, key, first, large) && step(entry, key, first, large) && step(entry, key, first, large) &&
	       step(entry, key, first, large);
}

/* The leaf, or 0 where nothing is bound. */
static __always_inline __u32 descend(__u32 entry, __u64 key, const __u32 *first, const int depth, const int large)
{
	_Static_assert(STEERING_IPV4_DEPTH == 4 && STEERING_PORT_DEPTH == 4 && STEERING_IPV6_DEPTH == 8, "as below");
	if (four_steps(&entry, &key, first, large) && depth == STEERING_IPV6_DEPTH)
		four_steps(&entry, &key, first, large);
	return entry;
}

/* The leaf for an address. Each family reads its own context fields: the verifier
 * refuses accesses that the compiler merged, hence the barriers. The kernel makes four
 * instructions of each word of an IPv6 address, so the lower half is read where a
 * prefix reaches into it. */
static __always_inline __u32 address_leaf(struct bpf_sk_lookup *ctx, const __u32 *first, __u32 ipv6,
					  const int large)
{
	if (!ipv6) {
		__u64 key = bpf_be64_to_cpu((__u64)ctx->local_ip4);
		barrier();
		__u32 entry = first[STEERING_ROOT_IPV4_AT + (key >> 48)];
		return descend(entry, key << 16, first, STEERING_IPV4_DEPTH, large);
	}
	__u64 key = bpf_be64_to_cpu((__u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[0]);
	barrier();
	__u32 entry = first[STEERING_ROOT_IPV6_AT + (key >> 48)];
	__u32 leaf = descend(entry, key << 16, first, STEERING_IPV6_DEPTH, large);
	if (likely(kind_of(leaf) != STEERING_LOWER))
		return leaf;

	key = bpf_be64_to_cpu((__u64)ctx->local_ip6[3] << 32 | ctx->local_ip6[2]);
	__u32 index = leaf & STEERING_CELL_MASK;
	const __u32 *page = page_of(first, index, large);
	return page ? descend(word(page, index), key, first, STEERING_IPV6_DEPTH, large) : 0;
}

/* 0 for a port that no binding names. */
static __always_inline __u32 port_class(const __u32 *first, __u32 udp, __u32 port)
{
	const __u16 *classes = (const __u16 *)&first[STEERING_PORTS_AT];

	return classes[udp << 16 | (port & 0xffff)];
}

/* The tables in force. */
static __always_inline const __u32 *first_page(__u64 generation)
{
	_Static_assert(STEERING_HALF == sizeof(policy.pages[0]), "the bit is the distance of the halves");
	return (const void *)policy.pages + (generation & STEERING_HALF);
}

/* The cell for a packet whose port has a class, from tables in one page. */
static __always_inline __u32 classify_small(struct bpf_sk_lookup *ctx, const __u32 *first, __u32 class, __u32 ipv6)
{
	__u32 leaf = address_leaf(ctx, first, ipv6, 0);
	if (likely(is_label(leaf)) || kind_of(leaf) != STEERING_ROW)
		return leaf; /* the same for every port that is bound anywhere */
	return word(first, (leaf & STEERING_CELL_MASK) + class);
}

/* The same from large tables. Global, so that the verifier looks at it once and alone. */
__noinline __u32 classify_large(struct bpf_sk_lookup *ctx, __u64 generation)
{
	const __u32 *first = first_page(generation);
	__u32 udp = ctx->protocol & STEERING_UDP, port = ctx->local_port;
	__u32 class = port_class(first, udp, port);
	__u32 leaf = address_leaf(ctx, first, ctx->family >> 2 & STEERING_IPV6, 1);
	__u32 tree = kind_of(leaf) == STEERING_TREE;
	if (!tree && kind_of(leaf) != STEERING_ROW)
		return leaf;

	__u32 index = (leaf & STEERING_CELL_MASK) + (tree ? udp : class);
	const __u32 *page = page_of(first, index, 1);
	if (!page)
		return 0;
	__u32 cell = word(page, index);
	return tree ? descend(cell, (__u64)port << 48, first, STEERING_PORT_DEPTH, 1) : cell;
}

/* The cell for a packet. */
static __always_inline __u32 classify(struct bpf_sk_lookup *ctx, __u32 udp, __u32 ipv6)
{
	__u64 generation = *(volatile __u64 *)&policy.generation; /* once: one policy for one packet */
	const __u32 *first = first_page(generation);
	__u32 class = port_class(first, udp, ctx->local_port);
	if (!class)
		return 0;
	if (likely(!(generation & STEERING_LARGE)))
		return classify_small(ctx, first, class, ipv6);
	return classify_large(ctx, generation);
}

/* 0: steered. NO_SOCKET: the slot is empty. Otherwise the kernel refused the socket. */
enum { NO_SOCKET = 1 };

static __always_inline long assign(struct bpf_sk_lookup *ctx, const __u32 *slot)
{
	struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, slot);
	if (!socket)
		return NO_SOCKET;
	/* Of several programs the last one to select wins: the newest, not the oldest. */
	long error = bpf_sk_assign(ctx, socket, BPF_SK_LOOKUP_F_REPLACE);
	bpf_sk_release(socket);
	return error;
}

/* The first slot failed: to another member of its SO_REUSEPORT group or, when none is
 * left, as the label says. Global, so that the ordinary path stays short. */
__noinline int without_first(struct bpf_sk_lookup *ctx, __u32 destination, __u32 cell, long error)
{
	int found = error != NO_SOCKET;
#pragma unroll
	for (__u32 row = 1; row < STEERING_SLOTS; row++) {
		__u32 slot = row * STEERING_MAX_DESTINATIONS + destination;
		error = assign(ctx, &slot);
		if (!error)
			return SK_PASS;
		found |= error != NO_SOCKET;
	}
	struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
	if (counters && found) {
		counters->incompatible++;
		barrier();
	} else if (counters) {
		counters->misses++;
		barrier();
	}
	return kind_of(cell) == STEERING_LABEL_OR_PASS ? SK_PASS : SK_DROP;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	/* TCP is 6 and UDP is 17, AF_INET is 2 and AF_INET6 is 10: one bit each. */
	__u32 variant = (ctx->protocol & STEERING_UDP) | (ctx->family >> 2 & STEERING_IPV6);
	barrier_var(variant); /* one register, not two */

	__u32 cell = classify(ctx, variant & STEERING_UDP, variant & STEERING_IPV6);
	if (likely(is_label(cell))) {
		__u32 destination = (cell & STEERING_CELL_MASK) + variant;

		struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
		if (counters)
			counters->lookups++;
		long error = assign(ctx, &destination); /* its first slot has its number */
		if (likely(!error))
			return SK_PASS; /* steered */

		int verdict = without_first(ctx, destination, cell, error);
		barrier_var(verdict); /* the verifier does not know it to be 0 or 1 */
		return verdict ? SK_PASS : SK_DROP;
	}

	__u32 kind = kind_of(cell);
	if (kind != STEERING_PASS && kind != STEERING_REFUSE)
		return SK_PASS; /* not ours */
	const __u32 zero = 0;
	struct steering_verdicts *counts = bpf_map_lookup_elem(&verdicts, &zero);
	if (kind == STEERING_PASS) {
		if (counts)
			counts->passed++;
		barrier();
		return SK_PASS; /* an exception inside a wider binding */
	}
	if (counts)
		counts->refused++;
	barrier();
	return SK_DROP;
}

char _license[] SEC("license") = "GPL"; /* one of the two above */
