/* XML documents (expat), read whole into a tape: what a document holds, in its order.
 *
 * Nothing outside the document is ever read and no entity but the five of XML is expanded: a
 * document type declaration may be there, but may declare nothing. Namespace prefixes stay as
 * they are written. Pure functions; any thread. */
#ifndef TIDEGATE_IO_XML_H
#define TIDEGATE_IO_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define XML_TEXT_MAX ((size_t)8 << 20) /* bytes of a document */
#define XML_DEPTH_MAX 100              /* elements inside each other */
#define XML_NODES_MAX 200000           /* elements and attributes together */

/* In UTF-8; the bytes belong to the tape. */
struct xml_slice {
  const char *data;
  size_t length;
};

enum xml_kind {
  XML_OPEN,      /* an element begins: `name` */
  XML_ATTRIBUTE, /* of the element that began last: `name`, `value` */
  XML_CLOSE,     /* the innermost element ends: `value` is the text that stands directly in it */
};

struct xml_item {
  enum xml_kind kind;
  struct xml_slice name;
  struct xml_slice value;
};

/* Reads the document into `tape` (initialised by the caller with any ceiling, empty, and its
 * to free, also after a failure). `encoding` overrules what the document declares; NULL: the
 * declaration counts. UTF-8, UTF-16, ISO-8859-1, US-ASCII, and EUC-KR under all its names.
 * `keep_space`: the text of an element keeps the white space at its ends.
 * -1: "invalid_xml", "too_large" ("LINE:COLUMN: what", both from 1), "invalid_encoding" or
 * "out_of_memory". */
int xml_read(const char *text, size_t length, const char *encoding, bool keep_space,
             struct buf *tape, struct err *err) __attribute__((warn_unused_result));

/* The next item of the tape from *offset (0 at first), which it moves on; false at the end. */
bool xml_next(const struct buf *tape, size_t *offset, struct xml_item *item);

#endif
