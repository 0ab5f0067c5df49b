/* A child process that takes the write lock of a database when told, and gives it back. */
#ifndef TIDEGATE_SPEC_LOCKER_H
#define TIDEGATE_SPEC_LOCKER_H

#include <sys/types.h>

struct locker {
  pid_t pid;
  int orders;
  int answers;
};

/* Before this process has threads. */
struct locker locker_start(const char *path);
/* 'l' takes the lock, 'u' gives it back. */
void locker_order(const struct locker *locker, char order);
void locker_end(const struct locker *locker);

#endif
