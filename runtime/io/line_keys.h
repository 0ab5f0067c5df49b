/* Bytes of a terminal -> the keys that a line editor is given, one wide character each.
 *
 * Knows UTF-8, pasted text (bracketed: its control characters do nothing, a tab is a tab) and the
 * sequences of the keys that are bound; those of other keys are dropped whole. Pure; one thread. */
#ifndef TIDEGATE_IO_LINE_KEYS_H
#define TIDEGATE_IO_LINE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#define LINE_KEYS_BYTES 4096
#define LINE_KEY_INTERRUPT 0x03 /* LINE_KEY_TO_END comes before it */
#define LINE_KEY_TO_END 0x05
#define LINE_KEY_QUOTE 0x16 /* what comes next is text, whatever it is */
#define LINE_KEY_YANK 0x19

/* All zero: nothing was typed. */
struct line_keys {
  unsigned char bytes[LINE_KEYS_BYTES];
  size_t start, end;
  bool is_pasting;
  bool after_return; /* of a paste: a line feed that follows is the same end of line */
  bool is_announced; /* the key before it was given: what is next is a tab, or Ctrl-C */
  size_t raw;        /* so many bytes of a key's sequence are still to be given */
};

struct line_key {
  wchar_t character;
  bool is_text; /* makes the line longer */
};

/* A key's sequence, and the name of libedit's function for it. */
struct line_key_binding {
  const wchar_t *sequence;
  const wchar_t *function;
};
/* NULL past the last. */
const struct line_key_binding *line_keys_binding(size_t index);

/* Room for more bytes, and how many: 0 only when line_keys_next has not taken what is there. */
unsigned char *line_keys_room(struct line_keys *keys, size_t *size);
void line_keys_add(struct line_keys *keys, size_t count);
/* False: more bytes are needed. `is_late`: the rest of a sequence has not come in time, take what
 * is there for keys. */
bool line_keys_next(struct line_keys *keys, bool is_late, struct line_key *key);
/* Whether the beginning of something is there, the rest of which should come at once. */
bool line_keys_is_partial(const struct line_keys *keys);
/* Forgets what was typed ahead. */
void line_keys_forget(struct line_keys *keys);

#endif
