#include "state/pattern_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PATTERNS 12
#define TEXT 300

static struct pattern_set *set_of(const char *const *texts, size_t count) {
  struct pattern patterns[PATTERNS];
  for (size_t i = 0; i < count; i++)
    patterns[i] = (struct pattern){(const unsigned char *)texts[i], strlen(texts[i])};
  struct pattern_set *set = pattern_set_new(patterns, count);
  assert_non_null(set);
  return set;
}

/* The longest of the texts that ends at `end`. */
static uint32_t longest(const char *const *texts, size_t count, const char *text, size_t end) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(texts[i]);
    if (length <= end && length > found && memcmp(text + end - length, texts[i], length) == 0)
      found = length;
  }
  return (uint32_t)found;
}

static void expect_same(const char *const *texts, size_t count, const char *text) {
  struct pattern_set *set = set_of(texts, count);
  uint32_t at = 0, matched;
  for (size_t i = 0; i < strlen(text); i++) {
    at = pattern_set_step(set, at, (unsigned char)text[i], &matched);
    assert_int_equal(matched, longest(texts, count, text, i + 1));
  }
  pattern_set_free(set);
}

static void patterns_inside_each_other_are_all_found(void **state) {
  (void)state;
  const char *const texts[] = {"he", "she", "hers", "his", "e", "hers"};
  expect_same(texts, 6, "ushers and she, hishershe");
}

static void every_byte_can_be_part_of_a_pattern(void **state) {
  (void)state;
  unsigned char all[256];
  for (int i = 0; i < 256; i++) all[i] = (unsigned char)i;
  struct pattern pattern = {all, sizeof all};
  struct pattern_set *set = pattern_set_new(&pattern, 1);
  assert_non_null(set);
  uint32_t at = 0, matched = 0;
  for (int i = 0; i < 256; i++) at = pattern_set_step(set, at, all[i], &matched);
  assert_int_equal(matched, 256);
  pattern_set_free(set);
}

static void random_patterns_are_found_as_by_looking_everywhere(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  for (int round = 0; round < 300; round++) {
    char storage[PATTERNS][8] = {{0}};
    const char *texts[PATTERNS];
    char text[TEXT + 1] = {0};
    for (int i = 0; i < PATTERNS; i++) {
      int length = 1 + rand_r(&seed) % 7;
      for (int j = 0; j < length; j++) storage[i][j] = (char)('a' + rand_r(&seed) % 2);
      texts[i] = storage[i];
    }
    for (int i = 0; i < TEXT; i++) text[i] = (char)('a' + rand_r(&seed) % 2);
    expect_same(texts, PATTERNS, text);
  }
}

static void more_than_it_may_hold_is_refused(void **state) {
  (void)state;
  unsigned char *bytes = calloc(1, PATTERN_SET_NODES_MAX);
  assert_non_null(bytes);
  struct pattern pattern = {bytes, PATTERN_SET_NODES_MAX};
  assert_null(pattern_set_new(&pattern, 1));
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(patterns_inside_each_other_are_all_found),
      cmocka_unit_test(every_byte_can_be_part_of_a_pattern),
      cmocka_unit_test(random_patterns_are_found_as_by_looking_everywhere),
      cmocka_unit_test(more_than_it_may_hold_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
