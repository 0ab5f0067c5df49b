#include "io/line_completion.h"

#include <stdlib.h>
#include <string.h>

#include "io/line_text.h"

#define GAP 2

int line_offer_add(struct line_offer *offer, const char *word, size_t length) {
  if (length > LINE_WORD_BYTES_MAX) return 0;
  if (offer->count == LINE_WORDS_MAX) return -1;
  wchar_t *wide = line_text_widen(word, length, NULL);
  if (wide == NULL) return -1;
  offer->words[offer->count++] = wide;
  return 0;
}

void line_offer_clear(struct line_offer *offer) {
  for (size_t i = 0; i < offer->count; i++) free(offer->words[i]);
  *offer = (struct line_offer){0};
}

size_t line_offer_common(const struct line_offer *offer) {
  if (offer->count == 0) return 0;
  size_t common = wcslen(offer->words[0]);
  for (size_t i = 1; i < offer->count; i++) {
    size_t at = 0;
    while (at < common && offer->words[i][at] == offer->words[0][at]) at++;
    common = at;
  }
  return common;
}

/* The columns that a word takes; a character that cannot be shown takes none. */
static size_t width_of(const wchar_t *word) {
  size_t width = 0;
  for (; *word != L'\0'; word++) {
    int columns = wcwidth(*word);
    if (columns > 0) width += (size_t)columns;
  }
  return width;
}

static size_t widest(const struct line_offer *offer) {
  size_t width = 0;
  for (size_t i = 0; i < offer->count; i++) {
    size_t own = width_of(offer->words[i]);
    if (own > width) width = own;
  }
  return width;
}

static void write_word(const wchar_t *word, size_t padding, FILE *output) {
  size_t length;
  char *narrow = line_text_narrow(word, wcslen(word), &length);
  if (narrow == NULL) return;
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)narrow[i] < ' ' || narrow[i] == 0x7f) narrow[i] = '?';
  fprintf(output, "%s%*s", narrow, (int)padding, "");
  free(narrow);
}

void line_offer_list(const struct line_offer *offer, size_t width, FILE *output) {
  if (offer->count == 0) return;
  size_t cell = widest(offer) + GAP;
  size_t columns = width / cell > 0 ? width / cell : 1;
  size_t rows = (offer->count + columns - 1) / columns;
  for (size_t row = 0; row < rows; row++) {
    for (size_t i = row; i < offer->count; i += rows) {
      size_t padding = i + rows < offer->count ? cell - width_of(offer->words[i]) : 0;
      write_word(offer->words[i], padding, output);
    }
    fputc('\n', output);
  }
}
