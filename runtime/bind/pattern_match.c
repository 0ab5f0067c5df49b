#include "bind/pattern_match.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "engine/budget.h"

#define ESCAPE '%'
#define CAPTURE_OPEN (-1)
#define CAPTURE_POSITION (-2)
#define DEPTH_MAX 200 /* each level takes a frame of C */
#define LOOK_STEPS 10000
#define RUN 1024 /* of characters that one item matches, between two counts */

static const char *match(struct pattern_search *search, const char *at, const char *pattern);

static inline void step(struct pattern_search *search, size_t count) {
  search->steps -= (long)count;
  if (search->steps > 0) return;
  search->steps = LOOK_STEPS;
  budget_look(search->L);
}

void pattern_spend(struct pattern_search *search, size_t bytes) {
  step(search, bytes / 16 + 1);
}

void pattern_search_init(struct pattern_search *search, lua_State *L, const char *subject,
                         size_t subject_length, const char *pattern, size_t pattern_length) {
  search->L = L;
  search->subject = subject;
  search->subject_end = subject + subject_length;
  search->pattern = pattern;
  search->pattern_end = pattern + pattern_length;
  search->steps = LOOK_STEPS;
  search->depth = 0;
  search->capture_count = 0;
}

/* ---- one character ---- */

static bool is_in_class(int c, int class) {
  bool inside;
  switch (tolower(class)) {
    case 'a':
      inside = isalpha(c);
      break;
    case 'c':
      inside = iscntrl(c);
      break;
    case 'd':
      inside = isdigit(c);
      break;
    case 'g':
      inside = isgraph(c);
      break;
    case 'l':
      inside = islower(c);
      break;
    case 'p':
      inside = ispunct(c);
      break;
    case 's':
      inside = isspace(c);
      break;
    case 'u':
      inside = isupper(c);
      break;
    case 'w':
      inside = isalnum(c);
      break;
    case 'x':
      inside = isxdigit(c);
      break;
    case 'z':
      inside = c == 0;
      break;
    default:
      return class == c;
  }
  return isupper(class) ? !inside : inside;
}

/* `set` is the opening bracket, `end` the closing one. */
static bool is_in_set(int c, const char *set, const char *end) {
  bool inside = true;
  if (*++set == '^') {
    inside = false;
    set++;
  }
  for (; set < end; set++) {
    if (*set == ESCAPE) {
      if (is_in_class(c, (unsigned char)*++set)) return inside;
    } else if (set[1] == '-' && set + 2 < end) {
      if ((unsigned char)set[0] <= c && c <= (unsigned char)set[2]) return inside;
      set += 2;
    } else if ((unsigned char)*set == c) {
      return inside;
    }
  }
  return !inside;
}

/* A single item of a pattern: a character, a class or a set, and where it ends. */
struct item {
  const char *start;
  const char *end;
};

static const char *set_end(const struct pattern_search *search, const char *at) {
  if (*at == '^') at++;
  do { /* a ']' that comes first is one of the set */
    if (at == search->pattern_end) luaL_error(search->L, "malformed pattern (missing ']')");
    if (*at++ == ESCAPE && at < search->pattern_end) at++;
  } while (*at != ']');
  return at + 1;
}

static struct item item_at(struct pattern_search *search, const char *at) {
  struct item item = {.start = at, .end = at + 1};
  if (*at == ESCAPE) {
    if (item.end == search->pattern_end)
      luaL_error(search->L, "malformed pattern (ends with '%%')");
    item.end++;
  } else if (*at == '[') {
    item.end = set_end(search, item.end);
  }
  return item;
}

static inline bool matches_one(const struct pattern_search *search, const char *at,
                               struct item item) {
  if (at >= search->subject_end) return false;
  int c = (unsigned char)*at;
  switch (*item.start) {
    case '.':
      return true;
    case ESCAPE:
      return is_in_class(c, (unsigned char)item.start[1]);
    case '[':
      return is_in_set(c, item.start, item.end - 1);
    default:
      return (unsigned char)*item.start == c;
  }
}

/* ---- repetition ---- */

/* As many as there are, then fewer, down to `least`; negative: characters before `at`. */
static const char *match_most(struct pattern_search *search, const char *at, struct item item,
                              ptrdiff_t least) {
  ptrdiff_t count = 0;
  while (matches_one(search, at + count, item))
    if (++count % RUN == 0) step(search, RUN * (size_t)(item.end - item.start));
  for (; count >= least; count--) {
    const char *end = match(search, at + count, item.end + 1);
    if (end != NULL) return end;
  }
  return NULL;
}

static const char *match_least(struct pattern_search *search, const char *at, struct item item) {
  for (;; at++) {
    const char *end = match(search, at, item.end + 1);
    if (end != NULL) return end;
    step(search, (size_t)(item.end - item.start));
    if (!matches_one(search, at, item)) return NULL;
  }
}

/* ---- captures ---- */

static const char *match_open(struct pattern_search *search, const char *at, const char *pattern,
                              ptrdiff_t mark) {
  if (search->capture_count >= PATTERN_CAPTURES_MAX) luaL_error(search->L, "too many captures");
  search->captures[search->capture_count++] = (struct pattern_capture){at, mark};
  const char *end = match(search, at, pattern);
  if (end == NULL) search->capture_count--;
  return end;
}

static const char *match_close(struct pattern_search *search, const char *at, const char *pattern) {
  int index = search->capture_count - 1;
  while (index >= 0 && search->captures[index].length != CAPTURE_OPEN) index--;
  if (index < 0) luaL_error(search->L, "invalid pattern capture");
  struct pattern_capture *capture = &search->captures[index];
  capture->length = at - capture->start;
  const char *end = match(search, at, pattern);
  if (end == NULL) capture->length = CAPTURE_OPEN;
  return end;
}

/* The end of the text at `at` that equals the capture of the digit, or NULL. */
static const char *match_again(struct pattern_search *search, const char *at, char digit) {
  int index = digit - '1';
  if (index < 0 || index >= search->capture_count || search->captures[index].length == CAPTURE_OPEN)
    luaL_error(search->L, "invalid capture index %%%d", index + 1);
  struct pattern_capture capture = search->captures[index];
  if (capture.length < 0 || search->subject_end - at < capture.length) return NULL;
  pattern_spend(search, (size_t)capture.length);
  return memcmp(capture.start, at, (size_t)capture.length) == 0 ? at + capture.length : NULL;
}

/* ---- %b and %f ---- */

/* `pair` is the two characters after %b. */
static const char *match_balanced(struct pattern_search *search, const char *at, const char *pair) {
  if (pair >= search->pattern_end - 1)
    luaL_error(search->L, "malformed pattern (missing arguments to '%%b')");
  if (*at != pair[0]) return NULL;
  long open = 1;
  while (++at < search->subject_end) {
    step(search, 1);
    if (*at == pair[1]) {
      if (--open == 0) return at + 1;
    } else if (*at == pair[0]) {
      open++;
    }
  }
  return NULL;
}

/* The end of the set when the frontier is at `at`, else NULL. */
static const char *match_frontier(struct pattern_search *search, const char *at, const char *set) {
  if (*set != '[') luaL_error(search->L, "missing '[' after '%%f' in pattern");
  const char *end = item_at(search, set).end;
  int before = at == search->subject ? '\0' : (unsigned char)at[-1];
  step(search, (size_t)(end - set));
  bool passes = !is_in_set(before, set, end - 1) && is_in_set((unsigned char)*at, set, end - 1);
  return passes ? end : NULL;
}

/* ---- the whole ---- */

/* How far a match has come: `at` is NULL when there is none, `pattern` NULL when all is done. */
struct progress {
  const char *at;
  const char *pattern;
};

static struct progress done(const char *end) {
  return (struct progress){end, NULL};
}

/* Where the item does not match it is left out, if it may be, without a deeper level. */
static struct progress skip_item(const char *at, struct item item) {
  bool may = *item.end == '*' || *item.end == '?' || *item.end == '-';
  return may ? (struct progress){at, item.end + 1} : done(NULL);
}

static struct progress match_item(struct pattern_search *search, const char *at,
                                  const char *pattern) {
  struct item item = item_at(search, pattern);
  const char *end;
  step(search, (size_t)(item.end - item.start));
  if (!matches_one(search, at, item)) return skip_item(at, item);
  switch (*item.end) {
    case '*':
    case '+':
      return done(match_most(search, at + 1, item, *item.end == '*' ? -1 : 0));
    case '-':
      return done(match_least(search, at, item));
    case '?':
      end = match(search, at + 1, item.end + 1);
      return end != NULL ? done(end) : (struct progress){at, item.end + 1};
    default:
      return (struct progress){at + 1, item.end};
  }
}

/* What begins with '%' and is no class. */
static struct progress match_special(struct pattern_search *search, const char *at,
                                     const char *pattern) {
  if (pattern[1] == 'b')
    return (struct progress){match_balanced(search, at, pattern + 2), pattern + 4};
  if (pattern[1] == 'f') {
    const char *end = match_frontier(search, at, pattern + 2);
    return end != NULL ? (struct progress){at, end} : done(NULL);
  }
  return (struct progress){match_again(search, at, pattern[1]), pattern + 2};
}

static bool is_special(char letter) {
  return letter == 'b' || letter == 'f' || (letter >= '0' && letter <= '9');
}

static struct progress match_next(struct pattern_search *search, const char *at,
                                  const char *pattern) {
  switch (*pattern) {
    case '(':
      if (pattern[1] == ')') return done(match_open(search, at, pattern + 2, CAPTURE_POSITION));
      return done(match_open(search, at, pattern + 1, CAPTURE_OPEN));
    case ')':
      return done(match_close(search, at, pattern + 1));
    case '$':
      if (pattern + 1 == search->pattern_end) return done(at == search->subject_end ? at : NULL);
      break;
    case ESCAPE:
      if (is_special(pattern[1])) return match_special(search, at, pattern);
      break;
    default:
      break;
  }
  return match_item(search, at, pattern);
}

static const char *match(struct pattern_search *search, const char *at, const char *pattern) {
  step(search, 1);
  if (search->depth++ == DEPTH_MAX) luaL_error(search->L, "pattern too complex");
  struct progress progress = {at, pattern};
  while (progress.at != NULL && progress.pattern != NULL && progress.pattern != search->pattern_end)
    progress = match_next(search, progress.at, progress.pattern);
  search->depth--;
  return progress.at;
}

const char *pattern_match(struct pattern_search *search, const char *at) {
  search->depth = 0;
  search->capture_count = 0;
  return match(search, at, search->pattern);
}

void pattern_push_capture(const struct pattern_search *search, int index, const char *start,
                          const char *end) {
  if (index >= search->capture_count) {
    if (index != 0) luaL_error(search->L, "invalid capture index %%%d", index + 1);
    lua_pushlstring(search->L, start, (size_t)(end - start));
    return;
  }
  struct pattern_capture capture = search->captures[index];
  if (capture.length == CAPTURE_OPEN) luaL_error(search->L, "unfinished capture");
  if (capture.length == CAPTURE_POSITION)
    lua_pushinteger(search->L, capture.start - search->subject + 1);
  else
    lua_pushlstring(search->L, capture.start, (size_t)capture.length);
}

int pattern_push_captures(const struct pattern_search *search, const char *start, const char *end) {
  int count = search->capture_count == 0 && start != NULL ? 1 : search->capture_count;
  luaL_checkstack(search->L, count, "too many captures");
  for (int index = 0; index < count; index++) pattern_push_capture(search, index, start, end);
  return count;
}
