/* Any bytes as a document: what is accepted is a tape whose elements nest, in UTF-8, within
 * the bounds. The first byte chooses the encoding and whether space is kept. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "io/xml.h"

#define TAPE_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_that(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "xml_fuzz: %s\n", what);
  abort();
}

static void check_text(struct xml_slice text) {
  require_that(utf8_is_valid(text.data, text.length), "text that is not UTF-8");
  require_that(memchr(text.data, '\0', text.length) == NULL, "a NUL in the text");
}

static void check_tape(const struct buf *tape) {
  struct xml_item item;
  size_t offset = 0;
  int depth = 0, nodes = 0;
  bool ended = false;
  while (xml_next(tape, &offset, &item)) {
    require_that(!ended, "something after the document's element");
    require_that((item.kind == XML_CLOSE) == (item.name.length == 0), "a name in a wrong place");
    check_text(item.name);
    check_text(item.value);
    if (item.kind == XML_OPEN) depth++;
    if (item.kind != XML_CLOSE) nodes++;
    require_that(depth > 0 && depth <= XML_DEPTH_MAX && nodes <= XML_NODES_MAX, "a bound");
    if (item.kind == XML_CLOSE) ended = --depth == 0;
  }
  require_that(ended && offset == tape->length, "an element without an end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const encodings[] = {NULL,         "UTF-8",  "UTF-16", "EUC-KR",
                                          "ISO-8859-1", "CP949x", NULL,     NULL};
  struct err err = {.code = NULL};
  struct buf tape;
  if (size == 0) return 0;
  /* In a block of its own: the sanitizer sees a read beyond the end. */
  char *text = malloc(size);
  require_that(text != NULL, "no memory");
  memcpy(text, data + 1, size - 1);
  buf_init(&tape, TAPE_MAX);
  if (xml_read(text, size - 1, encodings[data[0] & 7], (data[0] & 8) != 0, &tape, &err) == 0)
    check_tape(&tape);
  else
    require_that(err.code != NULL && err.message[0] != '\0', "a refusal without a reason");
  buf_deinit(&tape);
  free(text);
  return 0;
}
