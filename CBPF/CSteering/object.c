// SPDX-License-Identifier: Apache-2.0
#include "CSteering.h"

#ifndef __has_embed
#error "this compiler has no #embed: build with Swift 6.1 or newer"
#endif
#pragma clang diagnostic ignored "-Wc23-extensions"

// Compiled from bpf-programs/steering.bpf.c by: swift package regenerate-bpf
_Alignas(8) static const unsigned char object[] = {
#embed "steering.bpf.o"
};

const void *csteering_object_bytes(void) { return object; }
size_t csteering_object_size(void) { return sizeof object; }
