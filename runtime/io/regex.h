/* Regular expressions (PCRE2) that always come to an end.
 *
 * Three bounds hold each search: steps from one starting point (a limit inside PCRE2), memory
 * for backtracking, and CPU time over all starting points. PCRE2 bounds none of the last: a
 * pattern such as `\s+$` over 100 kB of spaces takes half a minute within its limits. So the
 * starting points are tried in windows, and the clock is looked at in between.
 *
 * A subject that is valid UTF-8 is matched by characters, any other by bytes. `$` matches at
 * the very end only, not before a last line break; \d, \w and \s are ASCII. */
#ifndef TIDEGATE_IO_REGEX_H
#define TIDEGATE_IO_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define REGEX_PATTERN_MAX 65536 /* bytes */
#define REGEX_GROUPS_MAX 99
#define REGEX_STEPS_MAX 1000000 /* from one starting point */
#define REGEX_MEMORY_KIB_MAX 16384
#define REGEX_CPU_NS_MAX 200000000 /* of one search, with all its matches */
#define REGEX_UNSET SIZE_MAX

enum regex_flag {
  REGEX_CASELESS = 1,
  REGEX_MULTILINE = 2,
  REGEX_DOT_ALL = 4,
  REGEX_EXTENDED = 8,
};

/* What searches need besides the pattern. One per worker's thread. */
struct regex_engine;
struct regex_engine *regex_engine_new(void); /* NULL without memory */
void regex_engine_free(struct regex_engine *engine);

/* A compiled pattern: immutable, independent of the engine. */
struct regex;

/* NULL with code "invalid_pattern" and the place, or "too_large". */
struct regex *regex_compile(const char *pattern, size_t length, unsigned flags, struct err *err);
void regex_free(struct regex *regex);
size_t regex_memory(const struct regex *regex);      /* bytes, roughly */
size_t regex_group_count(const struct regex *regex); /* without the whole match */
size_t regex_name_count(const struct regex *regex);
/* The name with this index (not NUL-terminated within its length) and the group's number. */
const char *regex_name(const struct regex *regex, size_t index, size_t *length, size_t *group);

/* Byte offsets, start and end (exclusive) of group n at 2n and 2n+1; REGEX_UNSET for a group
 * that took no part. Group 0 is the whole match. */
struct regex_match {
  size_t group_count;
  size_t offsets[2 * (REGEX_GROUPS_MAX + 1)];
};

/* One search through one subject; plain memory, nothing to free. */
struct regex_search {
  struct regex_engine *engine;
  const struct regex *regex;
  const char *subject; /* the caller keeps it alive and unchanged */
  size_t length;
  size_t at;          /* where the next match may start */
  bool by_characters; /* the subject is valid UTF-8 */
  bool after_empty;   /* the last match was empty and ended at `at` */
  bool ended;
  unsigned calls;      /* of PCRE2 so far */
  uint64_t started_ns; /* CPU time of the thread; set at the second call */
};

/* -1 when the pattern cannot be matched against bytes that are not UTF-8 ("invalid_utf8").
 * An offset inside of a character moves on to the next one. */
int regex_search_init(struct regex_search *search, struct regex_engine *engine, struct regex *regex,
                      const char *subject, size_t length, size_t offset, struct err *err);

/* 1: a match; 0: no more; -1 with code "limit" when a bound was reached. */
int regex_search_next(struct regex_search *search, struct regex_match *match, struct err *err);

#endif
