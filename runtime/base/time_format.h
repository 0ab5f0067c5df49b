/* Instants as text and back: RFC 3339, the dates of HTTP (RFC 9110) and strftime.
 *
 * Pure functions, independent of locale and time zone; any thread. An instant is counted
 * from 1970-01-01T00:00:00Z, without leap seconds. */
#ifndef TIDEGATE_BASE_TIME_FORMAT_H
#define TIDEGATE_BASE_TIME_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* The years 0000 to 9999, the only ones that the formats can hold. */
#define TIME_FORMAT_FIRST_SECOND INT64_C(-62167219200)
#define TIME_FORMAT_LAST_SECOND INT64_C(253402300799)

#define TIME_FORMAT_RFC3339_LENGTH 24 /* 2026-01-15T09:00:00.000Z */
#define TIME_FORMAT_HTTP_LENGTH 29    /* Sun, 06 Nov 1994 08:49:37 GMT */

/* Write exactly the length named and a NUL. -1 (nothing written) outside of the years. */
int time_format_rfc3339(int64_t wall_ms, char out[TIME_FORMAT_RFC3339_LENGTH + 1]);
int time_format_http(int64_t seconds, char out[TIME_FORMAT_HTTP_LENGTH + 1]);

/* Any offset; digits past the microsecond are dropped; a leap second (:60, only at 23:59 UTC)
 * is the second after it. -1 with code "invalid_time" when the text is anything else. */
int time_format_parse_rfc3339(const char *text, size_t length, int64_t *microseconds,
                              struct err *err);
/* IMF-fixdate and the two obsolete forms. `now_seconds` decides the century of a year of two
 * digits: one that seems more than 50 years ahead lies in the past. */
int time_format_parse_http(const char *text, size_t length, int64_t now_seconds, int64_t *seconds,
                           struct err *err);

/* C's strftime in UTC, or `offset_minutes` (at most a day) east of it. All conversions of C99
 * in the C locale; %Z is "UTC" or the offset. -1 for an unknown conversion ("invalid_format"),
 * an instant outside of the years ("invalid_time"), or when `out` is full ("too_large"). */
int time_format_strftime(const char *format, size_t length, int64_t seconds, int offset_minutes,
                         struct buf *out, struct err *err);

#endif
