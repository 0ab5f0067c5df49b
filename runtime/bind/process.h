/* The process-wide objects behind struct shared: made before the first worker, freed after
 * the last. Main thread. */
#ifndef TIDEGATE_BIND_PROCESS_H
#define TIDEGATE_BIND_PROCESS_H

struct shared;

/* NULL when something cannot be made; the reason is on stderr. */
struct shared *process_open(void);
/* Flushes the log and closes the store. */
void process_close(struct shared *shared);

#endif
