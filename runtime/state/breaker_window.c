#include "state/breaker_window.h"

#include <string.h>

void breaker_window_set_length(struct breaker_window *window, uint64_t length_ns) {
  uint64_t part_ns = length_ns / BREAKER_WINDOW_PARTS;
  if (part_ns != window->part_ns) breaker_window_clear(window);
  window->part_ns = part_ns;
}

void breaker_window_clear(struct breaker_window *window) {
  memset(window->parts, 0, sizeof window->parts);
}

void breaker_window_count(struct breaker_window *window, uint64_t now_ns, bool failed, bool slow) {
  if (window->part_ns == 0) return;
  uint64_t number = now_ns / window->part_ns + 1;
  struct breaker_window_part *part = &window->parts[number % BREAKER_WINDOW_PARTS];
  if (part->number != number) *part = (struct breaker_window_part){.number = number};
  part->calls++;
  part->failures += failed;
  part->slow += slow;
}

struct breaker_window_sum breaker_window_sum(const struct breaker_window *window, uint64_t now_ns) {
  struct breaker_window_sum sum = {0};
  if (window->part_ns == 0) return sum;
  uint64_t newest = now_ns / window->part_ns + 1;
  for (int i = 0; i < BREAKER_WINDOW_PARTS; i++) {
    const struct breaker_window_part *part = &window->parts[i];
    if (part->number == 0 || part->number + BREAKER_WINDOW_PARTS <= newest) continue;
    sum.calls += part->calls;
    sum.failures += part->failures;
    sum.slow += part->slow;
  }
  return sum;
}
