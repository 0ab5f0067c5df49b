#include "base/cp949.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <strings.h>

#define STEP 16384

static const char *const names[] = {
    "EUC-KR", "EUCKR",       "KS_C_5601-1987", "KS_C_5601", "KSC5601",
    "CP949",  "WINDOWS-949", "MS949",          "UHC",
};

bool cp949_is_name(const char *name) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcasecmp(name, names[i]) == 0) return true;
  return false;
}

static int convert(iconv_t converter, const char *text, size_t length, struct buf *out,
                   struct err *err) {
  char *at = (char *)text, piece[STEP];
  size_t left = length;
  while (left > 0) {
    char *to = piece;
    size_t room = sizeof piece;
    size_t result = iconv(converter, &at, &left, &to, &room);
    bool full = result == (size_t)-1 && errno == E2BIG;
    if (buf_append(out, piece, (size_t)(to - piece)) != 0)
      return err_set(err, "too_large", "the text in UTF-8 would pass %zu bytes", out->ceiling);
    if (result == (size_t)-1 && !full)
      return err_set(err, "invalid_encoding", "not valid EUC-KR or CP949, at byte %zu",
                     length - left + 1);
  }
  return 0;
}

int cp949_to_utf8(const char *text, size_t length, struct buf *out, struct err *err) {
  iconv_t converter = iconv_open("UTF-8", "CP949");
  if ((intptr_t)converter == -1)
    return err_set(err, "internal", "the C library has no converter for CP949");
  int result = convert(converter, text, length, out, err);
  iconv_close(converter);
  return result;
}
