#ifndef CCOMMANDS_H
#define CCOMMANDS_H

/// How many words the process was started with, its name among them.
int ccommands_word_count(void);

/// One of them.
const char *ccommands_word(int index);

#endif
