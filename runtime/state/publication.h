/* Immutable bytes under a name, for all threads: what the main worker has decided and the
 * others read (the sources of a generation, the settings).
 *
 * Putting again replaces; who holds the old bytes keeps them until released. Thread-safe. */
#ifndef TIDEGATE_STATE_PUBLICATION_H
#define TIDEGATE_STATE_PUBLICATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/waiter.h"

#define PUBLICATION_NAMES_MAX 512 /* each worker has one to answer by */
#define PUBLICATION_NAME_MAX 63

struct publications;
struct publication;

/* NULL without memory. */
struct publications *publications_new(void);
void publications_free(struct publications *publications);

/* Copies the bytes. Returns the version, which counts up from 1 for each name; 0 when memory
 * ran out, the name is too long or PUBLICATION_NAMES_MAX names are there. */
uint64_t publication_put(struct publications *publications, const char *name, const void *bytes,
                         size_t length);

enum publication_outcome { PUBLICATION_PUT, PUBLICATION_NOT_NEWER, PUBLICATION_FAILED };

/* The same with a version of the caller's: nothing is put unless it is newer than what is there,
 * so that of several who put what they read, the last to read wins. */
enum publication_outcome publication_put_version(struct publications *publications,
                                                 const char *name, const void *bytes, size_t length,
                                                 uint64_t version);

/* A number that grows with each put under any name: what was read before is still true while it is
 * the same. Takes no lock. */
uint64_t publications_changes(const struct publications *publications);
/* Wakes at the next put; false, and nothing will be woken, when there was one since `seen`. `wake`
 * is called once, on the thread that puts, under the lock of all publications. */
bool publications_wait(struct publications *publications, uint64_t seen, struct waiter *waiter,
                       wake_fn wake, void *argument);
/* No effect on one that does not wait. */
void publications_leave(struct publications *publications, struct waiter *waiter);

/* A reference, or NULL when nothing was put under the name. */
struct publication *publication_get(struct publications *publications, const char *name);
/* The version that publication_get would return; 0 for none. */
uint64_t publication_version(struct publications *publications, const char *name);

const char *publication_bytes(const struct publication *publication);
size_t publication_length(const struct publication *publication);
uint64_t publication_version_of(const struct publication *publication);
void publication_release(struct publication *publication);
/* The same, for whoever keeps it as a plain pointer. */
void publication_release_pointer(void *publication);

#endif
