/* Parses HTTP/1 requests, strictly: llhttp for the grammar, our own rules for what it leaves
 * to its user (Host, limits, bare LF, folded headers, transfer codings, the target's form).
 *
 * No input or output of its own and nothing to free; embedded in its owner, one thread at a
 * time. After a fault it takes no more bytes. */
#ifndef TIDEGATE_IO_HTTP_PARSE_H
#define TIDEGATE_IO_HTTP_PARSE_H

/* As packaged llhttp is compiled loose, which lets requests be smuggled. */
#if !defined(LLHTTP_STRICT_MODE) || LLHTTP_STRICT_MODE != 1
#error "compile llhttp and every file that includes it with -DLLHTTP_STRICT_MODE=1"
#endif

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

#include "io/http_message.h"

enum http_parse_event {
  HTTP_PARSE_MORE,     /* all bytes used, the message is not complete */
  HTTP_PARSE_CONTINUE, /* the head is complete and the client waits for "100 Continue" */
  HTTP_PARSE_DONE,     /* the message is complete */
  HTTP_PARSE_FAULT,    /* `fault` says why; the connection cannot go on */
};

enum http_parse_phase { HTTP_PARSE_HEAD, HTTP_PARSE_BODY, HTTP_PARSE_TRAILERS };

struct http_parse {
  llhttp_t machine;
  struct http_message *message; /* what is being filled; the owner's */
  struct http_fault fault;
  size_t block_bytes;      /* of the head after its first line, or of the trailers */
  size_t extension_bytes;  /* of chunk extensions in this message */
  size_t line_bytes;       /* of the line being received, its CR included */
  uint8_t phase;           /* enum http_parse_phase */
  uint8_t blank_lines;     /* in front of the request line */
  uint8_t spaces;          /* in the request line */
  bool first_line;         /* the request line is being received */
  bool after_return;       /* the last byte was CR */
  bool in_name;            /* a header's name is being received */
  bool complete;           /* the message is complete */
  bool last_chunk;         /* trailers begin with the next byte */
  bool waits_for_continue; /* paused to report HTTP_PARSE_CONTINUE */
};

/* Cannot fail. */
void http_parse_init(struct http_parse *parse);
/* The next bytes are a new request, which fills `message` (cleared). */
void http_parse_begin(struct http_parse *parse, struct http_message *message);
/* Uses up to `length` bytes and says how many; stops after each event but MORE. */
enum http_parse_event http_parse_feed(struct http_parse *parse, const char *bytes, size_t length,
                                      size_t *used);
/* A byte of the request line has been received. */
bool http_parse_has_begun(const struct http_parse *parse);

#endif
