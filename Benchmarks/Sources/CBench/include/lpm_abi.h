/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What lpm.bpf.c and CBench agree on: bindings as one longest-prefix match, after the
 * published design of cloudflare/tubular. The first 32 bits of a key always match in
 * full, so a prefix is 32 bits longer than in an address, and 96 more for IPv4, which
 * is kept as IPv4-mapped.
 */
#ifndef LPM_ABI_H
#define LPM_ABI_H

#include <linux/types.h>

enum {
	LPM_DESTINATIONS = 4096,
	LPM_ANY_PORT = 0,
	LPM_EXACT_BITS = 32,
	LPM_ADDRESS_BITS = 128,
};

struct lpm_key {
	__u32 length;
	__u16 protocol;
	__u16 port; /* or any */
	__u8 address[16];
};

struct lpm_binding {
	__u32 destination;
	__u32 length; /* the key's: of two bindings the longer decides */
};

struct lpm_metrics {
	__u64 lookups;
	__u64 misses;
	__u64 incompatible;
};

#endif
