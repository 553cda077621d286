#pragma once
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
