#include "io/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define JIT_PATTERN_MAX 4096
#define JIT_STACK_FIRST 32768
#define JIT_STACK_MAX 1048576
#define WINDOW_FIRST 256
/* Starting points times subject bytes in one window: what loops inside PCRE2 that count as
 * one step may cost between two looks at the clock. */
#define WINDOW_WORK ((size_t)1 << 26)
#define CALLS_BETWEEN_CLOCKS 4
#define SHORT_SUBJECT 16384

struct regex_engine {
  pcre2_match_context *context;
  pcre2_match_data *data;
  pcre2_jit_stack *stack;
};

/* One compilation, and what of it the search loop asks for. */
struct variant {
  pcre2_code *code;    /* NULL: not (yet) there */
  const uint8_t *bits; /* bytes that a match can start with; NULL: unknown */
  int first;           /* the one byte that a match starts with; -1: unknown */
  bool in_windows;     /* a new starting offset does not change what matches */
};

struct regex {
  struct variant characters; /* for subjects that are valid UTF-8 */
  struct variant bytes;      /* for others; compiled when first needed */
  bool bytes_tried;
  unsigned flags;
  size_t pattern_length;
  char pattern[];
};

struct regex_engine *regex_engine_new(void) {
  struct regex_engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) return NULL;
  engine->context = pcre2_match_context_create(NULL);
  engine->data = pcre2_match_data_create(REGEX_GROUPS_MAX + 1, NULL);
  engine->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
  if (engine->context == NULL || engine->data == NULL) {
    regex_engine_free(engine);
    return NULL;
  }
  pcre2_set_heap_limit(engine->context, REGEX_MEMORY_KIB_MAX);
  if (engine->stack != NULL) pcre2_jit_stack_assign(engine->context, NULL, engine->stack);
  return engine;
}

void regex_engine_free(struct regex_engine *engine) {
  if (engine == NULL) return;
  pcre2_match_data_free(engine->data);
  pcre2_match_context_free(engine->context);
  pcre2_jit_stack_free(engine->stack);
  free(engine);
}

static uint32_t pcre2_options(unsigned flags, bool by_characters) {
  uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  options |= by_characters ? PCRE2_UTF : PCRE2_NEVER_UTF;
  if (flags & REGEX_CASELESS) options |= PCRE2_CASELESS;
  if (flags & REGEX_MULTILINE) options |= PCRE2_MULTILINE;
  if (flags & REGEX_DOT_ALL) options |= PCRE2_DOTALL;
  if (flags & REGEX_EXTENDED) options |= PCRE2_EXTENDED;
  return options;
}

static bool contains(const struct regex *regex, const char *text) {
  return memmem(regex->pattern, regex->pattern_length, text, strlen(text)) != NULL;
}

static void study(const struct regex *regex, struct variant *variant) {
  uint32_t options = 0, first_type = 0, first = 0;
  pcre2_pattern_info(variant->code, PCRE2_INFO_ALLOPTIONS, &options);
  pcre2_pattern_info(variant->code, PCRE2_INFO_FIRSTCODETYPE, &first_type);
  pcre2_pattern_info(variant->code, PCRE2_INFO_FIRSTCODEUNIT, &first);
  pcre2_pattern_info(variant->code, PCRE2_INFO_FIRSTBITMAP, &variant->bits);
  variant->first = first_type == 1 ? (int)first : -1;
  /* \G and the verbs see where a search began or end it as a whole. */
  variant->in_windows =
      !(options & PCRE2_ANCHORED) && !contains(regex, "\\G") && !contains(regex, "(*");
}

static int fail_compile(struct err *err, int code, PCRE2_SIZE offset) {
  PCRE2_UCHAR message[256] = "";
  pcre2_get_error_message(code, message, sizeof message);
  return err_set(err, "invalid_pattern", "invalid pattern: %s, at byte %zu", (char *)message,
                 (size_t)offset + 1);
}

static int compile(const struct regex *regex, struct variant *variant, bool by_characters,
                   struct err *err) {
  int code;
  uint32_t groups = 0;
  PCRE2_SIZE offset;
  variant->code = pcre2_compile((PCRE2_SPTR)regex->pattern, regex->pattern_length,
                                pcre2_options(regex->flags, by_characters), &code, &offset, NULL);
  if (variant->code == NULL) return fail_compile(err, code, offset);
  pcre2_pattern_info(variant->code, PCRE2_INFO_CAPTURECOUNT, &groups);
  if (groups > REGEX_GROUPS_MAX)
    return err_set(err, "too_large", "a pattern may have at most %d groups", REGEX_GROUPS_MAX);
  /* Without JIT (no executable memory) the interpreter serves. */
  if (regex->pattern_length <= JIT_PATTERN_MAX)
    pcre2_jit_compile(variant->code, PCRE2_JIT_COMPLETE);
  study(regex, variant);
  return 0;
}

struct regex *regex_compile(const char *pattern, size_t length, unsigned flags, struct err *err) {
  if (length > REGEX_PATTERN_MAX) {
    err_set(err, "too_large", "a pattern may have at most %d bytes", REGEX_PATTERN_MAX);
    return NULL;
  }
  struct regex *regex = calloc(1, sizeof *regex + length + 1);
  if (regex == NULL) {
    err_set(err, "out_of_memory", "no memory for a pattern");
    return NULL;
  }
  regex->flags = flags;
  regex->pattern_length = length;
  if (length > 0) memcpy(regex->pattern, pattern, length);
  bool by_characters = utf8_is_valid(pattern, length);
  regex->bytes_tried = !by_characters;
  if (compile(regex, by_characters ? &regex->characters : &regex->bytes, by_characters, err) == 0)
    return regex;
  regex_free(regex);
  return NULL;
}

void regex_free(struct regex *regex) {
  if (regex == NULL) return;
  pcre2_code_free(regex->characters.code);
  pcre2_code_free(regex->bytes.code);
  free(regex);
}

static const pcre2_code *any_code(const struct regex *regex) {
  return regex->characters.code != NULL ? regex->characters.code : regex->bytes.code;
}

size_t regex_memory(const struct regex *regex) {
  size_t size = 0, jit_size = 0;
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_SIZE, &size);
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_JITSIZE, &jit_size);
  return sizeof *regex + regex->pattern_length + size + jit_size;
}

size_t regex_group_count(const struct regex *regex) {
  uint32_t count = 0;
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_CAPTURECOUNT, &count);
  return count;
}

size_t regex_name_count(const struct regex *regex) {
  uint32_t count = 0;
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_NAMECOUNT, &count);
  return count;
}

const char *regex_name(const struct regex *regex, size_t index, size_t *length, size_t *group) {
  PCRE2_SPTR table = NULL;
  uint32_t entry_size = 0;
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_NAMETABLE, &table);
  pcre2_pattern_info(any_code(regex), PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
  PCRE2_SPTR entry = table + index * entry_size;
  *group = (size_t)entry[0] << 8 | entry[1];
  *length = strlen((const char *)entry + 2);
  return (const char *)entry + 2;
}

static bool is_continuation(const struct regex_search *search, size_t at) {
  return search->by_characters && ((unsigned char)search->subject[at] & 0xC0) == 0x80;
}

static const struct variant *variant_of(const struct regex_search *search) {
  return search->by_characters ? &search->regex->characters : &search->regex->bytes;
}

int regex_search_init(struct regex_search *search, struct regex_engine *engine, struct regex *regex,
                      const char *subject, size_t length, size_t offset, struct err *err) {
  bool by_characters = regex->characters.code != NULL && utf8_is_valid(subject, length);
  if (!by_characters && !regex->bytes_tried) {
    regex->bytes_tried = true;
    struct err ignored;
    if (compile(regex, &regex->bytes, false, &ignored) != 0) {
      pcre2_code_free(regex->bytes.code);
      regex->bytes.code = NULL;
    }
  }
  if (!by_characters && regex->bytes.code == NULL)
    return err_set(err, "invalid_utf8", "the subject is not valid UTF-8, which this pattern needs");
  *search = (struct regex_search){.engine = engine,
                                  .regex = regex,
                                  .subject = subject,
                                  .length = length,
                                  .at = offset,
                                  .by_characters = by_characters,
                                  .ended = offset > length};
  while (search->at < length && is_continuation(search, search->at)) search->at++;
  return 0;
}

static uint64_t thread_cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The clock costs more than a short match, so the first calls go without it. */
static bool time_is_up(struct regex_search *search) {
  if (++search->calls < 2) return false;
  if (search->started_ns == 0) {
    search->started_ns = thread_cpu_ns();
    return false;
  }
  if (search->length < SHORT_SUBJECT && search->calls % CALLS_BETWEEN_CLOCKS != 0) return false;
  return thread_cpu_ns() - search->started_ns > REGEX_CPU_NS_MAX;
}

static bool can_start(const struct variant *variant, unsigned char byte) {
  if (variant->first >= 0) {
    /* PCRE2 does not say whether it means this byte in either case. */
    bool letter = (byte | 32) >= 'a' && (byte | 32) <= 'z';
    return variant->first >= 128 || byte == variant->first ||
           (letter && (byte ^ 32) == variant->first);
  }
  return variant->bits == NULL || (variant->bits[byte / 8] >> (byte % 8) & 1) != 0;
}

/* Moves to the first place where a match can start, so that PCRE2 does not look for it far
 * beyond a window, and then again in the next one. */
static size_t skip_hopeless(const struct regex_search *search, const struct variant *variant,
                            size_t at) {
  while (at < search->length &&
         (is_continuation(search, at) || !can_start(variant, (unsigned char)search->subject[at])))
    at++;
  return at;
}

static int call_pcre2(const struct regex_search *search, const struct variant *variant, size_t from,
                      size_t last, uint32_t steps, uint32_t options) {
  struct regex_engine *engine = search->engine;
  pcre2_set_match_limit(engine->context, steps);
  pcre2_set_offset_limit(engine->context, last);
  if (search->by_characters) options |= PCRE2_NO_UTF_CHECK;
  return pcre2_match(variant->code, (PCRE2_SPTR)search->subject, search->length, from, options,
                     engine->data, engine->context);
}

static bool is_limit(int code) {
  return code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT ||
         code == PCRE2_ERROR_HEAPLIMIT || code == PCRE2_ERROR_JIT_STACKLIMIT;
}

static size_t next_character(const struct regex_search *search, size_t at) {
  at++;
  while (at < search->length && is_continuation(search, at)) at++;
  return at;
}

static size_t largest_window(const struct regex_search *search) {
  size_t window = WINDOW_WORK / (search->length + 1);
  return window < 1 ? 1 : window;
}

/* Tries the starting points from search->at on, a window of them a call. */
static int find(struct regex_search *search, const struct variant *variant) {
  size_t largest = largest_window(search);
  size_t window = largest < WINDOW_FIRST ? largest : WINDOW_FIRST;
  size_t from = search->at;
  for (;;) {
    from = skip_hopeless(search, variant, from);
    size_t left = search->length - from;
    if (window > left) window = left + 1;
    uint32_t steps = (uint32_t)(REGEX_STEPS_MAX / window);
    int result = call_pcre2(search, variant, from, from + window - 1, steps < 1 ? 1 : steps, 0);
    bool retry = result == PCRE2_ERROR_MATCHLIMIT && window > 1;
    if (result != PCRE2_ERROR_NOMATCH && !retry) return result;
    if (time_is_up(search)) return PCRE2_ERROR_MATCHLIMIT;
    if (retry) {
      window = window / 8 < 1 ? 1 : window / 8;
      continue;
    }
    if (window > left) return PCRE2_ERROR_NOMATCH;
    from = next_character(search, from + window - 1);
    window = window * 2 > largest ? largest : window * 2;
  }
}

static int find_whole(struct regex_search *search, const struct variant *variant) {
  int result = call_pcre2(search, variant, search->at, PCRE2_UNSET, REGEX_STEPS_MAX, 0);
  return time_is_up(search) ? PCRE2_ERROR_MATCHLIMIT : result;
}

static int find_from(struct regex_search *search) {
  const struct variant *variant = variant_of(search);
  if (search->after_empty) {
    int result = call_pcre2(search, variant, search->at, PCRE2_UNSET, REGEX_STEPS_MAX,
                            PCRE2_ANCHORED | PCRE2_NOTEMPTY_ATSTART);
    if (result != PCRE2_ERROR_NOMATCH) return result;
    if (search->at >= search->length) return PCRE2_ERROR_NOMATCH;
    search->at = next_character(search, search->at);
  }
  return variant->in_windows ? find(search, variant) : find_whole(search, variant);
}

static void take_match(struct regex_search *search, int count, struct regex_match *match) {
  const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(search->engine->data);
  match->group_count = regex_group_count(search->regex);
  for (size_t group = 0; group <= match->group_count; group++) {
    bool set = (int)group < count && offsets[2 * group] != PCRE2_UNSET;
    match->offsets[2 * group] = set ? offsets[2 * group] : REGEX_UNSET;
    match->offsets[2 * group + 1] = set ? offsets[2 * group + 1] : REGEX_UNSET;
  }
  search->after_empty = match->offsets[0] == match->offsets[1];
  search->at = match->offsets[1];
}

int regex_search_next(struct regex_search *search, struct regex_match *match, struct err *err) {
  if (search->ended) return 0;
  if (search->calls > 0 && time_is_up(search)) {
    search->ended = true;
    return err_set(err, "limit", "the search took too long");
  }
  int result = find_from(search);
  if (result > 0) {
    take_match(search, result, match);
    return 1;
  }
  search->ended = true;
  if (result == PCRE2_ERROR_NOMATCH) return 0;
  if (is_limit(result))
    return err_set(err, "limit",
                   "the pattern needs too many steps for this subject (nested or adjacent "
                   "repetitions?)");
  PCRE2_UCHAR message[256] = "";
  pcre2_get_error_message(result, message, sizeof message);
  return err_set(err, "internal", "the search failed: %s", (char *)message);
}
