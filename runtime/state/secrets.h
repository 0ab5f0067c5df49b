/* The one table of secrets of the process, and the redaction that knows all of them.
 *
 * Values leave it through secrets_get alone. Thread-safe. Values are wiped from memory when
 * they are replaced, removed or the table is freed. */
#ifndef TIDEGATE_STATE_SECRETS_H
#define TIDEGATE_STATE_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SECRETS_MAX 10000
#define SECRETS_BYTES_MAX (256 * 1024) /* of all values together; bounds the search */
#define SECRETS_SET_MAX 2
#define SECRET_NAME_MAX 127
#define SECRET_VALUE_MAX 65536
#define SECRET_REDACTED_MIN 8 /* shorter values are redacted by name only */
#define SECRET_MASK "[redacted]"

struct secrets;

enum secret_source { SECRET_ENVIRONMENT, SECRET_FILE, SECRET_STORED, SECRET_TOKEN };

struct secret_info {
  char name[SECRET_NAME_MAX + 1];
  enum secret_source source;
  uint64_t version;  /* counts up over the whole table at each change of a value */
  double expires_at; /* wall seconds; 0: never */
};

struct secret_setting {
  const char *name;
  const void *value; /* NULL: it is to be removed */
  size_t length;
  enum secret_source source;
  double expires_at;
};

struct secrets *secrets_new(void);
void secrets_free(struct secrets *secrets);

/* Stores or replaces owner's `name`; the same value again keeps its version. 0 when a name
 * or the value is too long, SECRETS_MAX or SECRETS_BYTES_MAX are reached, or memory ran out:
 * nothing changed. */
uint64_t secrets_put(struct secrets *secrets, const char *owner, const char *name,
                     const void *value, size_t length, enum secret_source source,
                     double expires_at);
/* Sets or, without a value, removes up to SECRETS_SET_MAX of an owner's secrets, all of different
 * names: all at one time or, for the reasons of secrets_put, none. */
bool secrets_set(struct secrets *secrets, const char *owner, const struct secret_setting *settings,
                 size_t count);
/* A number that is another after each change of a value or of its expiry: what was read before is
 * still true while it is the same. Takes no lock. */
uint64_t secrets_changes(const struct secrets *secrets);
/* Appends the value to `value`; false when there is none or the buffer is full. */
bool secrets_get(struct secrets *secrets, const char *owner, const char *name, struct buf *value,
                 struct secret_info *info);
/* Removes it; a version other than 0 only when it is still that one. */
bool secrets_remove(struct secrets *secrets, const char *owner, const char *name, uint64_t version);
/* Fills up to `capacity` infos of the owner's secrets; returns how many there are. */
size_t secrets_list(struct secrets *secrets, const char *owner, struct secret_info *infos,
                    size_t capacity);
/* How many there are, and the bytes of all values. */
void secrets_usage(struct secrets *secrets, size_t *count, size_t *bytes);

/* Whether any known value (as it is, percent-encoded, JSON-escaped, or inside base64)
 * occurs in the text; false also when there is nothing to look for. */
bool secrets_occur(struct secrets *secrets, const char *text, size_t length);
/* Appends the text with every occurrence replaced by SECRET_MASK. -1 when `result` is full
 * or memory ran out: then nothing of the text may be shown. */
int secrets_redact(struct secrets *secrets, const char *text, size_t length, struct buf *result)
    __attribute__((warn_unused_result));

#endif
