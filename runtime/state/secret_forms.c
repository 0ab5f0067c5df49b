#include "state/secret_forms.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "state/secrets.h"

#define FORM_BYTES_MAX (SECRET_VALUE_MAX * 6)

typedef int (*each_fn)(void *context, const unsigned char *bytes, size_t length);

static int percent_encode(const unsigned char *value, size_t length, struct buf *form) {
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = value[i];
    bool plain = byte < 128 && (isalnum(byte) || (byte != 0 && strchr("-._~", byte) != NULL));
    int status = plain ? buf_append(form, &byte, 1) : buf_printf(form, "%%%02X", byte);
    if (status != 0) return -1;
  }
  return 0;
}

static int json_escape(const unsigned char *value, size_t length, struct buf *form) {
  static const char named[] = "\"\\\b\f\n\r\t";
  static const char letters[] = "\"\\bfnrt";
  for (size_t i = 0; i < length; i++) {
    const char *found = value[i] != 0 ? strchr(named, value[i]) : NULL;
    int status;
    if (found != NULL)
      status = buf_printf(form, "\\%c", letters[found - named]);
    else if (value[i] < 0x20)
      status = buf_printf(form, "\\u%04x", value[i]);
    else
      status = buf_append(form, &value[i], 1);
    if (status != 0) return -1;
  }
  return 0;
}

/* The characters of base64 that the value alone decides when `offset` bytes precede it: six
 * bits each, counted from the first that begins inside the value to the last that ends in it. */
static int base64_at(const unsigned char *value, size_t length, unsigned offset, bool url,
                     struct buf *form) {
  static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t first_bit = (6 - offset * 8 % 6) % 6;
  for (size_t bit = first_bit; bit + 6 <= length * 8; bit += 6) {
    size_t at = bit / 8;
    unsigned pair = (unsigned)value[at] << 8 | (at + 1 < length ? value[at + 1] : 0u);
    char character = standard[pair >> (10 - bit % 8) & 63];
    if (url && character == '+') character = '-';
    if (url && character == '/') character = '_';
    if (buf_append(form, &character, 1) != 0) return -1;
  }
  return 0;
}

static void wipe(struct buf *form) {
  if (form->data != NULL) explicit_bzero(form->data, form->length);
  buf_clear(form);
}

static int give(struct buf *form, each_fn each, void *context) {
  int status = 0;
  if (form->length >= SECRET_REDACTED_MIN)
    status = each(context, (const unsigned char *)form->data, form->length);
  wipe(form);
  return status;
}

static int give_base64(const unsigned char *value, size_t length, struct buf *form, each_fn each,
                       void *context) {
  for (unsigned offset = 0; offset < 3; offset++) {
    for (int url = 0; url < 2; url++) {
      if (base64_at(value, length, offset, url != 0, form) != 0) return -1;
      if (give(form, each, context) != 0) return -1;
    }
  }
  return 0;
}

/* The form, and the form inside base64 (as OAuth asks for of client credentials), unless it
 * is the value itself. `form` never needs to grow here, so that no copy stays behind. */
static int give_encoded(const unsigned char *value, size_t length, const struct buf *form,
                        struct buf *scratch, each_fn each, void *context) {
  if (form->length == length && memcmp(form->data, value, length) == 0) return 0;
  const unsigned char *bytes = (const unsigned char *)form->data;
  if (each(context, bytes, form->length) != 0) return -1;
  return give_base64(bytes, form->length, scratch, each, context);
}

int secret_forms(const unsigned char *value, size_t length, each_fn each, void *context) {
  struct buf form, scratch;
  if (length < SECRET_REDACTED_MIN) return 0;
  buf_init(&form, FORM_BYTES_MAX);
  buf_init(&scratch, FORM_BYTES_MAX * 2);
  /* Growing would leave copies of secrets in freed memory. */
  int status = buf_reserve(&form, length * 6);
  if (status == 0) status = buf_reserve(&scratch, length * 12);
  if (status == 0) status = each(context, value, length);
  if (status == 0) status = give_base64(value, length, &scratch, each, context);
  if (status == 0) status = percent_encode(value, length, &form);
  if (status == 0) status = give_encoded(value, length, &form, &scratch, each, context);
  wipe(&form);
  if (status == 0) status = json_escape(value, length, &form);
  if (status == 0) status = give_encoded(value, length, &form, &scratch, each, context);
  wipe(&form);
  wipe(&scratch);
  buf_deinit(&form);
  buf_deinit(&scratch);
  return status;
}
