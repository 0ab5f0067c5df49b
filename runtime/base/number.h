/* Numbers as JSON writes them: text to int64 or double and back, exactly.
 *
 * Pure functions, independent of the locale; any thread; nothing is allocated. */
#ifndef TIDEGATE_BASE_NUMBER_H
#define TIDEGATE_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Room that each number_format function may write to; none adds a NUL. */
#define NUMBER_TEXT_MAX 32

enum number_kind {
  NUMBER_INVALID,   /* not a number by RFC 8259 */
  NUMBER_TOO_LARGE, /* a number, but beyond the largest double */
  NUMBER_INTEGER,
  NUMBER_FLOAT,
};

struct number {
  enum number_kind kind;
  union {
    int64_t integer; /* NUMBER_INTEGER */
    double real;     /* NUMBER_FLOAT, always finite */
  } as;
};

/* Reads the number that starts at `text`, at most up to `end`, by the grammar of RFC 8259.
 * A number without fraction and exponent that fits int64 is an integer; every other is the
 * nearest double. "-0" is the float -0.0, the only way to keep its sign. Returns the byte
 * after the number; for NUMBER_INVALID the byte that cannot be part of one. */
const char *number_parse(const char *text, const char *end, struct number *number);

/* Writes `value` in decimal; returns the length. */
size_t number_format_integer(char text[NUMBER_TEXT_MAX], int64_t value);

/* Writes the shortest decimal that reads back as `value`, in the form of ECMAScript and of
 * RFC 8785: 5, 0.1, 1e+21, 5e-324; both zeros are "0". Returns the length; 0, with nothing
 * written, for NaN and the infinities, which have no form. */
size_t number_format_double(char text[NUMBER_TEXT_MAX], double value);

#endif
