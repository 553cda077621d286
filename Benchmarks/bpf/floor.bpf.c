// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What every program pays. `empty` is the cost of a call. `assign` is the floor, the least
 * that steering can do: find one socket in a map, assign it, release it; `assign_told` is that among many sockets.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEC("sk_lookup")
int empty(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

static __always_inline int assign_slot(struct bpf_sk_lookup *ctx, __u32 slot)
{
	struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &slot);
	if (!socket)
		return SK_DROP;
	long error = bpf_sk_assign(ctx, socket, 0);
	bpf_sk_release(socket);
	return error ? SK_DROP : SK_PASS;
}

SEC("sk_lookup")
int assign(struct bpf_sk_lookup *ctx)
{
	return assign_slot(ctx, 0);
}

/* The same among many sockets: the packet's source port tells which, so that none need be searched. */
SEC("sk_lookup")
int assign_told(struct bpf_sk_lookup *ctx)
{
	return assign_slot(ctx, bpf_ntohs(ctx->remote_port));
}

char _license[] SEC("license") = "GPL"; /* one of the two above */
