#include "base/encoding.h"

#include <stdint.h>

static const char digits_hex[] = "0123456789abcdef";
static const char digits_base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits_base64_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void encoding_hex(const void *bytes, size_t length, char *out) {
  const unsigned char *at = bytes;
  for (size_t index = 0; index < length; index++) {
    *out++ = digits_hex[at[index] >> 4];
    *out++ = digits_hex[at[index] & 15];
  }
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int encoding_from_hex(const char *text, size_t length, unsigned char *out, size_t *written,
                      struct err *err) {
  if (length % 2 != 0)
    return err_set(err, "invalid_encoding", "hexadecimal text needs an even number of digits");
  for (size_t index = 0; index < length; index++) {
    int value = hex_value(text[index]);
    if (value < 0)
      return err_set(err, "invalid_encoding", "not a hexadecimal digit, at byte %zu", index + 1);
    if (index % 2 == 0)
      out[index / 2] = (unsigned char)(value << 4);
    else
      out[index / 2] |= (unsigned char)value;
  }
  *written = length / 2;
  return 0;
}

size_t encoding_base64(enum encoding_base64 kind, const void *bytes, size_t length, char *out) {
  const char *digits = kind == ENCODING_BASE64 ? digits_base64 : digits_base64_url;
  const unsigned char *at = bytes;
  char *start = out;
  size_t left = length;
  for (; left >= 3; left -= 3, at += 3) {
    uint32_t group = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    *out++ = digits[group >> 18];
    *out++ = digits[group >> 12 & 63];
    *out++ = digits[group >> 6 & 63];
    *out++ = digits[group & 63];
  }
  if (left > 0) {
    uint32_t group = (uint32_t)at[0] << 16 | (left == 2 ? (uint32_t)at[1] << 8 : 0);
    *out++ = digits[group >> 18];
    *out++ = digits[group >> 12 & 63];
    if (left == 2) *out++ = digits[group >> 6 & 63];
    for (size_t pad = left; kind == ENCODING_BASE64 && pad < 3; pad++) *out++ = '=';
  }
  return (size_t)(out - start);
}

static int base64_value(enum encoding_base64 kind, char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == (kind == ENCODING_BASE64 ? '+' : '-')) return 62;
  if (c == (kind == ENCODING_BASE64 ? '/' : '_')) return 63;
  return -1;
}

/* The length without padding; -1 when the padding is not what the length asks for. */
static int strip_padding(enum encoding_base64 kind, const char *text, size_t *length) {
  size_t whole = *length, bare = whole;
  while (bare > 0 && whole - bare < 2 && text[bare - 1] == '=') bare--;
  size_t padding = whole - bare;
  if (padding == 0 && kind == ENCODING_BASE64 && whole % 4 != 0) return -1;
  if (padding > 0 && whole % 4 != 0) return -1;
  if (bare % 4 == 1) return -1;
  *length = bare;
  return 0;
}

int encoding_from_base64(enum encoding_base64 kind, const char *text, size_t length,
                         unsigned char *out, size_t *written, struct err *err) {
  if (strip_padding(kind, text, &length) != 0)
    return err_set(err, "invalid_encoding", "base64 text is cut short or wrongly padded");
  uint32_t bits = 0;
  int count = 0;
  unsigned char *at = out;
  for (size_t index = 0; index < length; index++) {
    int value = base64_value(kind, text[index]);
    if (value < 0)
      return err_set(err, "invalid_encoding", "not a base64 character, at byte %zu", index + 1);
    bits = bits << 6 | (uint32_t)value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    *at++ = (unsigned char)(bits >> count);
    bits &= (1u << count) - 1;
  }
  if (bits != 0)
    return err_set(err, "invalid_encoding", "base64 text ends in bits that are not zero");
  *written = (size_t)(at - out);
  return 0;
}
