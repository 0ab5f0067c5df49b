/* Lua's patterns, matched with an eye on the budget: what string.find and its like do, except
 * that a match that would run for hours stops when the script's CPU is used up.
 *
 * A search lives in the C function that began it and may raise: for a malformed pattern with
 * the messages of the standard library, and the stop of the task (see engine/budget.h). */
#ifndef TIDEGATE_BIND_PATTERN_MATCH_H
#define TIDEGATE_BIND_PATTERN_MATCH_H

#include <lua.h>
#include <stddef.h>

#define PATTERN_CAPTURES_MAX 32

struct pattern_capture {
  const char *start;
  ptrdiff_t length; /* or one of two marks below 0: open, or a position */
};

struct pattern_search {
  lua_State *L;
  const char *subject;
  const char *subject_end;
  const char *pattern;
  const char *pattern_end;
  long steps; /* until the budget is looked at */
  int depth;  /* of matches inside matches */
  int capture_count;
  struct pattern_capture captures[PATTERN_CAPTURES_MAX];
};

/* Both texts end in a NUL that is not counted, as Lua's do, and stay where they are. */
void pattern_search_init(struct pattern_search *search, lua_State *L, const char *subject,
                         size_t subject_length, const char *pattern, size_t pattern_length);
/* The end of the match that starts at `at`, or NULL; with the captures of that match. */
const char *pattern_match(struct pattern_search *search, const char *at);
/* Pushes the captures of the last match; without any, the match from `start` to `end`, unless
 * `start` is NULL. Returns how many. */
int pattern_push_captures(const struct pattern_search *search, const char *start, const char *end);
/* Pushes one capture, or the whole match when there are none and `index` is 0. */
void pattern_push_capture(const struct pattern_search *search, int index, const char *start,
                          const char *end);
/* Accounts for work on so many bytes. */
void pattern_spend(struct pattern_search *search, size_t bytes);

#endif
