// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What steering is measured against: bindings in a longest-prefix-match trie of the
 * kernel, keyed by protocol, port and address. A binding of 13 ports is 13 entries.
 *
 * Written after the published design of cloudflare/tubular; it counts and refuses as
 * ours does. Its key is laid out a little better than the original's: 20 bytes at
 * addresses that are multiples of four, not 19 at odd ones.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lpm_abi.h"

enum { AF_INET = 2 };

/* User space says how many entries. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm_key);
	__type(value, struct lpm_binding);
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, LPM_DESTINATIONS);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LPM_DESTINATIONS);
	__type(key, __u32);
	__type(value, struct lpm_metrics);
} metrics SEC(".maps");

static __always_inline struct lpm_key key_of(struct bpf_sk_lookup *ctx)
{
	struct lpm_key key = {
		.length = LPM_EXACT_BITS + LPM_ADDRESS_BITS,
		.protocol = ctx->protocol,
		.port = ctx->local_port,
	};
	__u32 *words = (__u32 *)key.address;
	if (ctx->family == AF_INET) {
		words[2] = bpf_htonl(0xffff);
		words[3] = ctx->local_ip4;
		barrier();
	} else {
		words[0] = ctx->local_ip6[0];
		words[1] = ctx->local_ip6[1];
		words[2] = ctx->local_ip6[2];
		words[3] = ctx->local_ip6[3];
		barrier();
	}
	return key;
}

SEC("sk_lookup")
int lpm(struct bpf_sk_lookup *ctx)
{
	struct lpm_key key = key_of(ctx);
	const struct lpm_binding *binding = bpf_map_lookup_elem(&bindings, &key);
	key.port = LPM_ANY_PORT;
	const struct lpm_binding *any = bpf_map_lookup_elem(&bindings, &key);
	if (!binding || (any && any->length > binding->length))
		binding = any;
	if (!binding)
		return SK_PASS; /* not ours */

	__u32 destination = binding->destination;
	struct lpm_metrics *counters = bpf_map_lookup_elem(&metrics, &destination);
	if (!counters)
		return SK_DROP;
	counters->lookups++;
	struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &destination);
	if (!socket) {
		counters->misses++;
		return SK_DROP;
	}
	long error = bpf_sk_assign(ctx, socket, 0);
	if (error)
		counters->incompatible++;
	bpf_sk_release(socket);
	return error ? SK_DROP : SK_PASS;
}

char _license[] SEC("license") = "GPL"; /* one of the two above */
