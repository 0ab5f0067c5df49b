/* Identifiers: UUIDs (RFC 9562) and the ids of traces and spans (W3C Trace Context).
 *
 * Random bytes come from the kernel in blocks that a `struct uuid_source` keeps; it is plain
 * memory of its owner, for one thread at a time. Wall time is passed in, so that a frozen
 * clock shows in the ids. */
#ifndef TIDEGATE_BASE_UUID_H
#define TIDEGATE_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_POOL_BYTES 512
#define UUID_TEXT_LENGTH 36
#define UUID_TRACE_LENGTH 32
#define UUID_SPAN_LENGTH 16
/* A clock set back by up to this is bridged by counting on; past it the ids follow the clock. */
#define UUID_BRIDGE_MS 10000

struct uuid_source {
  unsigned char pool[UUID_POOL_BYTES]; /* random bytes not yet used are the last `left` */
  size_t left;
  int64_t last_ms;  /* time in the latest version 7 id */
  uint32_t counter; /* its 12 bits after the version */
};

/* Cannot fail; takes no random bytes yet. */
void uuid_source_init(struct uuid_source *source);

/* The functions below write exactly the length named and a NUL, and fail (-1, nothing
 * written) only when the kernel gives no random bytes. */

/* Time-ordered; each id of one source sorts after those before it. */
int uuid_v7(struct uuid_source *source, int64_t wall_ms, char out[UUID_TEXT_LENGTH + 1])
    __attribute__((warn_unused_result));
int uuid_v4(struct uuid_source *source, char out[UUID_TEXT_LENGTH + 1])
    __attribute__((warn_unused_result));
/* 48 bits of milliseconds, then random: never all zeros, sorts roughly by time. */
int uuid_trace_id(struct uuid_source *source, int64_t wall_ms, char out[UUID_TRACE_LENGTH + 1])
    __attribute__((warn_unused_result));
/* Never all zeros. */
int uuid_span_id(struct uuid_source *source, char out[UUID_SPAN_LENGTH + 1])
    __attribute__((warn_unused_result));

/* Whether it has the form 8-4-4-4-12 of hexadecimal digits, in either case. */
bool uuid_is_valid(const char *text, size_t length);

#endif
