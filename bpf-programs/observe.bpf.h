/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Programs that only look: attached beside the steering program while someone observes, and by his link, so that they
 * end with him. They classify the packet by tables as the steering program does, and pass without selecting, which
 * changes nothing. While nobody observes they are not there.
 *
 *   observe   by the steering's own tables: an event for each packet that is ours, or one in so many
 *   count     by tables of its own, in which each binding has a cell: how many packets it decides
 */
#ifndef STEERING_OBSERVE_BPF_H
#define STEERING_OBSERVE_BPF_H

/* User space sets it before it loads. In a section of its own: other programs do without. */
const volatile struct steering_observation observation SEC(".rodata.observe") = { .one_in = 1 };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STEERING_EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steering_observed);
} observed SEC(".maps");

/* An entry for each binding: user space says how many. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

/* The cell of a packet, 0 when it is not ours. */
static __always_inline __u32 classify(struct bpf_sk_lookup *ctx, const char *tables, const __u32 bytes)
{
	__u32 leaf, cell, class = port_class(ctx, tables);

	if (!class)
		return 0;
	if (ctx->family == 2) {
		__u64 key, entry = ipv4_entry(ctx, tables, &key);
		if (!(__u32)entry)
			return 0;
		leaf = ipv4_leaf(tables, entry, key, bytes);
	} else {
		leaf = ipv6_leaf(ctx, tables, bytes);
	}
	cell = cell_of(tables, leaf, class, bytes);
	return cell && kind_of(cell) < STEERING_VERDICT ? second_stage(ctx, tables, cell, bytes) : cell;
}

/* One more, whoever else counts. Compilers make an instruction of the built-in that Linux 5.12 was the first to know. */
static __always_inline void count_one(__u64 *counter)
{
	asm volatile("lock *(u64 *)(%0 + 0) += %1" ::"r"(counter), "r"(1ull) : "memory");
}

/* A word of the context: the verifier refuses accesses that the compiler merged. */
#define COPY(to, from)                                                                                                \
	do {                                                                                                          \
		(to) = (from);                                                                                        \
		barrier();                                                                                            \
	} while (0)

/* Tells of a packet. A function, so that each size of tables shares it. */
static __noinline int tell(struct bpf_sk_lookup *ctx, __u64 generation, __u32 cell)
{
	const __u32 zero = 0;

	if ((cell & observation.mask) != observation.value)
		return 0;
	struct steering_observed *counters = bpf_map_lookup_elem(&observed, &zero);
	if (!counters)
		return 0;
	count_one(&counters->seen);
	if (bpf_get_prandom_u32() % observation.one_in)
		return 0;

	/* Written where it is read: older verifiers refuse parts of words on the stack. */
	struct steering_event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
	if (!event) {
		count_one(&counters->lost);
		return 0;
	}
	__u32 family = ctx->family;
	__builtin_memset(event, 0, sizeof *event);
	event->time = bpf_ktime_get_ns();
	event->generation = generation;
	event->cell = cell;
	event->family = family;
	event->protocol = ctx->protocol;
	event->destination_port = ctx->local_port;
	event->source_port = bpf_ntohs(ctx->remote_port);
	if (has_ingress_interface)
		event->interface = INGRESS_INTERFACE(ctx);
	if (family == 2) {
		COPY(event->source[0], ctx->remote_ip4);
		COPY(event->destination[0], ctx->local_ip4);
	} else {
		COPY(event->source[0], ctx->remote_ip6[0]);
		COPY(event->source[1], ctx->remote_ip6[1]);
		COPY(event->source[2], ctx->remote_ip6[2]);
		COPY(event->source[3], ctx->remote_ip6[3]);
		COPY(event->destination[0], ctx->local_ip6[0]);
		COPY(event->destination[1], ctx->local_ip6[1]);
		COPY(event->destination[2], ctx->local_ip6[2]);
		COPY(event->destination[3], ctx->local_ip6[3]);
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline int observe(struct bpf_sk_lookup *ctx, const char *halves, const __u32 bytes)
{
	/* Read once, as the steering program does: the event names the policy that it was judged by. */
	__u64 generation = *(const volatile __u64 *)halves;
	__u32 cell = classify(ctx, halves + (generation & bytes), bytes);

	if (cell)
		tell(ctx, generation, cell);
	return SK_PASS;
}

/* Its tables are written once, before it is attached: into the first half. */
static __always_inline int count(struct bpf_sk_lookup *ctx, const char *tables, const __u32 bytes)
{
	__u32 cell = classify(ctx, tables, bytes);

	if (cell) {
		__u32 binding = cell & STEERING_CELL_MASK;
		__u64 *packets = bpf_map_lookup_elem(&counts, &binding);
		if (packets)
			count_one(packets);
	}
	return SK_PASS;
}

#define OBSERVERS(name, bytes)                                                                                        \
	SEC("sk_lookup") int observe_##name(struct bpf_sk_lookup *ctx)                                                \
	{                                                                                                             \
		return observe(ctx, policy_##name, bytes);                                                            \
	}                                                                                                             \
	SEC("sk_lookup") int count_##name(struct bpf_sk_lookup *ctx)                                                  \
	{                                                                                                             \
		return count(ctx, policy_##name, bytes);                                                              \
	}

FOR_EACH_TABLE_SIZE(OBSERVERS)

#endif
