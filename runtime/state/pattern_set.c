#include "state/pattern_set.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A trie whose children are sibling lists; the root has a table, as that is where nearly
 * every step of a text without a match begins and ends. */
struct node {
  uint32_t first_child, next_sibling, failure;
  uint32_t matched; /* longest pattern that ends here, by itself or by its failures */
  unsigned char byte;
};

struct pattern_set {
  struct node *nodes; /* 0 is the root */
  uint32_t count;
  uint32_t root[256];
};

static uint32_t child_of(const struct pattern_set *set, uint32_t at, unsigned char byte) {
  if (at == 0) return set->root[byte];
  uint32_t child = set->nodes[at].first_child;
  while (child != 0 && set->nodes[child].byte != byte) child = set->nodes[child].next_sibling;
  return child;
}

static uint32_t add_child(struct pattern_set *set, uint32_t at, unsigned char byte) {
  uint32_t child = set->count++;
  set->nodes[child] = (struct node){.byte = byte, .next_sibling = set->nodes[at].first_child};
  set->nodes[at].first_child = child;
  if (at == 0) set->root[byte] = child;
  return child;
}

static void add(struct pattern_set *set, const struct pattern *pattern) {
  uint32_t at = 0;
  for (size_t i = 0; i < pattern->length; i++) {
    uint32_t child = child_of(set, at, pattern->bytes[i]);
    at = child != 0 ? child : add_child(set, at, pattern->bytes[i]);
  }
  set->nodes[at].matched = (uint32_t)pattern->length;
}

static uint32_t follow(const struct pattern_set *set, uint32_t at, unsigned char byte) {
  uint32_t child = child_of(set, at, byte);
  while (child == 0 && at != 0) {
    at = set->nodes[at].failure;
    child = child_of(set, at, byte);
  }
  return child;
}

static void link_child(struct pattern_set *set, uint32_t parent, uint32_t child) {
  struct node *node = &set->nodes[child];
  node->failure = parent == 0 ? 0 : follow(set, set->nodes[parent].failure, node->byte);
  uint32_t inherited = set->nodes[node->failure].matched;
  if (inherited > node->matched) node->matched = inherited;
}

/* Breadth first, as a failure is always nearer to the root. */
static bool link_failures(struct pattern_set *set) {
  uint32_t *queue = malloc(set->count * sizeof *queue);
  if (queue == NULL) return false;
  uint32_t first = 0, last = 0;
  queue[last++] = 0;
  while (first < last) {
    uint32_t parent = queue[first++];
    for (uint32_t child = set->nodes[parent].first_child; child != 0;
         child = set->nodes[child].next_sibling) {
      link_child(set, parent, child);
      queue[last++] = child;
    }
  }
  free(queue);
  return true;
}

struct pattern_set *pattern_set_new(const struct pattern *patterns, size_t count) {
  size_t nodes = 1;
  for (size_t i = 0; i < count; i++) nodes += patterns[i].length;
  if (nodes > PATTERN_SET_NODES_MAX) return NULL;
  struct pattern_set *set = calloc(1, sizeof *set);
  if (set == NULL) return NULL;
  set->nodes = calloc(nodes, sizeof *set->nodes);
  set->count = 1;
  if (set->nodes != NULL) {
    for (size_t i = 0; i < count; i++) add(set, &patterns[i]);
    if (link_failures(set)) return set;
  }
  pattern_set_free(set);
  return NULL;
}

void pattern_set_free(struct pattern_set *set) {
  if (set == NULL) return;
  if (set->nodes != NULL) explicit_bzero(set->nodes, set->count * sizeof *set->nodes);
  free(set->nodes);
  free(set);
}

uint32_t pattern_set_step(const struct pattern_set *set, uint32_t state, unsigned char byte,
                          uint32_t *matched) {
  uint32_t next = follow(set, state, byte);
  *matched = set->nodes[next].matched;
  return next;
}
