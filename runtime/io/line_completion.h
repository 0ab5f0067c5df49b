/* Candidates for the word before the cursor: what can be inserted, and how they are listed.
 *
 * Pure; any thread. */
#ifndef TIDEGATE_IO_LINE_COMPLETION_H
#define TIDEGATE_IO_LINE_COMPLETION_H

#include <stddef.h>
#include <stdio.h>
#include <wchar.h>

#define LINE_WORDS_MAX 200
#define LINE_WORD_BYTES_MAX 1024

struct line_offer {
  size_t from; /* the byte of the text where the word that they replace begins */
  size_t count;
  wchar_t *words[LINE_WORDS_MAX];
};

/* -1 without memory, or when it is full. A word that is too long is left out. */
int line_offer_add(struct line_offer *offer, const char *word, size_t length);
void line_offer_clear(struct line_offer *offer);

/* How many characters at their beginning all words have in common. */
size_t line_offer_common(const struct line_offer *offer);
/* Writes the words in columns, sorted downwards, for a terminal of `width`. */
void line_offer_list(const struct line_offer *offer, size_t width, FILE *output);

#endif
