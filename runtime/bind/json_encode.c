#include "bind/json_encode.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"
#include "bind/json_decode.h"
#include "bind/json_scan.h"
#include "bind/json_value.h"

/* What a writer may leave unused beyond what it asked for. */
#define SLACK 64
#define PATH_BYTES 200
#define PATH_KEY_BYTES 40
/* Slots that one level takes: the table's key and value, and a copy of a key. */
#define LEVEL_SLOTS 6
/* From here on a sort by insertion loses. */
#define SMALL_OBJECT_KEYS 24

struct encoder {
  lua_State *L;
  struct buf *text;
  struct buf *keys; /* struct sorted_key: those of all objects that are being written sorted */
  const void *mark; /* the address of the array mark */
  int depth;
  bool sorted;
  bool pretty;
  bool canonical;
  size_t max_bytes;
  struct err *err;
  const char *problem;   /* why a value has no form; NULL when it is err's to say */
  char path[PATH_BYTES]; /* filled from the end while returning from the value refused */
  size_t path_start;
  bool path_is_cut; /* there was no room for the segments nearest to the root */
};

/* The value is on the top of the stack; it stays there. */
static int encode_value(struct encoder *encoder);

static int refuse(struct encoder *encoder, const char *problem) {
  encoder->problem = problem;
  return -1;
}

/* ---- text ---- */

/* The buffer has no room: either the result is too large or memory is short. */
static char *no_room(struct encoder *encoder, size_t length) {
  if (encoder->text->length + length > encoder->max_bytes) {
    err_set(encoder->err, "not_encodable", "cannot encode: the result is larger than %zu bytes",
            encoder->max_bytes);
  } else {
    err_set(encoder->err, "out_of_memory", "cannot encode: no memory for the result");
  }
  return NULL;
}

/* Where the next `length` bytes may be written, or NULL with the error set. */
static inline char *room(struct encoder *encoder, size_t length) {
  struct buf *text = encoder->text;
  if (text->capacity - text->length < length && buf_reserve(text, length) != 0) {
    return no_room(encoder, length);
  }
  return text->data + text->length;
}

static inline void advance(struct encoder *encoder, size_t length) {
  encoder->text->length += length;
}

static inline int put(struct encoder *encoder, char byte) {
  char *to = room(encoder, 1);
  if (to == NULL) return -1;
  *to = byte;
  advance(encoder, 1);
  return 0;
}

static int put_text(struct encoder *encoder, const char *text, size_t length) {
  char *to = room(encoder, length);
  if (to == NULL) return -1;
  memcpy(to, text, length);
  advance(encoder, length);
  return 0;
}

static int put_line(struct encoder *encoder) {
  size_t indent = (size_t)encoder->depth * 2;
  char *to = room(encoder, indent + 1);
  if (to == NULL) return -1;
  to[0] = '\n';
  memset(to + 1, ' ', indent);
  advance(encoder, indent + 1);
  return 0;
}

/* ---- strings ---- */

#ifdef __SSE2__
static inline __m128i load_two_halves(const char *text, size_t length, size_t half) {
  uint64_t first = 0, last = 0;
  memcpy(&first, text, half);
  memcpy(&last, text + length - half, half);
  return _mm_set_epi64x((long long)last, (long long)first);
}

/* Copies `text` if all of it is plain, by loads that overlap rather than byte by byte. What
 * it wrote when it was not is meaningless. */
static bool copy_plain(char *to, const char *text, size_t length) {
  if (length >= 16) {
    size_t last = length - 16;
    for (size_t i = 0; i < last; i += 16) {
      __m128i bytes = _mm_loadu_si128((const __m128i *)(text + i));
      if (json_special_mask(bytes) != 0) return false;
      _mm_storeu_si128((__m128i *)(to + i), bytes);
    }
    __m128i bytes = _mm_loadu_si128((const __m128i *)(text + last));
    _mm_storeu_si128((__m128i *)(to + last), bytes);
    return json_special_mask(bytes) == 0;
  }
  if (length >= 8) {
    __m128i bytes = load_two_halves(text, length, 8);
    memcpy(to, text, 8);
    memcpy(to + length - 8, text + length - 8, 8);
    return json_special_mask(bytes) == 0;
  }
  if (length >= 4) {
    __m128i bytes = load_two_halves(text, length, 4);
    memcpy(to, text, 4);
    memcpy(to + length - 4, text + length - 4, 4);
    return (json_special_mask(bytes) & 0x0f0f) == 0;
  }
  bool plain = true;
  for (size_t i = 0; i < length; i++) {
    plain = plain && json_is_plain((unsigned char)text[i]);
    to[i] = text[i];
  }
  return plain;
}
#else
static bool copy_plain(char *to, const char *text, size_t length) {
  const unsigned char *start = (const unsigned char *)text;
  memcpy(to, text, length);
  return json_plain_end(start, start + length) == start + length;
}
#endif

/* At most six bytes; returns how many. */
static size_t write_escape(char *to, unsigned char byte) {
  static const char hex[] = "0123456789abcdef";
  static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                 ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
  to[0] = '\\';
  if (letters[byte] != 0) {
    to[1] = letters[byte];
    return 2;
  }
  memcpy(to + 1, "u00", 3);
  to[4] = hex[byte >> 4];
  to[5] = hex[byte & 15];
  return 6;
}

static int put_special_string(struct encoder *encoder, const char *text, size_t length) {
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  if (put(encoder, '"') != 0) return -1;
  while (at < end) {
    const unsigned char *from = at;
    at = json_plain_end(at, end);
    while (at < end && *at >= 0x80) {
      size_t step = utf8_sequence_length(at, end);
      if (step == 0) return refuse(encoder, "a string that is not valid UTF-8 has no JSON form");
      at += step;
    }
    if (put_text(encoder, (const char *)from, (size_t)(at - from)) != 0) return -1;
    if (at == end || json_is_plain(*at)) continue;
    char *to = room(encoder, 6);
    if (to == NULL) return -1;
    advance(encoder, write_escape(to, *at++));
  }
  return put(encoder, '"');
}

static inline int put_string(struct encoder *encoder, const char *text, size_t length) {
  char *to = room(encoder, length + 2);
  if (to == NULL) return -1;
  if (!copy_plain(to + 1, text, length)) return put_special_string(encoder, text, length);
  to[0] = '"';
  to[length + 1] = '"';
  advance(encoder, length + 2);
  return 0;
}

/* ---- numbers ---- */

/* As RFC 8785 says, save where the decoder would then read another value: the sign of zero
 * is kept, and whole numbers that fit int64 have all their digits. */
static size_t write_double(char *to, double value, bool canonical) {
  if (canonical) return number_format_double(to, value);
  if (value == 0 && signbit(value)) {
    memcpy(to, "-0.0", 4);
    return 4;
  }
  bool fits = value > -0x1p63 && value < 0x1p63;
  if (fits && value == (double)(int64_t)value) return number_format_integer(to, (int64_t)value);
  return number_format_double(to, value);
}

static int encode_number(struct encoder *encoder) {
  char *to = room(encoder, NUMBER_TEXT_MAX);
  if (to == NULL) return -1;
  if (lua_isinteger(encoder->L, -1)) {
    advance(encoder, number_format_integer(to, lua_tointeger(encoder->L, -1)));
    return 0;
  }
  size_t length = write_double(to, lua_tonumber(encoder->L, -1), encoder->canonical);
  if (length == 0) return refuse(encoder, "NaN and infinities have no JSON form");
  advance(encoder, length);
  return 0;
}

/* ---- the path of a value that was refused ---- */

static void path_prepend(struct encoder *encoder, const char *text, size_t length) {
  if (encoder->path_is_cut) return;
  if (encoder->path_start < length + 3) {
    encoder->path_is_cut = true;
    text = "...";
    length = 3;
  }
  encoder->path_start -= length;
  memcpy(encoder->path + encoder->path_start, text, length);
}

static bool is_identifier(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char letter = (unsigned char)text[i] | 0x20;
    bool digit = i > 0 && text[i] >= '0' && text[i] <= '9';
    if (!digit && text[i] != '_' && !(letter >= 'a' && letter <= 'z')) return false;
  }
  return length > 0 && length <= PATH_KEY_BYTES;
}

static void path_prepend_key(struct encoder *encoder, const char *key, size_t length) {
  char segment[PATH_KEY_BYTES + 8];
  if (is_identifier(key, length)) {
    segment[0] = '.';
    memcpy(segment + 1, key, length);
    path_prepend(encoder, segment, length + 1);
    return;
  }
  size_t shown = length < PATH_KEY_BYTES ? length : PATH_KEY_BYTES;
  memcpy(segment, "[\"", 2);
  for (size_t i = 0; i < shown; i++) {
    bool printable = key[i] >= 0x20 && key[i] < 0x7f;
    segment[2 + i] = printable ? key[i] : '?';
  }
  memcpy(segment + 2 + shown, "\"]", 2);
  path_prepend(encoder, segment, shown + 4);
}

static void path_prepend_index(struct encoder *encoder, lua_Integer index) {
  char segment[NUMBER_TEXT_MAX + 2];
  int length = snprintf(segment, sizeof segment, "[%lld]", (long long)index);
  path_prepend(encoder, segment, (size_t)length);
}

/* ---- arrays ---- */

/* The element is on the top. */
static int encode_element(struct encoder *encoder, lua_Integer index) {
  if (index > 1 && put(encoder, ',') != 0) return -1;
  if (encoder->pretty && put_line(encoder) != 0) return -1;
  if (encode_value(encoder) == 0) return 0;
  path_prepend_index(encoder, index);
  return -1;
}

static const char not_a_list[] =
    "a table needs keys that are all strings, or exactly 1 to n without holes";

/* Whether the keys of the table are exactly 1..n, in whatever order they come. */
static int count_elements(struct encoder *encoder, int table, lua_Integer *count) {
  lua_State *L = encoder->L;
  lua_Integer keys = 0, largest = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    if (key < 1) return refuse(encoder, not_a_list);
    if (key > largest) largest = key;
    keys++;
  }
  *count = keys;
  return largest == keys ? 0 : refuse(encoder, not_a_list);
}

/* Elements from `from` on, which a traversal does not meet in order. */
static int encode_rest(struct encoder *encoder, int table, lua_Integer from) {
  lua_Integer count;
  if (count_elements(encoder, table, &count) != 0) return -1;
  for (lua_Integer i = from; i <= count; i++) {
    lua_rawgeti(encoder->L, table, i);
    if (encode_element(encoder, i) != 0) return -1;
    lua_pop(encoder->L, 1);
  }
  return 0;
}

/* The first key and its value are on the stack, above the table. */
static int encode_elements(struct encoder *encoder, int table) {
  lua_State *L = encoder->L;
  lua_Integer index = 1;
  do {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != index) {
      lua_pop(L, 2);
      return encode_rest(encoder, table, index);
    }
    if (encode_element(encoder, index++) != 0) return -1;
    lua_pop(L, 1);
  } while (lua_next(L, table));
  return 0;
}

/* ---- objects ---- */

/* The value is on the top. */
static int encode_member(struct encoder *encoder, const char *key, size_t length, bool first) {
  if (!first && put(encoder, ',') != 0) return -1;
  if (encoder->pretty && put_line(encoder) != 0) return -1;
  if (put_string(encoder, key, length) != 0) {
    path_prepend_key(encoder, key, length);
    return -1;
  }
  if (put(encoder, ':') != 0) return -1;
  if (encoder->pretty && put(encoder, ' ') != 0) return -1;
  if (encode_value(encoder) == 0) return 0;
  path_prepend_key(encoder, key, length);
  return -1;
}

static int encode_members(struct encoder *encoder, int table) {
  lua_State *L = encoder->L;
  bool first = true;
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse(encoder, not_a_list);
    size_t length;
    const char *key = lua_tolstring(L, -2, &length);
    if (encode_member(encoder, key, length, first) != 0) return -1;
    first = false;
    lua_pop(L, 1);
  } while (lua_next(L, table));
  return 0;
}

struct sorted_key {
  const char *text;
  size_t length;
  int slot; /* where the key is on the Lua stack */
};

/* By UTF-16 code units: bytes of UTF-8 are in that order, save that what UTF-16 writes with
 * surrogates (lead byte f0 on) comes before U+E000 to U+FFFF (lead bytes ee, ef). */
static int compare_keys(const void *left, const void *right) {
  const struct sorted_key *a = left, *b = right;
  size_t shorter = a->length < b->length ? a->length : b->length;
  size_t i = 0;
  while (i < shorter && a->text[i] == b->text[i]) i++;
  if (i == shorter) return a->length < b->length ? -1 : a->length > b->length;
  unsigned x = (unsigned char)a->text[i], y = (unsigned char)b->text[i];
  if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0)) return x >= 0xf0 ? -1 : 1;
  return x < y ? -1 : 1;
}

static void sort_keys(struct sorted_key *keys, size_t count) {
  if (count > SMALL_OBJECT_KEYS) {
    qsort(keys, count, sizeof *keys, compare_keys);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    struct sorted_key key = keys[i];
    size_t to = i;
    for (; to > 0 && compare_keys(&keys[to - 1], &key) > 0; to--) keys[to] = keys[to - 1];
    keys[to] = key;
  }
}

/* Leaves the keys on the stack and describes them in encoder->keys. */
static int collect_keys(struct encoder *encoder, int table) {
  lua_State *L = encoder->L;
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse(encoder, not_a_list);
    if (!lua_checkstack(L, LEVEL_SLOTS)) {
      return err_set(encoder->err, "out_of_memory", "cannot encode: too many keys to be sorted");
    }
    struct sorted_key key = {.slot = lua_gettop(L) - 1};
    key.text = lua_tolstring(L, key.slot, &key.length);
    if (buf_append(encoder->keys, &key, sizeof key) != 0) {
      return err_set(encoder->err, "out_of_memory", "cannot encode: no memory to sort keys");
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
  } while (lua_next(L, table));
  return 0;
}

static struct sorted_key *sorted_key_at(struct encoder *encoder, size_t offset) {
  return (struct sorted_key *)(void *)(encoder->keys->data + offset);
}

static int encode_sorted(struct encoder *encoder, int table) {
  lua_State *L = encoder->L;
  size_t from = encoder->keys->length;
  if (collect_keys(encoder, table) != 0) return -1;
  size_t to = encoder->keys->length;
  sort_keys(sorted_key_at(encoder, from), (to - from) / sizeof(struct sorted_key));
  for (size_t at = from; at < to; at += sizeof(struct sorted_key)) {
    /* By value: objects inside may move the buffer. */
    struct sorted_key key = *sorted_key_at(encoder, at);
    lua_pushvalue(L, key.slot);
    lua_rawget(L, table);
    if (encode_member(encoder, key.text, key.length, at == from) != 0) return -1;
    lua_pop(L, 1);
  }
  encoder->keys->length = from;
  return 0;
}

/* ---- tables and values ---- */

static bool is_marked(struct encoder *encoder) {
  if (!lua_getmetatable(encoder->L, -1)) return false;
  bool marked = lua_topointer(encoder->L, -1) == encoder->mark;
  lua_pop(encoder->L, 1);
  return marked;
}

/* The first key and its value are on the stack, above the table. */
static int encode_content(struct encoder *encoder, int table, bool array) {
  encoder->depth++;
  int result;
  if (array) {
    result = encode_elements(encoder, table);
  } else {
    result = encoder->sorted ? encode_sorted(encoder, table) : encode_members(encoder, table);
  }
  encoder->depth--;
  if (result != 0) return -1;
  return encoder->pretty ? put_line(encoder) : 0;
}

static int encode_table(struct encoder *encoder) {
  lua_State *L = encoder->L;
  if (encoder->depth == JSON_DEPTH_MAX) {
    return refuse(encoder, "more than 128 levels (does a table contain itself?)");
  }
  if (!lua_checkstack(L, LEVEL_SLOTS)) {
    return err_set(encoder->err, "out_of_memory", "cannot encode: the Lua stack is full");
  }
  int table = lua_gettop(L);
  bool marked = is_marked(encoder);
  lua_pushnil(L);
  if (!lua_next(L, table)) return put_text(encoder, marked ? "[]" : "{}", 2);
  bool array = marked || lua_type(L, table + 1) == LUA_TNUMBER;
  if (put(encoder, array ? '[' : '{') != 0) return -1;
  if (encode_content(encoder, table, array) != 0) return -1;
  lua_settop(L, table);
  return put(encoder, array ? ']' : '}');
}

static int encode_value(struct encoder *encoder) {
  lua_State *L = encoder->L;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
      size_t length;
      const char *text = lua_tolstring(L, -1, &length);
      return put_string(encoder, text, length);
    }
    case LUA_TNUMBER:
      return encode_number(encoder);
    case LUA_TTABLE:
      return encode_table(encoder);
    case LUA_TBOOLEAN:
      return lua_toboolean(L, -1) ? put_text(encoder, "true", 4) : put_text(encoder, "false", 5);
    case LUA_TLIGHTUSERDATA:
      if (json_is_null(L, -1)) return put_text(encoder, "null", 4);
      return refuse(encoder, "userdata has no JSON form (only json.null has)");
    case LUA_TNIL:
      return refuse(encoder, "nil has no JSON form (use json.null)");
    case LUA_TFUNCTION:
      return refuse(encoder, "a function has no JSON form");
    case LUA_TTHREAD:
      return refuse(encoder, "a coroutine has no JSON form");
    default:
      return refuse(encoder, "userdata has no JSON form");
  }
}

static int encode_whole(struct encoder *encoder) {
  int result = encode_value(encoder);
  if (result == 0 && encoder->text->length > encoder->max_bytes) {
    no_room(encoder, 0);
    return -1;
  }
  if (result != 0 && encoder->problem != NULL) {
    int length = (int)(sizeof encoder->path - encoder->path_start);
    err_set(encoder->err, "not_encodable", "cannot encode value%.*s: %s", length,
            encoder->path + encoder->path_start, encoder->problem);
  }
  return result;
}

int json_encode_push(lua_State *L, int index, const struct json_encode_options *options,
                     struct err *err) {
  static const struct json_encode_options defaults = {.max_bytes = JSON_BYTES_DEFAULT};
  if (options == NULL) options = &defaults;
  int value = lua_absindex(L, index);
  int base = lua_gettop(L);
  json_push_mark(L);
  /* From here on to the end nothing allocates in Lua, so no finalizer runs: the scratch, the
   * text of keys and the tables stay as they are. */
  struct json_scratch *scratch = json_scratch(L);
  struct encoder encoder = {
      .L = L,
      .text = &scratch->text,
      .keys = &scratch->keys,
      .mark = lua_topointer(L, -1),
      .sorted = options->canonical || options->pretty,
      .pretty = options->pretty && !options->canonical,
      .canonical = options->canonical,
      .max_bytes = options->max_bytes ? options->max_bytes : JSON_BYTES_DEFAULT,
      .err = err,
      .path_start = PATH_BYTES,
  };
  if (scratch->text.ceiling > SLACK && encoder.max_bytes < scratch->text.ceiling - SLACK) {
    scratch->text.ceiling = encoder.max_bytes + SLACK;
  }
  lua_pushvalue(L, value);
  int result = encode_whole(&encoder);
  lua_settop(L, base);
  if (result == 0) lua_pushlstring(L, scratch->text.data, scratch->text.length);
  json_scratch_trim(scratch);
  return result;
}
