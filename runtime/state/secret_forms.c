#include "state/secret_forms.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "state/secrets.h"

#define FORM_BYTES_MAX (SECRET_VALUE_MAX * 6)

typedef int (*each_fn)(void *context, const unsigned char *bytes, size_t length);

static int percent_encode(const unsigned char *value, size_t length, bool upper, struct buf *form) {
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = value[i];
    bool plain = (byte < 128 && isalnum(byte)) || strchr("-._~", byte) != NULL;
    int status = plain && byte != 0 ? buf_append(form, &byte, 1)
                                    : buf_printf(form, upper ? "%%%02X" : "%%%02x", byte);
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

static int give(struct buf *form, each_fn each, void *context) {
  int status = 0;
  if (form->length >= SECRET_REDACTED_MIN)
    status = each(context, (const unsigned char *)form->data, form->length);
  if (form->data != NULL) explicit_bzero(form->data, form->length);
  buf_clear(form);
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

int secret_forms(const unsigned char *value, size_t length, each_fn each, void *context) {
  struct buf form;
  if (length < SECRET_REDACTED_MIN) return 0;
  buf_init(&form, FORM_BYTES_MAX);
  int status = each(context, value, length);
  if (status == 0) status = percent_encode(value, length, true, &form);
  if (status == 0) status = give(&form, each, context);
  if (status == 0) status = percent_encode(value, length, false, &form);
  if (status == 0) status = give(&form, each, context);
  if (status == 0) status = json_escape(value, length, &form);
  if (status == 0) status = give(&form, each, context);
  if (status == 0) status = give_base64(value, length, &form, each, context);
  buf_deinit(&form);
  return status;
}
