#include "base/uuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define COUNTER_MAX 0xFFF
/* New milliseconds start in the lower half, which leaves room to count up. */
#define COUNTER_START_MASK 0x7FF

void uuid_source_init(struct uuid_source *source) {
  *source = (struct uuid_source){.last_ms = INT64_MIN};
}

static int refill(struct uuid_source *source) {
  size_t filled = 0;
  while (filled < sizeof source->pool) {
    ssize_t count = getrandom(source->pool + filled, sizeof source->pool - filled, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    filled += (size_t)count;
  }
  source->left = sizeof source->pool;
  return 0;
}

static int take_random(struct uuid_source *source, unsigned char *out, size_t count) {
  if (source->left < count && refill(source) != 0) return -1;
  memcpy(out, source->pool + sizeof source->pool - source->left, count);
  source->left -= count;
  return 0;
}

static void put_milliseconds(unsigned char *bytes, int64_t wall_ms) {
  uint64_t value = wall_ms < 0 ? 0 : (uint64_t)wall_ms;
  for (int index = 5; index >= 0; index--) {
    bytes[index] = (unsigned char)value;
    value >>= 8;
  }
}

static char *put_hex(char *out, const unsigned char *bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  for (size_t index = 0; index < count; index++) {
    *out++ = digits[bytes[index] >> 4];
    *out++ = digits[bytes[index] & 15];
  }
  *out = '\0';
  return out;
}

static void put_text(char *out, unsigned char bytes[16], unsigned version) {
  static const unsigned char group_bytes[] = {4, 2, 2, 2, 6};
  bytes[6] = (unsigned char)((bytes[6] & 0x0F) | version << 4);
  bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
  for (size_t group = 0; group < sizeof group_bytes; group++) {
    if (group > 0) *out++ = '-';
    out = put_hex(out, bytes, group_bytes[group]);
    bytes += group_bytes[group];
  }
}

/* Sets last_ms and counter to the next pair in order. */
static void next_moment(struct uuid_source *source, int64_t wall_ms, uint32_t random) {
  bool goes_on = wall_ms <= source->last_ms && source->last_ms - wall_ms <= UUID_BRIDGE_MS;
  if (!goes_on) {
    source->last_ms = wall_ms;
    source->counter = random & COUNTER_START_MASK;
    return;
  }
  if (++source->counter <= COUNTER_MAX) return;
  source->last_ms++;
  source->counter = random & COUNTER_START_MASK;
}

int uuid_v7(struct uuid_source *source, int64_t wall_ms, char out[UUID_TEXT_LENGTH + 1]) {
  unsigned char bytes[16];
  if (take_random(source, bytes, sizeof bytes) != 0) return -1;
  next_moment(source, wall_ms < 0 ? 0 : wall_ms, (uint32_t)bytes[6] << 8 | bytes[7]);
  put_milliseconds(bytes, source->last_ms);
  bytes[6] = (unsigned char)(source->counter >> 8);
  bytes[7] = (unsigned char)source->counter;
  put_text(out, bytes, 7);
  return 0;
}

int uuid_v4(struct uuid_source *source, char out[UUID_TEXT_LENGTH + 1]) {
  unsigned char bytes[16];
  if (take_random(source, bytes, sizeof bytes) != 0) return -1;
  put_text(out, bytes, 4);
  return 0;
}

int uuid_trace_id(struct uuid_source *source, int64_t wall_ms, char out[UUID_TRACE_LENGTH + 1]) {
  unsigned char bytes[16];
  if (take_random(source, bytes, sizeof bytes) != 0) return -1;
  put_milliseconds(bytes, wall_ms);
  /* One bit is given up so that the id cannot be all zeros at the start of the epoch. */
  bytes[6] |= 0x80;
  put_hex(out, bytes, sizeof bytes);
  return 0;
}

int uuid_span_id(struct uuid_source *source, char out[UUID_SPAN_LENGTH + 1]) {
  unsigned char bytes[8];
  static const unsigned char zeros[8];
  do {
    if (take_random(source, bytes, sizeof bytes) != 0) return -1;
  } while (memcmp(bytes, zeros, sizeof bytes) == 0);
  put_hex(out, bytes, sizeof bytes);
  return 0;
}

static bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool uuid_is_valid(const char *text, size_t length) {
  if (length != UUID_TEXT_LENGTH) return false;
  for (size_t index = 0; index < length; index++) {
    bool dash = index == 8 || index == 13 || index == 18 || index == 23;
    if (dash ? text[index] != '-' : !is_hex(text[index])) return false;
  }
  return true;
}
