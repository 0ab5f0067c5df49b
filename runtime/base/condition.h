/* Condition variables whose waits end by the real monotonic clock (clock_real_monotonic_ns):
 * setting the time of day moves no deadline. Destroyed with pthread_cond_destroy. */
#ifndef TIDEGATE_BASE_CONDITION_H
#define TIDEGATE_BASE_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition);

/* Waits, the mutex held, until it is signalled (true, perhaps without a cause) or until `time_ns`
 * (false); UINT64_MAX: as long as it takes. */
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t time_ns);

#endif
