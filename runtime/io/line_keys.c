#include "io/line_keys.h"

#include <string.h>

#include "base/utf8.h"

#define ESCAPE 0x1b
#define DELETE 0x7f
#define SEQUENCE_MAX 32
#define REPLACEMENT 0xfffd

static const char paste_begins[] = "\033[200~";
static const char paste_ends[] = "\033[201~";

static const struct line_key_binding bindings[] = {
    {L"\033[A", L"ed-prev-history"},      {L"\033OA", L"ed-prev-history"},
    {L"\033[B", L"ed-next-history"},      {L"\033OB", L"ed-next-history"},
    {L"\033[C", L"ed-next-char"},         {L"\033OC", L"ed-next-char"},
    {L"\033[D", L"ed-prev-char"},         {L"\033OD", L"ed-prev-char"},
    {L"\033[H", L"ed-move-to-beg"},       {L"\033OH", L"ed-move-to-beg"},
    {L"\033[1~", L"ed-move-to-beg"},      {L"\033[7~", L"ed-move-to-beg"},
    {L"\033[F", L"ed-move-to-end"},       {L"\033OF", L"ed-move-to-end"},
    {L"\033[4~", L"ed-move-to-end"},      {L"\033[8~", L"ed-move-to-end"},
    {L"\033[3~", L"ed-delete-next-char"}, {L"\033[1;5C", L"em-next-word"},
    {L"\033[1;3C", L"em-next-word"},      {L"\033[1;5D", L"ed-prev-word"},
    {L"\033[1;3D", L"ed-prev-word"},
};
#define BINDING_COUNT (sizeof bindings / sizeof bindings[0])

const struct line_key_binding *line_keys_binding(size_t index) {
  return index < BINDING_COUNT ? &bindings[index] : NULL;
}

unsigned char *line_keys_room(struct line_keys *keys, size_t *size) {
  memmove(keys->bytes, keys->bytes + keys->start, keys->end - keys->start);
  keys->end -= keys->start;
  keys->start = 0;
  *size = sizeof keys->bytes - keys->end;
  return keys->bytes + keys->end;
}

void line_keys_add(struct line_keys *keys, size_t count) {
  keys->end += count;
}

bool line_keys_is_partial(const struct line_keys *keys) {
  return keys->start < keys->end;
}

void line_keys_forget(struct line_keys *keys) {
  *keys = (struct line_keys){0};
}

static size_t bytes_left(const struct line_keys *keys) {
  return keys->end - keys->start;
}

/* --- one character ------------------------------------------------------------------------ */

/* How long a sequence of UTF-8 with this lead may be; 0: it begins none. */
static size_t promised_length(unsigned char lead) {
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static bool take_character(struct line_keys *keys, bool is_late, struct line_key *key) {
  const unsigned char *at = keys->bytes + keys->start;
  size_t length = utf8_sequence_length(at, keys->bytes + keys->end);
  if (length == 0 && !is_late && bytes_left(keys) < promised_length(at[0])) return false;
  key->character = length == 0 ? REPLACEMENT : (wchar_t)utf8_decode(at, length);
  key->is_text = key->character >= ' ' && key->character != DELETE;
  keys->start += length == 0 ? 1 : length;
  return true;
}

/* --- pasted text -------------------------------------------------------------------------- */

enum match { MATCH_NONE, MATCH_PARTLY, MATCH_WHOLE };

static enum match match(const struct line_keys *keys, const char *marker) {
  size_t length = strlen(marker), left = bytes_left(keys);
  size_t compared = left < length ? left : length;
  if (memcmp(keys->bytes + keys->start, marker, compared) != 0) return MATCH_NONE;
  return compared == length ? MATCH_WHOLE : MATCH_PARTLY;
}

static bool give_byte(struct line_keys *keys, bool is_text, struct line_key *key) {
  *key = (struct line_key){.character = keys->bytes[keys->start++], .is_text = is_text};
  return true;
}

static bool give_line_end(struct line_keys *keys, struct line_key *key) {
  keys->after_return = keys->bytes[keys->start++] == '\r';
  *key = (struct line_key){.character = '\n'};
  return true;
}

/* The first time `before`, then the byte itself. */
static bool give_after(struct line_keys *keys, struct line_key before, struct line_key *key) {
  keys->is_announced = !keys->is_announced;
  if (!keys->is_announced) return give_byte(keys, before.is_text, key);
  *key = before;
  return true;
}

static bool give_tab(struct line_keys *keys, struct line_key *key) {
  return give_after(keys, (struct line_key){.character = LINE_KEY_QUOTE, .is_text = true}, key);
}

static bool give_interrupt(struct line_keys *keys, struct line_key *key) {
  keys->is_pasting = false;
  return give_after(keys, (struct line_key){.character = LINE_KEY_TO_END}, key);
}

/* 1: a key; 0: more bytes are needed; -1: a byte was dropped, or the paste has ended. */
static int take_pasted(struct line_keys *keys, bool is_late, struct line_key *key) {
  unsigned char byte = keys->bytes[keys->start];
  bool after_return = keys->after_return;
  keys->after_return = false;
  if (byte == '\n' && after_return) {
    keys->start++;
    return -1;
  }
  if (byte == '\r' || byte == '\n') return give_line_end(keys, key);
  if (byte == '\t') return give_tab(keys, key);
  if (byte == LINE_KEY_INTERRUPT) return give_interrupt(keys, key);
  enum match end = match(keys, paste_ends);
  if (end == MATCH_PARTLY && !is_late) return 0;
  if (end == MATCH_WHOLE) keys->is_pasting = false;
  if (byte >= ' ' && byte != DELETE) return take_character(keys, is_late, key);
  keys->start += end == MATCH_WHOLE ? sizeof paste_ends - 1 : 1;
  return -1;
}

/* --- sequences of keys -------------------------------------------------------------------- */

/* How long the sequence at the escape is: "\033[" parameters final, "\033O" final, or "\033" and a
 * character; 0: its end is not there. */
static size_t sequence_length(const unsigned char *at, size_t left) {
  if (left < 2) return 0;
  if (at[1] == 'O') return left < 3 ? 0 : 3;
  if (at[1] != '[') return 1;
  for (size_t i = 2; i < left && i < SEQUENCE_MAX; i++)
    if (at[i] < ' ' || at[i] >= '@') return i + 1;
  return left < SEQUENCE_MAX ? 0 : SEQUENCE_MAX;
}

static bool is_sequence(const struct line_key_binding *binding, const unsigned char *at,
                        size_t length) {
  if (wcslen(binding->sequence) != length) return false;
  for (size_t i = 0; i < length; i++)
    if (binding->sequence[i] != (wchar_t)at[i]) return false;
  return true;
}

static bool is_bound(const unsigned char *at, size_t length) {
  for (size_t i = 0; i < BINDING_COUNT; i++)
    if (is_sequence(&bindings[i], at, length)) return true;
  return false;
}

/* As take_pasted. */
static int take_escape(struct line_keys *keys, bool is_late, struct line_key *key) {
  const unsigned char *at = keys->bytes + keys->start;
  size_t length = sequence_length(at, bytes_left(keys));
  if (length == 0 && !is_late) return 0;
  if (length <= 1) return give_byte(keys, false, key);
  if (is_bound(at, length)) {
    keys->raw = length - 1;
    return give_byte(keys, false, key);
  }
  keys->is_pasting = match(keys, paste_begins) == MATCH_WHOLE;
  keys->start += length;
  return -1;
}

bool line_keys_next(struct line_keys *keys, bool is_late, struct line_key *key) {
  while (bytes_left(keys) > 0) {
    int status;
    if (keys->raw > 0) {
      keys->raw--;
      return give_byte(keys, false, key);
    }
    if (keys->is_pasting)
      status = take_pasted(keys, is_late, key);
    else if (keys->bytes[keys->start] == ESCAPE)
      status = take_escape(keys, is_late, key);
    else if (keys->bytes[keys->start] == LINE_KEY_INTERRUPT)
      status = give_interrupt(keys, key);
    else
      status = take_character(keys, is_late, key);
    if (status >= 0) return status == 1;
  }
  return false;
}
