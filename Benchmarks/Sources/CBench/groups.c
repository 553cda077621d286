// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "traffic_internal.h"

#include <errno.h>
#include <linux/filter.h>

/// Multiplies by odd numbers and adds by XOR: the words of a flow, one after the other.
#define MIX(offset)                                                                                                    \
    BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1), BPF_STMT(BPF_ST, 0),                                              \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + (offset))), BPF_STMT(BPF_LDX | BPF_MEM, 0),        \
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)

#define CHOOSE(first, count)                                                                                           \
    BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, first), BPF_STMT(BPF_RET | BPF_A, 0)

static int attach(int member, struct sock_filter *code, size_t count) {
    struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
    return setsockopt(member, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) ? -errno : 0;
}

#define ATTACH(member, code) attach(member, code, sizeof(code) / sizeof(code)[0])

int bench_choose_by_processor(int member, uint32_t first, uint32_t count) {
    struct sock_filter by_processor[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)), CHOOSE(first, count)};
    return ATTACH(member, by_processor);
}

int bench_choose_by_flow(int member, uint32_t family, uint32_t first, uint32_t count) {
    if (family == AF_INET) {
        struct sock_filter by_flow[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + 12)),
            MIX(16),
            BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x85ebca77),
            BPF_STMT(BPF_ST, 0),
            BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, (uint32_t)SKF_NET_OFF),
            BPF_STMT(BPF_LD | BPF_W | BPF_IND, (uint32_t)SKF_NET_OFF),
            BPF_STMT(BPF_LDX | BPF_MEM, 0),
            BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
            BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0xc2b2ae3d),
            BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
            CHOOSE(first, count)};
        return ATTACH(member, by_flow);
    }
    struct sock_filter by_flow[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + 16)),
        MIX(20), MIX(32), MIX(36), MIX(40),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0xc2b2ae3d),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        CHOOSE(first, count)};
    return ATTACH(member, by_flow);
}
