/* Random sequences of all that a cache does, beside a model that is plain to see. The model does
 * not say what is evicted: it looks, whenever the cache says that it has evicted something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/glob.h"
#include "state/cache_scan.h"
#include "state/cache_shard.h"

#define STEPS 1000000
#define SPACES 2
#define KEYS 24
#define HELD 4
#define VALUE_MAX 1600
#define MILLISECOND UINT64_C(1000000)
#define KEY_LENGTH 6         /* "abc:12" */
#define TABLE_BYTES (16 * 8) /* of a shard with these limits */
#define ENTRY_BYTES (sizeof(struct cache_entry) + 16)

struct model_entry {
  bool there; /* whether or not its time is over */
  uint32_t serial;
  size_t length;
  uint64_t stored, expires, keep_until;
  bool is_negative;
};

struct model_space {
  struct cache_space *space;
  struct model_entry entries[KEYS];
  uint64_t latest, epoch, old_epoch;
  uint64_t stores, refused, deletes;
};

struct held {
  struct cache_hit hit;
  uint32_t serial;
};

struct model {
  struct cache *cache;
  struct model_space spaces[SPACES];
  struct held held[HELD];
  size_t limit;
  uint64_t now; /* the latest of all */
  uint64_t evictions;
  uint32_t serial;
  unsigned seed;
};

static uint64_t pick(struct model *model, unsigned below) {
  return (unsigned)rand_r(&model->seed) % below;
}

static void key_of(char *key, size_t number) {
  static const char *const prefixes[] = {"abc", "abd", "xyz"};
  snprintf(key, KEY_LENGTH + 1, "%s:%02u", prefixes[number % 3], (unsigned)number);
}

/* The time that a caller has: now, or somewhat before. */
static uint64_t caller_time(struct model *model) {
  if (pick(model, 4) == 0) model->now += pick(model, 2000) * MILLISECOND;
  return pick(model, 3) == 0 ? model->now - pick(model, 3000) * MILLISECOND : model->now;
}

static uint64_t advance(struct model_space *space, uint64_t now) {
  if (now > space->latest) space->latest = now;
  return space->latest;
}

/* --- what is there --- */

static bool must_be_gone(const struct model_space *space, const struct model_entry *entry) {
  return !entry->there || space->latest >= entry->keep_until;
}

/* Another space, whose time is further, may have swept it. */
static bool may_be_gone(const struct model *model, const struct model_entry *entry) {
  return !entry->there || model->now >= entry->keep_until;
}

static void check_value(const struct cache_hit *hit, uint32_t serial) {
  uint32_t found;
  memcpy(&found, hit->bytes, sizeof found);
  assert_int_equal(found, serial);
  for (size_t i = sizeof found; i < hit->length; i++)
    assert_int_equal((unsigned char)hit->bytes[i], serial & 0xff);
}

static void check_hit(const struct model_space *space, const struct model_entry *entry,
                      const struct cache_hit *hit) {
  assert_int_equal(hit->length, entry->length);
  assert_int_equal(hit->is_negative, entry->is_negative);
  assert_int_equal(hit->age_ns, space->latest - entry->stored);
  int64_t left = (int64_t)(entry->expires - space->latest);
  assert_true(hit->expires_in_ns == (left == 0 ? -1 : left));
  check_value(hit, entry->serial);
}

/* Looks a key up; whether it is there. */
static bool look(struct model *model, struct model_space *space, size_t number, uint64_t now,
                 struct cache_hit *hit) {
  struct model_entry *entry = &space->entries[number];
  char key[KEY_LENGTH + 1];
  key_of(key, number);
  bool found = cache_get(space->space, key, KEY_LENGTH, now, hit);
  advance(space, now);
  if (found) {
    assert_false(must_be_gone(space, entry));
    check_hit(space, entry, hit);
  }
  entry->there = entry->there && !must_be_gone(space, entry);
  if (!found && may_be_gone(model, entry)) entry->there = false;
  return found;
}

/* What the model has and the cache has not is what was evicted: never more than the cache says. */
static void find_evicted(struct model *model) {
  uint64_t evictions = cache_totals(model->cache).evictions, missing = 0;
  if (evictions == model->evictions) return;
  for (size_t at = 0; at < SPACES * KEYS; at++) {
    struct model_space *space = &model->spaces[at / KEYS];
    struct model_entry *entry = &space->entries[at % KEYS];
    struct cache_hit hit;
    bool found = look(model, space, at % KEYS, space->latest, &hit);
    cache_hit_release(&hit);
    missing += entry->there && !found;
    entry->there = found;
  }
  assert_true(missing <= evictions - model->evictions);
  model->evictions = evictions;
}

/* --- steps --- */

static void release(struct held *held) {
  if (held->hit.entry != NULL) check_value(&held->hit, held->serial);
  cache_hit_release(&held->hit);
}

static void step_get(struct model *model, struct model_space *space, size_t number) {
  struct held *held = &model->held[pick(model, HELD)];
  release(held);
  bool found = look(model, space, number, caller_time(model), &held->hit);
  assert_int_equal(found, space->entries[number].there);
  held->serial = space->entries[number].serial;
}

static size_t fill(struct model *model, char *value) {
  size_t length = sizeof model->serial + pick(model, pick(model, 8) == 0 ? VALUE_MAX : 300);
  model->serial++;
  memset(value, (int)(model->serial & 0xff), length);
  memcpy(value, &model->serial, sizeof model->serial);
  return length;
}

static enum cache_outcome expected_outcome(const struct model *model,
                                           const struct model_space *space,
                                           const struct cache_item *item) {
  size_t room = model->limit / CACHE_SHARDS;
  room = room > TABLE_BYTES ? room - TABLE_BYTES : 0;
  if (ENTRY_BYTES + item->key_length + item->value_length > room) return CACHE_FULL;
  return item->has_epoch && item->epoch != space->epoch ? CACHE_OLD_EPOCH : CACHE_STORED;
}

static void note_stored(struct model *model, struct model_space *space, size_t number,
                        const struct cache_item *item, uint64_t now) {
  now = advance(space, now);
  space->entries[number] = (struct model_entry){.there = true,
                                                .serial = model->serial,
                                                .length = item->value_length,
                                                .stored = now,
                                                .expires = now + item->ttl_ns,
                                                .keep_until = now + item->ttl_ns + item->keep_ns,
                                                .is_negative = item->is_negative};
  space->stores++;
}

static void step_put(struct model *model, struct model_space *space, size_t number) {
  char key[KEY_LENGTH + 1], value[VALUE_MAX + sizeof model->serial];
  key_of(key, number);
  uint64_t now = caller_time(model);
  struct cache_item item = {.key = key,
                            .key_length = KEY_LENGTH,
                            .value = value,
                            .value_length = fill(model, value),
                            .ttl_ns = pick(model, 20000) * MILLISECOND,
                            .keep_ns = pick(model, 2) * pick(model, 10000) * MILLISECOND,
                            .has_epoch = pick(model, 2) == 0,
                            .epoch = pick(model, 3) == 0 ? space->old_epoch : space->epoch,
                            .is_negative = pick(model, 2) == 0};
  enum cache_outcome expected = expected_outcome(model, space, &item);
  assert_int_equal(cache_put(space->space, &item, now), expected);
  if (expected == CACHE_STORED)
    note_stored(model, space, number, &item, now);
  else
    space->refused++;
}

static void note_deleted(struct model_space *space) {
  space->epoch++;
  assert_int_equal(cache_epoch(space->space), space->epoch);
}

static void step_delete(struct model *model, struct model_space *space, size_t number) {
  struct model_entry *entry = &space->entries[number];
  char key[KEY_LENGTH + 1];
  key_of(key, number);
  uint64_t now = caller_time(model);
  size_t count = cache_delete(space->space, key, KEY_LENGTH, now);
  advance(space, now);
  note_deleted(space);
  assert_true(count <= !must_be_gone(space, entry));
  assert_true(count >= !may_be_gone(model, entry));
  entry->there = false;
  space->deletes += count;
}

static size_t scan_all(struct cache_space *space, const char *pattern, bool deletes, uint64_t now) {
  struct cache_scan *scan = cache_scan_new(space, pattern, strlen(pattern), deletes);
  assert_non_null(scan);
  if (!deletes) cache_scan_list(scan, KEYS);
  while (cache_scan_step(scan, now)) continue;
  size_t count = cache_scan_count(scan);
  if (!deletes) assert_int_equal(cache_scan_names(scan)->length, count * (KEY_LENGTH + 1));
  cache_scan_free(scan);
  return count;
}

static void step_many(struct model *model, struct model_space *space, bool deletes) {
  static const char *const patterns[] = {"ab?:*", "*", "*:?1", "xyz:0?", "abc:00", "no"};
  const char *pattern = patterns[pick(model, sizeof patterns / sizeof patterns[0])];
  uint64_t now = caller_time(model);
  size_t least = 0, most = 0;
  size_t count = scan_all(space->space, pattern, deletes, now);
  advance(space, now);
  for (size_t number = 0; number < KEYS; number++) {
    struct model_entry *entry = &space->entries[number];
    char key[KEY_LENGTH + 1];
    key_of(key, number);
    if (!glob_matches(pattern, strlen(pattern), key, KEY_LENGTH)) continue;
    least += !may_be_gone(model, entry);
    most += !must_be_gone(space, entry);
    entry->there = entry->there && !deletes;
  }
  assert_in_range(count, least, most);
  if (!deletes) return;
  note_deleted(space);
  space->deletes += count;
}

static void step_limit(struct model *model) {
  static const size_t limits[] = {1024, 16384, 24000, 40000};
  model->limit = limits[pick(model, 4)];
  cache_set_limit(model->cache, model->limit);
}

static void step(struct model *model) {
  struct model_space *space = &model->spaces[pick(model, SPACES)];
  size_t number = pick(model, KEYS);
  uint64_t kind = pick(model, 1000);
  if (pick(model, 16) == 0) space->old_epoch = space->epoch;
  if (kind < 2)
    step_limit(model);
  else if (kind < 12)
    step_many(model, space, true);
  else if (kind < 50)
    step_many(model, space, false);
  else if (kind < 100)
    step_delete(model, space, number);
  else if (kind < 500)
    step_put(model, space, number);
  else
    step_get(model, space, number);
}

/* --- what must be true at any time --- */

static void check_space(const struct model *model, const struct model_space *space) {
  size_t least = 0;
  for (size_t number = 0; number < KEYS; number++)
    least += !may_be_gone(model, &space->entries[number]);
  assert_in_range(cache_counted(space->space, CACHE_ENTRIES), least, KEYS);
  assert_int_equal(cache_counted(space->space, CACHE_STORES), space->stores);
  assert_int_equal(cache_counted(space->space, CACHE_REFUSED), space->refused);
  assert_int_equal(cache_counted(space->space, CACHE_DELETES), space->deletes);
}

static uint64_t sum(const struct model *model, enum cache_count kind) {
  uint64_t total = 0;
  for (size_t i = 0; i < SPACES; i++) total += cache_counted(model->spaces[i].space, kind);
  return total;
}

static void check(const struct model *model) {
  struct cache_totals totals = cache_totals(model->cache);
  assert_true(totals.bytes <= model->limit);
  assert_int_equal(totals.bytes, sum(model, CACHE_BYTES));
  assert_int_equal(totals.entries, sum(model, CACHE_ENTRIES));
  assert_int_equal(totals.evictions, sum(model, CACHE_EVICTIONS));
  assert_int_equal(totals.refused, sum(model, CACHE_REFUSED));
  for (size_t i = 0; i < SPACES; i++) check_space(model, &model->spaces[i]);
}

static void open_model(struct model *model) {
  model->seed = (unsigned)time(NULL);
  printf("seed %u\n", model->seed);
  model->limit = 24000;
  model->now = 100000 * MILLISECOND;
  model->cache = cache_new(model->limit);
  assert_non_null(model->cache);
  model->spaces[0].space = cache_space_of(model->cache, "acme", 4);
  model->spaces[1].space = cache_space_of(model->cache, "acme/mock", 9);
}

static void random_sequences_agree_with_the_model(void **state) {
  (void)state;
  struct model *model = calloc(1, sizeof *model);
  assert_non_null(model);
  open_model(model);
  for (int count = 0; count < STEPS; count++) {
    step(model);
    find_evicted(model);
    check(model);
  }
  assert_true(model->evictions > STEPS / 1000);
  for (size_t i = 0; i < HELD; i++) release(&model->held[i]);
  cache_free(model->cache);
  free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_sequences_agree_with_the_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
