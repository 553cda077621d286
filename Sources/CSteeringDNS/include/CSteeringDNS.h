// SPDX-License-Identifier: Apache-2.0
//
// Many datagrams in one system call, which Swift cannot say: recvmmsg and sendmmsg hide behind _GNU_SOURCE, and CMSG_*
// are macros. Nothing here knows DNS.
#ifndef CSTEERINGDNS_H
#define CSTEERINGDNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#pragma clang assume_nonnull begin

/// Datagrams that were received together, and the answers to some of them.
struct csdns_batch;

/// Room for `count` datagrams of a socket, of at most `query_size` bytes, and answers of at most `answer_size`. Null
/// without memory.
struct csdns_batch *_Nullable csdns_batch_create(int socket, uint32_t count, uint32_t query_size, uint32_t answer_size);
void csdns_batch_destroy(struct csdns_batch *batch);

/// Where the queries and the answers are: one behind the other, each with its full room.
uint8_t *csdns_queries(struct csdns_batch *batch);
uint8_t *csdns_answers(struct csdns_batch *batch);

/// Receives what is there, and waits for the first if told so and the socket blocks. Returns how many, or a negative
/// errno.
int csdns_receive(struct csdns_batch *batch, int socket, int waits);

/// A query's length; more than its room if it was cut.
uint32_t csdns_query_length(const struct csdns_batch *batch, uint32_t index);

/// Who sent a query: 4 or 16 bytes of address in network order, as numbers. Returns the number of bytes; 0 for neither.
int csdns_source(const struct csdns_batch *batch, uint32_t index, uint64_t *high, uint64_t *low);

/// Says that the answer in the room of a query, with this length, goes to its sender, from where that sent it to.
void csdns_answer(struct csdns_batch *batch, uint32_t index, uint32_t length);

/// Sends what is to be answered, and forgets it. Returns how many could not be sent.
uint32_t csdns_send(struct csdns_batch *batch, int socket);

/// The query whose answer is one of those that csdns_send could not send.
uint32_t csdns_failed(const struct csdns_batch *batch, uint32_t number);

/// Has memory fetched that will be read soon.
static inline void csdns_prefetch(const void *address) { __builtin_prefetch(address); }

#pragma clang assume_nonnull end
#endif
