// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CSteeringDNS.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Holds the destination address of a datagram, of either family.
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct csdns_batch {
    uint32_t count, query_size, answer_size, answer_count;
    struct mmsghdr *queries, *answers;
    struct iovec *query_data, *answer_data;
    struct sockaddr_in6 *sources;
    union control *controls;
    uint8_t *query_bytes, *answer_bytes;
    // The query of each answer; and the queries whose answers the last csdns_send could not send.
    uint32_t *answered, *failed;
    // The address that the socket is bound to.
    struct sockaddr_in6 bound;
};

struct csdns_batch *csdns_batch_create(int socket, uint32_t count, uint32_t query_size, uint32_t answer_size) {
    struct csdns_batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    *batch = (struct csdns_batch){
        .count = count,
        .query_size = query_size,
        .answer_size = answer_size,
        .queries = calloc(count, sizeof *batch->queries),
        .answers = calloc(count, sizeof *batch->answers),
        .query_data = calloc(count, sizeof *batch->query_data),
        .answer_data = calloc(count, sizeof *batch->answer_data),
        .sources = calloc(count, sizeof *batch->sources),
        .controls = calloc(count, sizeof *batch->controls),
        .query_bytes = calloc(count, query_size),
        .answer_bytes = calloc(count, answer_size),
        .answered = calloc(count, sizeof *batch->answered),
        .failed = calloc(count, sizeof *batch->failed),
    };
    if (!batch->queries || !batch->answers || !batch->query_data || !batch->answer_data || !batch->sources ||
        !batch->controls || !batch->query_bytes || !batch->answer_bytes || !batch->answered || !batch->failed) {
        csdns_batch_destroy(batch);
        return NULL;
    }
    socklen_t length = sizeof batch->bound;
    getsockname(socket, (struct sockaddr *)&batch->bound, &length);
    for (uint32_t i = 0; i < count; i++) {
        batch->query_data[i] = (struct iovec){batch->query_bytes + (size_t)i * query_size, query_size};
        batch->queries[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->sources[i],
            .msg_iov = &batch->query_data[i],
            .msg_iovlen = 1,
            .msg_control = &batch->controls[i],
        };
    }
    return batch;
}

void csdns_batch_destroy(struct csdns_batch *batch) {
    free(batch->queries);
    free(batch->answers);
    free(batch->query_data);
    free(batch->answer_data);
    free(batch->sources);
    free(batch->controls);
    free(batch->query_bytes);
    free(batch->answer_bytes);
    free(batch->answered);
    free(batch->failed);
    free(batch);
}

uint8_t *csdns_queries(struct csdns_batch *batch) { return batch->query_bytes; }
uint8_t *csdns_answers(struct csdns_batch *batch) { return batch->answer_bytes; }

int csdns_receive(struct csdns_batch *batch, int socket, int waits) {
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->queries[i].msg_hdr.msg_namelen = sizeof *batch->sources;
        batch->queries[i].msg_hdr.msg_controllen = sizeof *batch->controls;
        batch->queries[i].msg_hdr.msg_flags = 0;
    }
    int received = recvmmsg(socket, batch->queries, batch->count, waits ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
    return received < 0 ? -errno : received;
}

uint32_t csdns_query_length(const struct csdns_batch *batch, uint32_t index) {
    const struct mmsghdr *query = &batch->queries[index];
    return query->msg_hdr.msg_flags & MSG_TRUNC ? batch->query_size + 1 : query->msg_len;
}

int csdns_source(const struct csdns_batch *batch, uint32_t index, uint64_t *high, uint64_t *low) {
    const struct sockaddr_in6 *source = &batch->sources[index];
    *high = 0;
    if (source->sin6_family == AF_INET) {
        *low = ntohl(((const struct sockaddr_in *)source)->sin_addr.s_addr);
        return 4;
    }
    if (source->sin6_family != AF_INET6) return 0;
    uint64_t halves[2];
    memcpy(halves, &source->sin6_addr, sizeof halves);
    *high = be64toh(halves[0]);
    *low = be64toh(halves[1]);
    if (*high != 0 || *low >> 32 != 0xffff) return 16;
    *low &= 0xffffffff;
    return 4;
}

static bool is_to(const struct cmsghdr *control, const struct sockaddr_in6 *bound) {
    const void *data = CMSG_DATA(control);
    if (bound->sin6_family == AF_INET && control->cmsg_level == IPPROTO_IP)
        return !memcmp(&((const struct in_pktinfo *)data)->ipi_addr, &((const struct sockaddr_in *)bound)->sin_addr,
                       sizeof(struct in_addr));
    return bound->sin6_family == AF_INET6 && control->cmsg_level == IPPROTO_IPV6 &&
           !memcmp(&((const struct in6_pktinfo *)data)->ipi6_addr, &bound->sin6_addr, sizeof(struct in6_addr));
}

// Turns the destination address of a query into the source address of its answer: IP_PKTINFO and IPV6_PKTINFO have the
// same layout in both directions. The interface is left to routing.
//
// A socket bound to that very address does not need the control message, which saves the kernel one twentieth of its
// work.
static void turn_around(struct msghdr *header, const struct sockaddr_in6 *bound) {
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (control && is_to(control, bound)) control = NULL;
    if (control && control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(control);
        info->ipi_ifindex = 0;
        info->ipi_spec_dst = info->ipi_addr;
        header->msg_controllen = CMSG_SPACE(sizeof *info);
    } else if (control && control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(control);
        // A link-local address is ambiguous without its interface.
        if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr)) info->ipi6_ifindex = 0;
        header->msg_controllen = CMSG_SPACE(sizeof *info);
    } else {
        header->msg_control = NULL;
        header->msg_controllen = 0;
    }
}

void csdns_answer(struct csdns_batch *batch, uint32_t index, uint32_t length) {
    uint32_t slot = batch->answer_count++;
    batch->answered[slot] = index;
    batch->answer_data[slot] = (struct iovec){batch->answer_bytes + (size_t)index * batch->answer_size, length};
    batch->answers[slot].msg_hdr = batch->queries[index].msg_hdr;
    batch->answers[slot].msg_hdr.msg_iov = &batch->answer_data[slot];
    batch->answers[slot].msg_hdr.msg_flags = 0;
    turn_around(&batch->answers[slot].msg_hdr, &batch->bound);
}

// An ICMP error for an earlier answer is reported once, as the result of the next call, which then has sent nothing.
static bool is_of_earlier(int error) { return error == ECONNREFUSED || error == EHOSTUNREACH || error == EPROTO; }

uint32_t csdns_send(struct csdns_batch *batch, int socket) {
    uint32_t done = 0, failed = 0;
    bool was_tried = false;
    while (done < batch->answer_count) {
        int count = sendmmsg(socket, batch->answers + done, batch->answer_count - done, 0);
        if (count > 0) {
            done += (uint32_t)count;
            was_tried = false;
        } else if (errno == EINTR) {
            continue;
        } else if (is_of_earlier(errno) && !was_tried) {
            was_tried = true;
        } else {
            // Skip an answer that cannot be sent, so that it does not hold up the others.
            batch->failed[failed++] = batch->answered[done++];
            was_tried = false;
        }
    }
    batch->answer_count = 0;
    return failed;
}

uint32_t csdns_failed(const struct csdns_batch *batch, uint32_t number) { return batch->failed[number]; }
