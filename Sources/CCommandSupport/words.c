#include "CCommandSupport.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>

/* glibc passes the arguments to constructors. Swift's CommandLine.arguments reads them from /proc/self instead, and has
 * none if that is not mounted, or no descriptor is left to open it. */
static int count;
static char **words;

__attribute__((constructor)) static void keep(int argc, char **argv) {
    count = argc;
    words = argv;
}

int ccommandsupport_word_count(void) { return count; }

const char *ccommandsupport_word(int index) { return words[index]; }

int ccommandsupport_flush(void) {
    int error = fflush(stdout) != 0 ? errno : ferror(stdout) ? EIO : 0;
    if (error != 0) {
        /* What is lost is lost: a later call tells of later output. */
        __fpurge(stdout);
        clearerr(stdout);
    }
    return error;
}
