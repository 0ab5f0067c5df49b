/* Redaction never leaves a known value, never reads beyond the text, and changes nothing in a
 * text in which it sees none. The first bytes of the input choose the values. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "state/secrets.h"

#define VALUES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct secrets *secrets, const char *text, size_t length,
                  const char *const values[VALUES], const size_t lengths[VALUES]) {
  struct buf result;
  buf_init(&result, length * 2 + 64);
  if (secrets_redact(secrets, text, length, &result) != 0) abort();
  bool same = result.length == length && (length == 0 || memcmp(result.data, text, length) == 0);
  if (!same && !secrets_occur(secrets, text, length)) abort();
  for (int index = 0; index < VALUES; index++) {
    bool known = lengths[index] >= SECRET_REDACTED_MIN;
    /* A value may be part of the mask itself, or of a mask and its neighbours. */
    bool apart = known && memchr(values[index], '[', lengths[index]) == NULL &&
                 memchr(values[index], ']', lengths[index]) == NULL &&
                 memmem(SECRET_MASK, strlen(SECRET_MASK), values[index], lengths[index]) == NULL;
    if (apart && result.length > 0 &&
        memmem(result.data, result.length, values[index], lengths[index]) != NULL)
      abort();
  }
  buf_deinit(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct secrets *secrets = secrets_new();
  const char *values[VALUES] = {"", "", ""};
  size_t lengths[VALUES] = {0};
  for (int index = 0; index < VALUES && size > 0; index++) {
    size_t length = data[0] % 24;
    data++;
    size--;
    if (length > size) length = size;
    char name[2] = {(char)('a' + index), '\0'};
    values[index] = (const char *)data;
    lengths[index] = length;
    if (secrets_put(secrets, "fuzz", name, data, length, SECRET_STORED, 0) == 0) abort();
    data += length;
    size -= length;
  }
  check(secrets, (const char *)data, size, values, lengths);
  secrets_free(secrets);
  return 0;
}
