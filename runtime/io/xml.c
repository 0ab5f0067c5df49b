#include "io/xml.h"

#include <expat.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cp949.h"

/* What text can grow to: three bytes of UTF-8 for two of UTF-16. */
#define CONVERTED_MAX (2 * XML_TEXT_MAX)
#define ENCODING_NAME_MAX 40

/* An item on the tape: this, then the bytes of name and value. */
struct header {
  uint32_t kind;
  uint32_t name_length;
  uint32_t value_length;
};

struct reader {
  XML_Parser parser;
  const char *document;
  size_t length;
  struct buf *tape;
  struct buf text;              /* the text of all open elements, each one's behind its parent's */
  size_t starts[XML_DEPTH_MAX]; /* where in `text` each open element's begins */
  int depth;
  int node_count;
  bool keep_space;
  bool external_type;               /* the document type is declared elsewhere */
  bool failed;                      /* `err` is set; expat may still call for a while */
  char encoding[ENCODING_NAME_MAX]; /* one that expat does not know; "": none */
  struct err *err;
};

static void fail(struct reader *reader, const char *code, const char *what) {
  if (reader->failed) return;
  reader->failed = true;
  err_set(reader->err, code, "%lu:%lu: %s", (unsigned long)XML_GetCurrentLineNumber(reader->parser),
          (unsigned long)XML_GetCurrentColumnNumber(reader->parser) + 1, what);
  XML_StopParser(reader->parser, XML_FALSE);
}

static void put(struct reader *reader, enum xml_kind kind, struct xml_slice name,
                struct xml_slice value) {
  struct header header = {
      .kind = kind, .name_length = (uint32_t)name.length, .value_length = (uint32_t)value.length};
  struct buf *tape = reader->tape;
  if (buf_append(tape, &header, sizeof header) != 0 ||
      buf_append(tape, name.data, name.length) != 0 ||
      buf_append(tape, value.data, value.length) != 0)
    fail(reader, "out_of_memory", "no memory for the document");
}

static struct xml_slice slice_of(const char *text) {
  return (struct xml_slice){text, strlen(text)};
}

static bool count_node(struct reader *reader) {
  if (++reader->node_count <= XML_NODES_MAX) return true;
  fail(reader, "too_large", "more than 200000 elements and attributes");
  return false;
}

static bool is_predefined(const char *at, const char *end) {
  static const char *const entities[] = {"#", "amp;", "lt;", "gt;", "quot;", "apos;"};
  for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) {
    size_t length = strlen(entities[i]);
    if ((size_t)(end - at) >= length && memcmp(at, entities[i], length) == 0) return true;
  }
  return false;
}

/* Where the document type is declared elsewhere, expat leaves references to entities of it out
 * of the values of attributes, without a word: so the tag's own bytes are looked at. */
static void check_references(struct reader *reader) {
  const char *at = reader->document + XML_GetCurrentByteIndex(reader->parser);
  const char *end = at + XML_GetCurrentByteCount(reader->parser);
  while ((at = memchr(at, '&', (size_t)(end - at))) != NULL) {
    at++;
    if (is_predefined(at, end)) continue;
    fail(reader, "invalid_xml", "an entity of the document type, which is not read");
    return;
  }
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes) {
  struct reader *reader = data;
  const struct xml_slice none = {"", 0};
  if (reader->failed || !count_node(reader)) return;
  if (reader->depth == XML_DEPTH_MAX) {
    fail(reader, "too_large", "more than 100 levels");
    return;
  }
  reader->starts[reader->depth++] = reader->text.length;
  put(reader, XML_OPEN, slice_of(name), none);
  if (reader->external_type && attributes[0] != NULL) check_references(reader);
  for (; attributes[0] != NULL && !reader->failed; attributes += 2)
    if (count_node(reader))
      put(reader, XML_ATTRIBUTE, slice_of(attributes[0]), slice_of(attributes[1]));
}

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static struct xml_slice trimmed(struct xml_slice text) {
  while (text.length > 0 && is_space(text.data[text.length - 1])) text.length--;
  while (text.length > 0 && is_space(text.data[0])) {
    text.data++;
    text.length--;
  }
  return text;
}

static void XMLCALL on_end(void *data, const XML_Char *name) {
  struct reader *reader = data;
  const struct xml_slice none = {"", 0};
  (void)name;
  if (reader->failed) return;
  size_t start = reader->starts[--reader->depth];
  struct xml_slice text = none;
  if (reader->text.length > start)
    text = (struct xml_slice){reader->text.data + start, reader->text.length - start};
  put(reader, XML_CLOSE, none, reader->keep_space ? text : trimmed(text));
  reader->text.length = start;
}

static void XMLCALL on_text(void *data, const XML_Char *text, int length) {
  struct reader *reader = data;
  if (reader->failed) return;
  if (buf_append(&reader->text, text, (size_t)length) != 0)
    fail(reader, "out_of_memory", "no memory for the document");
}

static void XMLCALL on_document_type(void *data, const XML_Char *name, const XML_Char *system_id,
                                     const XML_Char *public_id, int has_internal_subset) {
  struct reader *reader = data;
  (void)name;
  reader->external_type = system_id != NULL || public_id != NULL;
  if (has_internal_subset)
    fail(reader, "invalid_xml", "a document type with declarations of its own is not read");
  /* check_references looks for characters of one byte. */
  else if (reader->external_type && memchr(reader->document, '\0', reader->length) != NULL)
    fail(reader, "invalid_xml", "a document type in UTF-16 is not read");
}

static void XMLCALL on_skipped_entity(void *data, const XML_Char *name, int is_parameter) {
  (void)name;
  (void)is_parameter;
  fail(data, "invalid_xml", "an entity of the document type, which is not read");
}

static int XMLCALL on_unknown_encoding(void *data, const XML_Char *name, XML_Encoding *info) {
  struct reader *reader = data;
  (void)info;
  /* A name that is cut is none that we know. */
  snprintf(reader->encoding, sizeof reader->encoding, "%s", name);
  return XML_STATUS_ERROR;
}

static void set_handlers(struct reader *reader) {
  XML_Parser parser = reader->parser;
  XML_SetUserData(parser, reader);
  XML_SetElementHandler(parser, on_start, on_end);
  XML_SetCharacterDataHandler(parser, on_text);
  XML_SetStartDoctypeDeclHandler(parser, on_document_type);
  XML_SetSkippedEntityHandler(parser, on_skipped_entity);
  XML_SetUnknownEncodingHandler(parser, on_unknown_encoding, reader);
}

static int parse_with(struct reader *reader, const char *encoding) {
  reader->parser = XML_ParserCreate(encoding);
  if (reader->parser == NULL) return err_set(reader->err, "out_of_memory", "no memory for XML");
  set_handlers(reader);
  if (XML_Parse(reader->parser, reader->document, (int)reader->length, XML_TRUE) != XML_STATUS_OK)
    fail(reader, "invalid_xml", XML_ErrorString(XML_GetErrorCode(reader->parser)));
  XML_ParserFree(reader->parser);
  return reader->failed ? -1 : 0;
}

static int parse(struct reader *reader, const char *encoding) {
  buf_init(&reader->text, CONVERTED_MAX);
  int result = parse_with(reader, encoding);
  buf_deinit(&reader->text);
  return result;
}

/* The document is in an encoding that expat does not know: again, as UTF-8. */
static int parse_converted(struct reader *reader) {
  struct reader again = {
      .tape = reader->tape, .keep_space = reader->keep_space, .err = reader->err};
  struct buf converted;
  if (!cp949_is_name(reader->encoding))
    return err_set(reader->err, "invalid_xml", "1:1: the encoding %s is not known",
                   reader->encoding);
  buf_init(&converted, CONVERTED_MAX);
  int result = cp949_to_utf8(reader->document, reader->length, &converted, reader->err);
  if (result == 0) {
    again.document = converted.data;
    again.length = converted.length;
    result = parse(&again, "UTF-8");
  }
  buf_deinit(&converted);
  return result;
}

int xml_read(const char *text, size_t length, const char *encoding, bool keep_space,
             struct buf *tape, struct err *err) {
  struct reader reader = {
      .document = text, .length = length, .tape = tape, .keep_space = keep_space, .err = err};
  if (length > XML_TEXT_MAX)
    return err_set(err, "too_large", "a document of XML may have at most %zu bytes", XML_TEXT_MAX);
  int result = parse(&reader, encoding);
  return reader.encoding[0] == '\0' ? result : parse_converted(&reader);
}

bool xml_next(const struct buf *tape, size_t *offset, struct xml_item *item) {
  struct header header;
  if (*offset == tape->length) return false;
  memcpy(&header, tape->data + *offset, sizeof header);
  const char *name = tape->data + *offset + sizeof header;
  item->kind = (enum xml_kind)header.kind;
  item->name = (struct xml_slice){name, header.name_length};
  item->value = (struct xml_slice){name + header.name_length, header.value_length};
  *offset += sizeof header + header.name_length + header.value_length;
  return true;
}
