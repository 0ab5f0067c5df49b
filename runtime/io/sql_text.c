#include "io/sql_text.h"

#include <stdbool.h>
#include <string.h>

struct scan {
  const char *at;
  const char *end;
  const char *start;
  struct buf *out;
  struct err *err;
  bool ended; /* a `;` was seen: only white space and comments may follow */
};

static int refuse(const struct scan *scan, const char *what) {
  return err_set(scan->err, "sql", "SQL, byte %zu: %s", (size_t)(scan->at - scan->start) + 1, what);
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* What SQLite lets a name consist of; `$` inside a name is no parameter. */
static bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '$' ||
         (unsigned char)c >= 0x80;
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static char peek(const struct scan *scan, size_t ahead) {
  return (size_t)(scan->end - scan->at) > ahead ? scan->at[ahead] : '\0';
}

static int copy_until(struct scan *scan, const char *stop) {
  int status = buf_append(scan->out, scan->at, (size_t)(stop - scan->at));
  scan->at = stop;
  if (status != 0) return err_set(scan->err, "too_large", "the SQL statement is too long");
  return 0;
}

/* A doubled quote is two adjacent quoted pieces to this scanner, which comes to the same. */
static int copy_quoted(struct scan *scan, char quote) {
  const char *close = memchr(scan->at + 1, quote, (size_t)(scan->end - scan->at - 1));
  if (close == NULL) return refuse(scan, "a string or quoted name is not closed");
  return copy_until(scan, close + 1);
}

static int copy_line_comment(struct scan *scan) {
  const char *newline = memchr(scan->at, '\n', (size_t)(scan->end - scan->at));
  return copy_until(scan, newline ? newline : scan->end);
}

static int copy_block_comment(struct scan *scan) {
  const char *close = memmem(scan->at + 2, (size_t)(scan->end - scan->at - 2), "*/", 2);
  if (close == NULL) return refuse(scan, "a comment is not closed");
  const char *nested = memmem(scan->at + 2, (size_t)(close - scan->at - 2), "/*", 2);
  /* PostgreSQL nests comments, SQLite does not. */
  if (nested != NULL) return refuse(scan, "a comment inside a comment");
  return copy_until(scan, close + 2);
}

static int rewrite_parameter(struct scan *scan) {
  const char *at = scan->at + 1;
  unsigned number = 0;
  while (at < scan->end && is_digit(*at) && number <= SQL_TEXT_PARAMETERS_MAX)
    number = number * 10 + (unsigned)(*at++ - '0');
  if (at == scan->at + 1 || (at < scan->end && is_name(*at) && !is_digit(*at)))
    return refuse(scan, "parameters are written $1, $2, …");
  if (number == 0 || number > SQL_TEXT_PARAMETERS_MAX)
    return refuse(scan, "parameters are numbered from $1 to $32766");
  if (buf_printf(scan->out, "?%u", number) != 0)
    return err_set(scan->err, "too_large", "the SQL statement is too long");
  scan->at = at;
  return 0;
}

static int copy_name(struct scan *scan) {
  const char *at = scan->at;
  while (at < scan->end && is_name(*at)) at++;
  return copy_until(scan, at);
}

static int copy_token(struct scan *scan) {
  char c = *scan->at;
  char next = peek(scan, 1);
  if (c == '$') return rewrite_parameter(scan);
  if (is_name(c)) return copy_name(scan);
  switch (c) {
    case '\'':
    case '"':
    case '`':
      return copy_quoted(scan, c);
    case '[':
      return copy_quoted(scan, ']');
    case '?':
      return refuse(scan, "parameters are written $1, $2, …, not ?");
    case '@':
    case '#':
      return refuse(scan, "@ and # mean nothing here; parameters are written $1, $2, …");
    case ':':
      if (next == ':') return refuse(scan, "write CAST(x AS type) instead of x::type");
      return refuse(scan, "parameters are written $1, $2, …, not :name");
    case '\0':
      return refuse(scan, "a NUL byte");
    case ';':
      scan->ended = true;
      return copy_until(scan, scan->at + 1);
    default:
      return copy_until(scan, scan->at + 1);
  }
}

static int copy_next(struct scan *scan) {
  if (is_space(*scan->at)) return copy_until(scan, scan->at + 1);
  if (*scan->at == '-' && peek(scan, 1) == '-') return copy_line_comment(scan);
  if (*scan->at == '/' && peek(scan, 1) == '*') return copy_block_comment(scan);
  if (scan->ended && *scan->at != ';')
    return refuse(scan, "one statement a call; several belong into a transaction");
  return copy_token(scan);
}

int sql_text_for_sqlite(const char *sql, size_t length, struct buf *out, struct err *err) {
  if (length > SQL_TEXT_LENGTH_MAX)
    return err_set(err, "too_large", "the SQL statement is longer than 1 MiB");
  if (memchr(sql, '\0', length) != NULL)
    return err_set(err, "sql", "the SQL statement has a NUL byte");
  size_t before = out->length;
  struct scan scan = {.at = sql, .start = sql, .end = sql + length, .out = out, .err = err};
  while (scan.at < scan.end) {
    if (copy_next(&scan) == 0) continue;
    out->length = before;
    return -1;
  }
  if (buf_append(out, "", 1) == 0) return 0;
  out->length = before;
  return err_set(err, "too_large", "the SQL statement is too long");
}
