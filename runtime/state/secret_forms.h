/* The forms in which a secret may show up in a text: as it is, percent-encoded, JSON-escaped,
 * and each of these inside base64 (of the value, or of something longer such as "user:value").
 *
 * The text is decoded when it is searched (secret_scan.h), so that these are what stands
 * there after one decoding: an escaped value in a JSON text inside a JSON string. */
#ifndef TIDEGATE_STATE_SECRET_FORMS_H
#define TIDEGATE_STATE_SECRET_FORMS_H

#include <stddef.h>

#include "base/buf.h"

/* Calls `each` for every form of at least SECRET_REDACTED_MIN bytes; the bytes are valid
 * during the call. -1 without memory, or when `each` says so. */
int secret_forms(const unsigned char *value, size_t length,
                 int (*each)(void *context, const unsigned char *bytes, size_t length),
                 void *context) __attribute__((warn_unused_result));

#endif
