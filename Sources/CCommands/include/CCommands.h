#ifndef CCOMMANDS_H
#define CCOMMANDS_H

/// Returns the number of arguments that the process was started with, including its name.
int ccommands_word_count(void);

/// Returns the argument at an index from 0 to the count less 1.
const char *ccommands_word(int index);

#endif
