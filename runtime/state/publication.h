/* Immutable bytes under a name, for all threads: what the main worker has decided and the
 * others read (the sources of a generation, the settings).
 *
 * Putting again replaces; who holds the old bytes keeps them until released. Thread-safe. */
#ifndef TIDEGATE_STATE_PUBLICATION_H
#define TIDEGATE_STATE_PUBLICATION_H

#include <stddef.h>
#include <stdint.h>

#define PUBLICATION_NAMES_MAX 64
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
