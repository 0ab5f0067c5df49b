/* Many byte strings looked for in one pass (Aho-Corasick).
 *
 * Built once, then immutable: any number of threads may search. */
#ifndef TIDEGATE_STATE_PATTERN_SET_H
#define TIDEGATE_STATE_PATTERN_SET_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_SET_NODES_MAX (16 * 1024 * 1024)

struct pattern_set;

struct pattern {
  const unsigned char *bytes;
  size_t length; /* not 0 */
};

/* NULL without memory or past PATTERN_SET_NODES_MAX. The bytes are not kept. */
struct pattern_set *pattern_set_new(const struct pattern *patterns, size_t count);
/* Wipes and frees. */
void pattern_set_free(struct pattern_set *set);

/* One step: from `state` (0 at first) over `byte`. `*matched` becomes the length of the
 * longest pattern that ends here, or 0. */
uint32_t pattern_set_step(const struct pattern_set *set, uint32_t state, unsigned char byte,
                          uint32_t *matched);

#endif
