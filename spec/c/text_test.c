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

static void the_table_of_euc_kr_agrees_with_iconv(void **state) {
  (void)state;
  iconv_t converter = iconv_open("EUC-KR", "UTF-8");
  if (converter == (iconv_t)-1) skip();
  for (uint32_t code_point = 0; code_point < 0x11000; code_point++) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    char in[4], out[8], *from = in, *to = out;
    size_t in_left = utf8_encode(in, code_point), out_left = sizeof out;
    iconv(converter, NULL, NULL, NULL, NULL);
    bool converted = iconv(converter, &from, &in_left, &to, &out_left) == 0;
    /* glibc lets the control characters of C1 through as one byte; they are no EUC-KR. */
    bool held = converted && (code_point < 0x80 || sizeof out - out_left == 2);
    if (euc_kr_has(code_point) != held) fail_msg("U+%04X", code_point);
  }
  iconv_close(converter);
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
