// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CSteering.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct csteering_poll {
    struct iocb request; // identified by its address in the kernel
    bool has_waited;
};

/* One for the process: destroying a context takes milliseconds, as the kernel waits for the other CPUs. */
static aio_context_t context;
static int context_error;

/* The most concurrent waits of the process. The machine has 65,536 for all processes (fs.aio-max-nr). */
enum { CAPACITY = 1024 };

static void make_context(void) { context_error = syscall(SYS_io_setup, CAPACITY, &context) ? errno : 0; }

struct csteering_poll *csteering_poll_make(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_context);
    return context_error ? NULL : calloc(1, sizeof(struct csteering_poll));
}

/* Discards completions, which the counters have already reported, to make room for new requests. */
static void forget_completed(void) {
    struct io_event events[64];
    struct timespec now = {0};
    while (syscall(SYS_io_getevents, context, 0L, 64L, events, &now) == 64)
        ;
}

int csteering_poll_once(struct csteering_poll *poll, int descriptor, int counter) {
    struct iocb *requests[] = {&poll->request};
    forget_completed();
    poll->request = (struct iocb){.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)descriptor,
                                  .aio_buf = POLLIN, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (uint32_t)counter};
    if (syscall(SYS_io_submit, context, 1L, requests) != 1)
        return -errno;
    poll->has_waited = true;
    return 0;
}

void csteering_poll_end(struct csteering_poll *poll) {
    struct io_event event;
    if (poll->has_waited)
        syscall(SYS_io_cancel, context, &poll->request, &event);
    free(poll);
}
