#ifndef CCOMMANDSUPPORT_H
#define CCOMMANDSUPPORT_H

/// Returns the number of arguments that the process was started with, including its name.
int ccommandsupport_word_count(void);

/// Returns the argument at an index from 0 to the count less 1.
const char *ccommandsupport_word(int index);

/// Flushes standard output.
///
/// Returns 0, or the errno of a write that failed since the last call; EIO if that is no longer known.
int ccommandsupport_flush(void);

#endif
