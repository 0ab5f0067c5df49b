/* Every text is either refused or read as an instant that, written again, reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/time_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(int64_t milliseconds) {
  char text[TIME_FORMAT_RFC3339_LENGTH + 1];
  int64_t again;
  if (time_format_rfc3339(milliseconds, text) != 0) return;
  if (time_format_parse_rfc3339(text, strlen(text), &again, NULL) != 0) abort();
  if (again != milliseconds * 1000) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  int64_t microseconds, seconds;
  if (time_format_parse_rfc3339(text, size, &microseconds, NULL) == 0)
    round_trip((microseconds - (microseconds % 1000 + 1000) % 1000) / 1000);
  if (time_format_parse_http(text, size, 1767225600, &seconds, NULL) == 0)
    round_trip(seconds * 1000);
  struct buf out;
  buf_init(&out, 4096);
  if (time_format_strftime(text, size, (int64_t)size * 86400, 540, &out, NULL) != 0)
    buf_clear(&out);
  buf_deinit(&out);
  return 0;
}
