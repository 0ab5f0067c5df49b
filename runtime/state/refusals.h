/* How often who was refused in the last second, by a key such as an address: for a limit over all
 * workers on how fast tokens can be guessed.
 *
 * Thread-safe. A table of fixed size: when a place is needed, who was refused longest ago of those
 * that share it is forgotten. Keys are told apart by a hash of 64 bits with a seed of the process's
 * own. */
#ifndef TIDEGATE_STATE_REFUSALS_H
#define TIDEGATE_STATE_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSALS_PER_SECOND 20
#define REFUSALS_KEYS_MAX 4096

struct refusals;

/* NULL without memory. */
struct refusals *refusals_new(void);
void refusals_free(struct refusals *refusals);
/* Notes one now, monotonic. False when there have been REFUSALS_PER_SECOND for which it was true in
 * the second that ends now. */
bool refusals_note(struct refusals *refusals, const void *key, size_t length, uint64_t now_ns);

#endif
