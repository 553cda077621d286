// SPDX-License-Identifier: Apache-2.0
//
// Many datagrams per system call. Swift cannot call these directly: recvmmsg and sendmmsg need _GNU_SOURCE, and CMSG_*
// are macros. Nothing here depends on DNS.
#ifndef CSTEERINGDNS_H
#define CSTEERINGDNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#pragma clang assume_nonnull begin

/// A batch of received datagrams, and the answers to some of them.
struct csdns_batch;

/// Allocates a batch of `count` datagrams of at most `query_size` bytes, and answers of at most `answer_size`. Returns
/// null if there is no memory.
struct csdns_batch *_Nullable csdns_batch_create(int socket, uint32_t count, uint32_t query_size, uint32_t answer_size);
void csdns_batch_destroy(struct csdns_batch *batch);

/// Returns the buffers of all queries and of all answers. Each is `query_size` or `answer_size` bytes long, in order.
uint8_t *csdns_queries(struct csdns_batch *batch);
uint8_t *csdns_answers(struct csdns_batch *batch);

/// Receives the datagrams that are there. With `waits`, a blocking socket waits for the first one. Returns their
/// number, or a negative errno.
int csdns_receive(struct csdns_batch *batch, int socket, int waits);

/// Returns the length of a query; more than `query_size` if it was truncated.
uint32_t csdns_query_length(const struct csdns_batch *batch, uint32_t index);

/// Returns the length in bytes of a query's source address, 4 or 16, or 0 for another family. The address is stored in
/// `high` and `low` as a 128-bit number; IPv4-mapped addresses are returned as IPv4.
int csdns_source(const struct csdns_batch *batch, uint32_t index, uint64_t *high, uint64_t *low);

/// Queues the answer in the buffer of a query, to be sent to its source, from its destination address.
void csdns_answer(struct csdns_batch *batch, uint32_t index, uint32_t length);

/// Sends the queued answers and empties the queue. Returns how many could not be sent.
uint32_t csdns_send(struct csdns_batch *batch, int socket);

/// Returns the index of a query whose answer the last csdns_send could not send; `number` is below its result.
uint32_t csdns_failed(const struct csdns_batch *batch, uint32_t number);

/// Prefetches memory that will be read soon.
static inline void csdns_prefetch(const void *address) { __builtin_prefetch(address); }

#pragma clang assume_nonnull end
#endif
