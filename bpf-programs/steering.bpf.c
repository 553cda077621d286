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
 *   sockets   destination -> socket
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

/* A way down a trie: where it is, and the bits of the key that are left, the next
 * one on top of `high`. */
struct walk {
	__u32 entry;
	__u64 high, low;
};

/* Whether there was a node to step into. A node lies in one page. */
static __always_inline int step(struct walk *at, const __u32 *first, const int large)
{
	if ((__s32)at->entry <= 0)
		return 0; /* nothing, or a leaf */

	__u32 shift = at->entry & STEERING_SHIFT_MASK;
	__u32 node = (at->entry & STEERING_NODE_MASK) >> STEERING_NODE_SHIFT;
	const __u32 *page = page_of(first, node, large);
	if (!page) {
		at->entry = 0;
		return 0;
	}
	__u32 bits = at->high >> shift;
	if (at->entry & STEERING_SKIP)
		bits = 1 + (word(page, node) != bits);
	at->entry = word(page, node + bits);
	at->high = at->high << (64 - shift) | at->low >> shift;
	at->low <<= 64 - shift;
	return 1;
}

/* Not a loop: to a verifier that follows speculation (no CAP_PERFMON) a loop has no
 * end, and compilers do not promise to unroll one. */
static __always_inline int four_steps(struct walk *at, const __u32 *first, const int large)
{
	return step(at, first, large) && step(at, first, large) && step(at, first, large) && step(at, first, large);
}

/* The cell at the leaf, or 0 where nothing is bound. */
static __always_inline __u32 descend(struct walk at, const __u32 *first, const int depth, const int large)
{
	_Static_assert(STEERING_IPV4_DEPTH == 4 && STEERING_PORT_DEPTH == 4 && STEERING_IPV6_DEPTH == 16, "as below");
	if (four_steps(&at, first, large) && depth == STEERING_IPV6_DEPTH)
		four_steps(&at, first, large) && four_steps(&at, first, large) && four_steps(&at, first, large);
	return at.entry & ~STEERING_LEAF;
}

/* The cell for an address. Each family reads its own context fields: the verifier
 * refuses accesses that the compiler merged, hence the barriers. */
static __always_inline __u32 address_cell(struct bpf_sk_lookup *ctx, const __u32 *first, __u32 ipv6,
					  const int large)
{
	if (!ipv6) {
		__u64 high = (__u64)bpf_ntohl(ctx->local_ip4) << 32;
		barrier();
		struct walk at = { first[STEERING_ROOT_IPV4_AT + (high >> 48)], high << 16, 0 };
		return descend(at, first, STEERING_IPV4_DEPTH, large);
	}
	__u64 high = (__u64)bpf_ntohl(ctx->local_ip6[0]) << 32 | bpf_ntohl(ctx->local_ip6[1]);
	__u64 low = (__u64)bpf_ntohl(ctx->local_ip6[2]) << 32 | bpf_ntohl(ctx->local_ip6[3]);
	barrier();
	struct walk at = { first[STEERING_ROOT_IPV6_AT + (high >> 48)], high << 16 | low >> 48, low << 16 };
	return descend(at, first, STEERING_IPV6_DEPTH, large);
}

/* 0 for a port that no binding names. */
static __always_inline __u32 port_class(const __u32 *first, __u32 udp, __u32 port)
{
	const __u16 *classes = (const __u16 *)&first[STEERING_PORTS_AT];

	return classes[udp << 16 | (port & 0xffff)];
}

/* The cell for a packet, from large tables. Global, so that the verifier looks at
 * it once and alone. */
__noinline __u32 classify_large(struct bpf_sk_lookup *ctx)
{
	__u64 generation = *(volatile __u64 *)&policy.generation;
	const __u32 *first = policy.pages[generation & STEERING_HALF];
	__u32 udp = ctx->protocol & STEERING_UDP, port = ctx->local_port;
	__u32 class = port_class(first, udp, port);
	if (!class || !(generation & STEERING_LARGE))
		return 0;

	__u32 cell = address_cell(ctx, first, ctx->family >> 2 & STEERING_IPV6, 1);
	if (cell < (__u32)STEERING_ROW << STEERING_CELL_SHIFT)
		return cell; /* the same for every port that is bound anywhere */

	__u32 row = cell & STEERING_CELL_MASK;
	__u32 tree = cell >> STEERING_CELL_SHIFT == STEERING_TREE;
	__u32 index = row + (tree ? udp : class);
	const __u32 *page = page_of(first, index, 1);
	if (!page)
		return 0;
	cell = word(page, index);
	if (!tree)
		return cell;
	struct walk at = { cell, (__u64)port << 48, 0 };
	return descend(at, first, STEERING_PORT_DEPTH, 1);
}

/* The cell for a packet. */
static __always_inline __u32 classify(struct bpf_sk_lookup *ctx, __u32 udp, __u32 ipv6)
{
	__u64 generation = *(volatile __u64 *)&policy.generation; /* once: one policy for one packet */
	const __u32 *first = policy.pages[generation & STEERING_HALF];
	__u32 class = port_class(first, udp, ctx->local_port);
	if (!class)
		return 0;
	if (generation & STEERING_LARGE)
		return classify_large(ctx);

	__u32 cell = address_cell(ctx, first, ipv6, 0);
	if (cell < (__u32)STEERING_ROW << STEERING_CELL_SHIFT)
		return cell; /* the same for every port that is bound anywhere */
	return word(first, (cell & STEERING_CELL_MASK) + class);
}

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 slot, int *found)
{
	struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &slot);
	if (!socket)
		return 0;
	/* Of several programs the last one to select wins: the newest, not the oldest. */
	long error = bpf_sk_assign(ctx, socket, BPF_SK_LOOKUP_F_REPLACE);
	bpf_sk_release(socket);
	*found = 1;
	return !error;
}

/* The first socket is gone: to another member of its SO_REUSEPORT group or, when
 * none is left, as the label says. Global, so that the ordinary path stays short. */
__noinline int without_first(struct bpf_sk_lookup *ctx, __u32 destination, __u32 kind, int found)
{
#pragma unroll
	for (__u32 slot = 1; slot < STEERING_SLOTS; slot++)
		if (assign(ctx, destination * STEERING_SLOTS + slot, &found))
			return SK_PASS;

	struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
	if (counters && found) {
		counters->incompatible++;
		barrier();
	} else if (counters) {
		counters->misses++;
		barrier();
	}
	return kind == STEERING_LABEL_OR_PASS ? SK_PASS : SK_DROP;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	/* TCP is 6 and UDP is 17, AF_INET is 2 and AF_INET6 is 10: one bit each. */
	__u32 udp = ctx->protocol & STEERING_UDP;
	__u32 ipv6 = ctx->family >> 2 & STEERING_IPV6;

	__u32 cell = classify(ctx, udp, ipv6);
	__u32 kind = cell >> STEERING_CELL_SHIFT;
	if (kind == STEERING_NONE)
		return SK_PASS; /* not ours */

	if (kind <= STEERING_LABEL_OR_PASS) {
		__u32 destination = (cell & STEERING_CELL_MASK) + ipv6 + udp;
		int found = 0;

		struct steering_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
		if (counters)
			counters->lookups++;
		if (assign(ctx, destination * STEERING_SLOTS, &found))
			return SK_PASS; /* steered */

		int verdict = without_first(ctx, destination, kind, found);
		barrier_var(verdict); /* the verifier does not know it to be 0 or 1 */
		return verdict ? SK_PASS : SK_DROP;
	}

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
