#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *err, const char *code, const char *format, ...) {
  if (err == NULL) return -1;
  va_list arguments;
  va_start(arguments, format);
  err->code = code;
  vsnprintf(err->message, sizeof err->message, format, arguments);
  va_end(arguments);
  return -1;
}
