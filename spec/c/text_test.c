#include "io/text.h"

#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/euc_kr.h"
#include "base/utf8.h"

/* Converts and returns the length of the result, 0 when it cannot be held. */
static size_t convert(iconv_t converter, char *in, size_t in_length, char out[8]) {
  char *from = in, *to = out;
  size_t out_left = 8;
  iconv(converter, NULL, NULL, NULL, NULL);
  if (iconv(converter, &from, &in_length, &to, &out_left) != 0) return 0;
  return 8 - out_left;
}

/* There and back: glibc also takes a few characters for others that look alike (the won sign
 * for the wide won sign) and lets the control characters of C1 through as one byte. */
static bool survives_iconv(iconv_t to_euc_kr, iconv_t to_utf8, uint32_t code_point) {
  char in[4], middle[8], back[8];
  size_t in_length = utf8_encode(in, code_point);
  size_t middle_length = convert(to_euc_kr, in, in_length, middle);
  if (middle_length == 0 || (code_point >= 0x80 && middle_length != 2)) return false;
  size_t back_length = convert(to_utf8, middle, middle_length, back);
  return back_length == in_length && memcmp(in, back, in_length) == 0;
}

static void the_table_of_euc_kr_agrees_with_iconv(void **state) {
  (void)state;
  iconv_t to_euc_kr = iconv_open("EUC-KR", "UTF-8");
  iconv_t to_utf8 = iconv_open("UTF-8", "EUC-KR");
  if (to_euc_kr == (iconv_t)-1 || to_utf8 == (iconv_t)-1) skip();
  uint32_t differs = 0;
  for (uint32_t code_point = 0; code_point < 0x11000; code_point++) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    if (euc_kr_has(code_point) != survives_iconv(to_euc_kr, to_utf8, code_point))
      differs = code_point;
  }
  iconv_close(to_euc_kr);
  iconv_close(to_utf8);
  assert_int_equal(differs, 0);
}

static void random_text_is_truncated_to_valid_text(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
  for (int round = 0; round < 2000; round++) {
    char text[256];
    size_t length = 0;
    while (length < 200) {
      uint32_t code_point = (uint32_t)random() % 0x110000;
      if (code_point >= 0xD800 && code_point < 0xE000) continue;
      length += utf8_encode(text + length, code_point);
    }
    size_t bytes = (size_t)random() % 220;
    size_t cut = text_truncated_length(text, length, bytes);
    assert_true(cut <= bytes && cut <= length);
    assert_true(cut == length || bytes - cut < 4);
    assert_true(utf8_is_valid(text, cut));
  }
}

static void random_text_has_stable_normal_forms(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
  for (int round = 0; round < 3000; round++) {
    enum text_form form = (enum text_form)(round % 3);
    char text[64];
    size_t length = 0, code_points, once_length, twice_length;
    while (length < 40) {
      uint32_t code_point = (uint32_t)random() % (round % 2 ? 0x3000 : 0x20000);
      if (code_point >= 0xD800 && code_point < 0xE000) continue;
      length += utf8_encode(text + length, code_point);
    }
    assert_int_equal(text_normalize_room(form, text, length, &code_points, NULL), 0);
    int32_t *once = malloc((code_points + 1) * sizeof *once);
    assert_int_equal(text_normalize(form, text, length, once, code_points, &once_length, NULL), 0);
    assert_true(utf8_is_valid((char *)once, once_length));
    assert_int_equal(text_normalize_room(form, (char *)once, once_length, &code_points, NULL), 0);
    int32_t *twice = malloc((code_points + 1) * sizeof *twice);
    assert_int_equal(
        text_normalize(form, (char *)once, once_length, twice, code_points, &twice_length, NULL),
        0);
    if (form != TEXT_FOLD) {
      assert_int_equal(once_length, twice_length);
      assert_memory_equal(once, twice, once_length);
    }
    free(once);
    free(twice);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_table_of_euc_kr_agrees_with_iconv),
      cmocka_unit_test(random_text_is_truncated_to_valid_text),
      cmocka_unit_test(random_text_has_stable_normal_forms),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
