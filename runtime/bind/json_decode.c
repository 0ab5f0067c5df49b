#include "bind/json_decode.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"
#include "bind/json_keys.h"
#include "bind/json_scan.h"
#include "bind/json_value.h"

/* Members wait on the Lua stack until their container is complete, so that its table is made
 * in the right size at once; containers larger than this are filled in portions, for the
 * stack ends at a million slots. */
#define PENDING_SLOTS_MAX 4096
#define STACK_STEP 64
/* Slots that filling a table takes beyond its members. */
#define STACK_SPARE 4

struct decoder {
  lua_State *L;
  const unsigned char *at;
  const unsigned char *end;
  const unsigned char *start;
  int top;   /* slots in use: what lua_gettop would say */
  int limit; /* slots that may be used, STACK_SPARE not counted */
  int depth;
  int mark; /* stack index of the array mark */
  int key_table;
  struct json_keys *keys;
  bool null_absent;
  int only; /* stack index of the set of members that are wanted of the outermost object; 0: all */
  struct json_scratch *scratch;
  struct err *err;
};

static int decode_value(struct decoder *decoder);

static int fail_at(struct decoder *decoder, const unsigned char *at, const char *what) {
  if (at >= decoder->end && strncmp(what, "expected", 8) == 0) {
    return err_set(decoder->err, "invalid_json", "invalid JSON: unexpected end, %s at byte %zu",
                   what, (size_t)(decoder->end - decoder->start) + 1);
  }
  return err_set(decoder->err, "invalid_json", "invalid JSON: %s at byte %zu", what,
                 (size_t)(at - decoder->start) + 1);
}

static int fail(struct decoder *decoder, const char *what) {
  return fail_at(decoder, decoder->at, what);
}

static int grow_stack(struct decoder *decoder) {
  if (!lua_checkstack(decoder->L, STACK_STEP + STACK_SPARE)) {
    return err_set(decoder->err, "out_of_memory",
                   "JSON not decoded: the Lua stack has no room left at byte %zu",
                   (size_t)(decoder->at - decoder->start) + 1);
  }
  decoder->limit = decoder->top + STACK_STEP;
  return 0;
}

static inline void drop_top(struct decoder *decoder) {
  lua_settop(decoder->L, -2);
  decoder->top--;
}

/* Before each push. */
static inline int take_slot(struct decoder *decoder) {
  if (decoder->top >= decoder->limit && grow_stack(decoder) != 0) return -1;
  decoder->top++;
  return 0;
}

static inline void skip_space(struct decoder *decoder) {
  const unsigned char *at = decoder->at;
  while (at < decoder->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  decoder->at = at;
}

static inline bool next_is(const struct decoder *decoder, unsigned char byte) {
  return decoder->at < decoder->end && *decoder->at == byte;
}

/* ---- strings ---- */

static int hex_digit(unsigned char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  byte |= 0x20;
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The four digits after \u, or -1. */
static int32_t read_code_unit(const unsigned char *at, const unsigned char *end) {
  if (end - at < 4) return -1;
  int32_t unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

/* `at` is the backslash. Returns the byte after the escape, or NULL with the error set. */
static const unsigned char *read_unicode_escape(struct decoder *decoder, const unsigned char *at,
                                                uint32_t *code_point) {
  int32_t unit = read_code_unit(at + 2, decoder->end);
  if (unit < 0) {
    fail_at(decoder, at, "\\u without four hexadecimal digits");
    return NULL;
  }
  *code_point = (uint32_t)unit;
  if (unit < 0xd800 || unit > 0xdfff) return at + 6;
  bool pair = unit < 0xdc00 && decoder->end - at >= 12 && at[6] == '\\' && at[7] == 'u';
  int32_t low = pair ? read_code_unit(at + 8, decoder->end) : -1;
  if (low < 0xdc00 || low > 0xdfff) {
    fail_at(decoder, at, "lone surrogate");
    return NULL;
  }
  *code_point = 0x10000 + ((uint32_t)(unit & 0x3ff) << 10 | (uint32_t)(low & 0x3ff));
  return at + 12;
}

static char simple_escape(unsigned char letter) {
  switch (letter) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '"':
    case '\\':
    case '/':
      return (char)letter;
    default:
      return 0;
  }
}

static int keep(struct decoder *decoder, const void *bytes, size_t length) {
  if (buf_append(&decoder->scratch->text, bytes, length) == 0) return 0;
  return err_set(decoder->err, "out_of_memory", "JSON not decoded: no memory for a string");
}

/* `at` is a backslash: its character goes to the scratch. Returns the byte after the escape,
 * or NULL with the error set. */
static const unsigned char *read_escape(struct decoder *decoder, const unsigned char *at) {
  unsigned char letter = decoder->end - at >= 2 ? at[1] : 0;
  if (letter == 'u') {
    uint32_t code_point;
    const unsigned char *after = read_unicode_escape(decoder, at, &code_point);
    char bytes[4];
    if (after == NULL) return NULL;
    return keep(decoder, bytes, utf8_encode(bytes, code_point)) == 0 ? after : NULL;
  }
  char byte = simple_escape(letter);
  if (byte == 0) {
    fail_at(decoder, at, "invalid escape");
    return NULL;
  }
  return keep(decoder, &byte, 1) == 0 ? at + 2 : NULL;
}

/* `at` is where scan_text stopped, and neither a quote nor a backslash. */
static int fail_in_string(struct decoder *decoder, const unsigned char *at) {
  if (at == decoder->end) return fail_at(decoder, at, "string without an end");
  if (*at < 0x20) return fail_at(decoder, at, "raw control character in a string");
  return fail_at(decoder, at, "invalid UTF-8");
}

/* From `at`, in a string, to the next byte that is a quote, a backslash, or wrong. */
static inline const unsigned char *scan_text(const unsigned char *at, const unsigned char *end) {
  for (;;) {
    at = json_plain_end(at, end);
    if (at == end || *at < 0x80) return at;
    while (at < end && *at >= 0x80) {
      size_t length = utf8_sequence_length(at, end);
      if (length == 0) return at;
      at += length;
    }
  }
}

/* A string with escapes: decoder->at is its first byte, `at` its first backslash. */
static int decode_escaped(struct decoder *decoder, const unsigned char *at) {
  const unsigned char *from = decoder->at;
  if (decoder->scratch == NULL) decoder->scratch = json_scratch(decoder->L);
  buf_clear(&decoder->scratch->text);
  while (at < decoder->end && *at == '\\') {
    if (keep(decoder, from, (size_t)(at - from)) != 0) return -1;
    from = read_escape(decoder, at);
    if (from == NULL) return -1;
    at = scan_text(from, decoder->end);
  }
  if (at == decoder->end || *at != '"') return fail_in_string(decoder, at);
  if (keep(decoder, from, (size_t)(at - from)) != 0) return -1;
  decoder->at = at + 1;
  if (take_slot(decoder) != 0) return -1;
  lua_pushlstring(decoder->L, decoder->scratch->text.data, decoder->scratch->text.length);
  return 0;
}

static inline int decode_string(struct decoder *decoder, bool is_key) {
  const unsigned char *from = ++decoder->at;
  const unsigned char *at = scan_text(from, decoder->end);
  if (at == decoder->end || *at != '"') {
    if (at < decoder->end && *at == '\\') return decode_escaped(decoder, at);
    return fail_in_string(decoder, at);
  }
  decoder->at = at + 1;
  if (take_slot(decoder) != 0) return -1;
  const char *text = (const char *)from;
  size_t length = (size_t)(at - from);
  if (is_key) {
    json_keys_push(decoder->L, decoder->keys, decoder->key_table, text, length);
  } else {
    lua_pushlstring(decoder->L, text, length);
  }
  return 0;
}

/* ---- numbers and words ---- */

static int decode_number(struct decoder *decoder) {
  struct number number;
  const unsigned char *after = (const unsigned char *)number_parse(
      (const char *)decoder->at, (const char *)decoder->end, &number);
  if (number.kind == NUMBER_INVALID) return fail_at(decoder, after, "invalid number");
  if (number.kind == NUMBER_TOO_LARGE) return fail(decoder, "number too large");
  decoder->at = after;
  if (take_slot(decoder) != 0) return -1;
  if (number.kind == NUMBER_INTEGER) {
    lua_pushinteger(decoder->L, number.as.integer);
  } else {
    lua_pushnumber(decoder->L, number.as.real);
  }
  return 0;
}

static int decode_word(struct decoder *decoder, const char *word, size_t length) {
  if ((size_t)(decoder->end - decoder->at) < length || memcmp(decoder->at, word, length) != 0) {
    return fail(decoder, "expected a value");
  }
  decoder->at += length;
  if (take_slot(decoder) != 0) return -1;
  if (word[0] == 'n') {
    json_push_null(decoder->L);
  } else {
    lua_pushboolean(decoder->L, word[0] == 't');
  }
  return 0;
}

/* ---- containers ---- */

/* A container whose members wait above the slot `base`, which is where its table goes. */
struct container {
  int base;
  lua_Integer stored; /* members that are in the table already */
  bool made;          /* the table is there */
};

static void drop_pending(struct decoder *decoder, const struct container *container) {
  lua_settop(decoder->L, container->base);
  decoder->top = container->base;
}

/* decoder->at is the bracket that opens it. */
static int container_open(struct decoder *decoder, struct container *container) {
  if (++decoder->depth > JSON_DEPTH_MAX) return fail(decoder, "more than 128 levels");
  if (take_slot(decoder) != 0) return -1;
  lua_pushnil(decoder->L);
  *container = (struct container){.base = decoder->top};
  decoder->at++;
  skip_space(decoder);
  return 0;
}

static inline bool container_is_full(const struct decoder *decoder,
                                     const struct container *container) {
  return decoder->top - container->base >= PENDING_SLOTS_MAX;
}

static void make_table(struct decoder *decoder, struct container *container, int elements,
                       int members) {
  lua_createtable(decoder->L, elements, members);
  lua_replace(decoder->L, container->base);
  container->made = true;
}

/* Elements go in from the last to the first: each is then on the stack's top, and the array
 * part has its size already. Later portions go in forwards, as the table must grow. */
static void array_store(struct decoder *decoder, struct container *container) {
  lua_State *L = decoder->L;
  int count = decoder->top - container->base;
  if (!container->made) {
    make_table(decoder, container, count, 0);
    for (int i = count; i > 0; i--) lua_rawseti(L, container->base, i);
  } else {
    for (int i = 1; i <= count; i++) {
      lua_pushvalue(L, container->base + i);
      lua_rawseti(L, container->base, container->stored + i);
    }
  }
  container->stored += count;
  drop_pending(decoder, container);
}

static int decode_array(struct decoder *decoder) {
  struct container container;
  if (container_open(decoder, &container) != 0) return -1;
  bool more = !next_is(decoder, ']');
  while (more) {
    skip_space(decoder);
    if (decode_value(decoder) != 0) return -1;
    if (container_is_full(decoder, &container)) array_store(decoder, &container);
    skip_space(decoder);
    more = next_is(decoder, ',');
    if (!more && !next_is(decoder, ']')) return fail(decoder, "expected ',' or ']'");
    if (more) decoder->at++;
  }
  decoder->at++;
  if (!container.made || decoder->top > container.base) array_store(decoder, &container);
  lua_pushvalue(decoder->L, decoder->mark);
  lua_setmetatable(decoder->L, container.base);
  decoder->depth--;
  return 0;
}

/* Members go in from the first to the last, so that of equal keys the last one wins. */
static void object_store(struct decoder *decoder, struct container *container) {
  lua_State *L = decoder->L;
  int first = container->base + 1, last = decoder->top;
  if (!container->made) make_table(decoder, container, 0, (last - first + 1) / 2);
  for (int key = first; key < last; key += 2) {
    lua_pushvalue(L, key);
    lua_pushvalue(L, key + 1);
    lua_rawset(L, container->base);
  }
  drop_pending(decoder, container);
}

static int decode_key(struct decoder *decoder) {
  skip_space(decoder);
  if (!next_is(decoder, '"')) return fail(decoder, "expected a key in double quotes");
  if (decode_string(decoder, true) != 0) return -1;
  skip_space(decoder);
  if (!next_is(decoder, ':')) return fail(decoder, "expected ':'");
  decoder->at++;
  skip_space(decoder);
  return 0;
}

/* ---- values that nobody wants: checked all the same ---- */

static int skip_value(struct decoder *decoder);

static int skip_members(struct decoder *decoder, bool is_object) {
  const unsigned char close = is_object ? '}' : ']';
  if (++decoder->depth > JSON_DEPTH_MAX) return fail(decoder, "more than 128 levels");
  decoder->at++;
  skip_space(decoder);
  bool more = !next_is(decoder, close);
  while (more) {
    if (is_object) {
      if (decode_key(decoder) != 0) return -1;
      drop_top(decoder);
    }
    skip_space(decoder);
    if (skip_value(decoder) != 0) return -1;
    skip_space(decoder);
    more = next_is(decoder, ',');
    if (!more && !next_is(decoder, close))
      return fail(decoder, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
    if (more) decoder->at++;
  }
  decoder->at++;
  decoder->depth--;
  return 0;
}

static int skip_string(struct decoder *decoder) {
  const unsigned char *at = scan_text(decoder->at + 1, decoder->end);
  if (at < decoder->end && *at == '"') {
    decoder->at = at + 1;
    return 0;
  }
  if (decode_string(decoder, false) != 0) return -1;
  drop_top(decoder);
  return 0;
}

static int skip_value(struct decoder *decoder) {
  unsigned char first = decoder->at < decoder->end ? *decoder->at : 0;
  if (first == '"') return skip_string(decoder);
  if (first == '{' || first == '[') return skip_members(decoder, first == '{');
  if (decode_value(decoder) != 0) return -1;
  drop_top(decoder);
  return 0;
}

/* Whether the key on top is one that is wanted. */
static bool is_wanted(struct decoder *decoder) {
  if (decoder->only == 0 || decoder->depth > 1) return true;
  lua_pushvalue(decoder->L, -1);
  bool wanted = lua_rawget(decoder->L, decoder->only) != LUA_TNIL;
  lua_pop(decoder->L, 1);
  return wanted;
}

static int decode_member(struct decoder *decoder) {
  if (decode_key(decoder) != 0) return -1;
  if (!is_wanted(decoder)) {
    drop_top(decoder);
    return skip_value(decoder);
  }
  if (decoder->null_absent && next_is(decoder, 'n')) {
    if (decode_value(decoder) != 0) return -1;
    lua_pushnil(decoder->L);
    lua_replace(decoder->L, decoder->top);
    return 0;
  }
  return decode_value(decoder);
}

static int decode_object(struct decoder *decoder) {
  struct container container;
  if (container_open(decoder, &container) != 0) return -1;
  bool more = !next_is(decoder, '}');
  while (more) {
    if (decode_member(decoder) != 0) return -1;
    if (container_is_full(decoder, &container)) object_store(decoder, &container);
    skip_space(decoder);
    more = next_is(decoder, ',');
    if (!more && !next_is(decoder, '}')) return fail(decoder, "expected ',' or '}'");
    if (more) decoder->at++;
  }
  decoder->at++;
  if (!container.made || decoder->top > container.base) object_store(decoder, &container);
  decoder->depth--;
  return 0;
}

static int decode_value(struct decoder *decoder) {
  if (decoder->at >= decoder->end) return fail(decoder, "expected a value");
  switch (*decoder->at) {
    case '"':
      return decode_string(decoder, false);
    case '{':
      return decode_object(decoder);
    case '[':
      return decode_array(decoder);
    case 't':
      return decode_word(decoder, "true", 4);
    case 'f':
      return decode_word(decoder, "false", 5);
    case 'n':
      return decode_word(decoder, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return decode_number(decoder);
    default:
      return fail(decoder, "expected a value");
  }
}

static int decode_document(struct decoder *decoder) {
  size_t length = (size_t)(decoder->end - decoder->start);
  if (length >= 3 && memcmp(decoder->start, "\xef\xbb\xbf", 3) == 0) {
    return fail(decoder, "byte order mark");
  }
  skip_space(decoder);
  if (decode_value(decoder) != 0) return -1;
  skip_space(decoder);
  if (decoder->at < decoder->end) return fail(decoder, "text after the document");
  return 0;
}

int json_decode_push(lua_State *L, const char *text, size_t length,
                     const struct json_decode_options *options, struct err *err) {
  int base = lua_gettop(L);
  json_push_mark(L);
  struct json_keys *keys = json_keys_open(L);
  const unsigned char *start = (const unsigned char *)text;
  struct decoder decoder = {
      .L = L,
      .at = start,
      .start = start,
      .end = start + length,
      .top = base + 2,
      .limit = base + 2,
      .mark = base + 1,
      .key_table = base + 2,
      .keys = keys,
      .null_absent = options->null_absent,
      .only = options->only,
      .err = err,
  };
  int result = decode_document(&decoder);
  if (decoder.scratch) json_scratch_trim(decoder.scratch);
  if (result == 0) lua_replace(L, base + 1);
  lua_settop(L, result == 0 ? base + 1 : base);
  return result;
}
