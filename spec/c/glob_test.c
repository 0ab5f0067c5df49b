#include "base/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define RANDOM_CASES 200000

static bool matches(const char *pattern, const char *text) {
  return glob_matches(pattern, strlen(pattern), text, strlen(text));
}

static void plain_bytes_stand_for_themselves(void **state) {
  (void)state;
  assert_true(matches("", ""));
  assert_true(matches("track:1", "track:1"));
  assert_false(matches("track:1", "track:12"));
  assert_false(matches("track:12", "track:1"));
  assert_false(matches("", "a"));
  assert_false(matches("a", ""));
  assert_true(matches("[a-z]", "[a-z]"));
}

static void a_star_is_any_run_of_bytes(void **state) {
  (void)state;
  assert_true(matches("*", ""));
  assert_true(matches("**", "abc"));
  assert_true(matches("track:*", "track:"));
  assert_true(matches("*:1", "track:1"));
  assert_true(matches("a*b*c", "aXbXbYc"));
  assert_true(matches("*ab", "aab"));
  assert_false(matches("a*b*c", "acb"));
  assert_false(matches("track:*", "price:1"));
}

static void a_question_mark_is_any_one_byte(void **state) {
  (void)state;
  assert_true(matches("a?c", "abc"));
  assert_true(matches("?*", "a"));
  assert_false(matches("?", ""));
  assert_false(matches("a?c", "ac"));
}

static void a_backslash_takes_the_next_byte_as_it_is(void **state) {
  (void)state;
  assert_true(matches("\\*", "*"));
  assert_false(matches("\\*", "a"));
  assert_true(matches("a\\?", "a?"));
  assert_false(matches("a\\?", "ab"));
  assert_true(matches("\\\\", "\\"));
  assert_true(matches("\\a", "a"));
  assert_true(matches("a\\", "a\\"));
  assert_true(matches("*\\**", "a*b"));
  assert_false(matches("*\\**", "ab"));
}

static void nul_is_a_byte_like_others(void **state) {
  (void)state;
  assert_true(glob_matches("a\0*", 3, "a\0b", 3));
  assert_false(glob_matches("a\0", 2, "a", 1));
}

/* An engine that tries every way would take longer than the age of the world. */
static void many_stars_take_no_time(void **state) {
  (void)state;
  char pattern[81], text[30001];
  for (size_t i = 0; i < sizeof pattern - 1; i += 2) memcpy(pattern + i, "*a", 2);
  pattern[sizeof pattern - 2] = 'b';
  pattern[sizeof pattern - 1] = '\0';
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  assert_false(matches(pattern, text));
  assert_false(matches("*a*a*a*b", text));
  text[sizeof text - 2] = 'b';
  assert_true(matches("*a*a*a*b", text));
}

/* Plain to see, and slow. */
static bool model_matches(const char *pattern, const char *text) {
  if (*pattern == '\0') return *text == '\0';
  if (*pattern == '*')
    return model_matches(pattern + 1, text) || (*text != '\0' && model_matches(pattern, text + 1));
  if (*text == '\0') return false;
  if (*pattern == '?') return model_matches(pattern + 1, text + 1);
  if (*pattern == '\\' && pattern[1] != '\0') pattern++;
  return *pattern == *text && model_matches(pattern + 1, text + 1);
}

static void fill(unsigned *seed, char *text, int length_max, const char *alphabet) {
  int length = rand_r(seed) % (length_max + 1);
  for (int i = 0; i < length; i++) text[i] = alphabet[(size_t)rand_r(seed) % strlen(alphabet)];
  text[length] = '\0';
}

static void random_patterns_agree_with_the_model(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  for (int count = 0; count < RANDOM_CASES; count++) {
    char pattern[9], text[11];
    fill(&seed, pattern, 8, "ab*?\\");
    fill(&seed, text, 10, "aab*\\");
    assert_int_equal(matches(pattern, text), model_matches(pattern, text));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_bytes_stand_for_themselves),
      cmocka_unit_test(a_star_is_any_run_of_bytes),
      cmocka_unit_test(a_question_mark_is_any_one_byte),
      cmocka_unit_test(a_backslash_takes_the_next_byte_as_it_is),
      cmocka_unit_test(nul_is_a_byte_like_others),
      cmocka_unit_test(many_stars_take_no_time),
      cmocka_unit_test(random_patterns_agree_with_the_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
