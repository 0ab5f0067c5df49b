#include "base/condition.h"

#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

void condition_init(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t time_ns) {
  if (time_ns == UINT64_MAX) return pthread_cond_wait(condition, mutex) == 0;
  const struct timespec until = {.tv_sec = (time_t)(time_ns / SECOND_NS),
                                 .tv_nsec = (long)(time_ns % SECOND_NS)};
  return pthread_cond_timedwait(condition, mutex, &until) == 0;
}
