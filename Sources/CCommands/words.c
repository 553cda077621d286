#include "CCommands.h"

/* The C library gives the words to whatever runs before main. Swift's CommandLine.arguments looks for them in /proc/self
 * instead: where that is not mounted, or no descriptor is left to open it, it has none. */
static int count;
static char **words;

__attribute__((constructor)) static void keep(int argc, char **argv) {
    count = argc;
    words = argv;
}

int ccommands_word_count(void) { return count; }

const char *ccommands_word(int index) { return words[index]; }
