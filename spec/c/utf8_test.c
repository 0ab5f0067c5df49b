/* base/utf8. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_valid(const char *text) {
  assert_true(utf8_is_valid(text, strlen(text)));
}

static void assert_invalid_after(size_t valid, const char *text) {
  assert_int_equal(utf8_valid_length(text, strlen(text)), valid);
}

static void text_of_every_length_of_sequence_is_valid(void **state) {
  (void)state;
  assert_valid("");
  assert_valid("plain ASCII that is longer than one word of eight bytes");
  assert_valid("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf");
  assert_valid("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf");
  assert_valid("한국어 문장과 ASCII가 섞인 글");
  assert_true(utf8_is_valid("a\0b", 3));
}

static void overlong_forms_are_invalid(void **state) {
  (void)state;
  assert_invalid_after(1, "a\xc0\x80");
  assert_invalid_after(0, "\xc1\xbf");
  assert_invalid_after(0, "\xe0\x9f\xbf");
  assert_invalid_after(0, "\xf0\x8f\xbf\xbf");
}

static void surrogates_and_what_is_above_unicode_are_invalid(void **state) {
  (void)state;
  assert_invalid_after(0, "\xed\xa0\x80");
  assert_invalid_after(0, "\xed\xbf\xbf");
  assert_invalid_after(0, "\xf4\x90\x80\x80");
  assert_invalid_after(0, "\xf5\x80\x80\x80");
  assert_invalid_after(0, "\xff");
}

static void sequences_cut_short_are_invalid(void **state) {
  (void)state;
  assert_invalid_after(10, "0123456789\xed\x95");
  assert_invalid_after(3, "\xed\x95\x9c\xed");
  assert_invalid_after(0, "\x80");
  assert_invalid_after(0, "\xe1\x80z");
  assert_invalid_after(0, "\xf1\x80\x80z");
}

static void exactly_the_encodings_of_code_points_are_valid(void **state) {
  (void)state;
  for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
    if (code_point >= 0xd800 && code_point <= 0xdfff) continue;
    char bytes[4];
    size_t length = utf8_encode(bytes, code_point);
    assert_int_equal(utf8_valid_length(bytes, length), length);
    /* One byte less is never valid. */
    assert_int_equal(utf8_valid_length(bytes, length - 1), 0);
  }
}

static void of_all_short_byte_strings_as_many_are_valid_as_unicode_has(void **state) {
  (void)state;
  size_t valid = 0;
  for (uint32_t bits = 0; bits < 1u << 24; bits++) {
    unsigned char bytes[3] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                              (unsigned char)bits};
    valid += utf8_sequence_length(bytes, bytes + 3) == 3;
  }
  assert_int_equal(valid, 0x10000 - 0x800 - 0x800);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_of_every_length_of_sequence_is_valid),
      cmocka_unit_test(overlong_forms_are_invalid),
      cmocka_unit_test(surrogates_and_what_is_above_unicode_are_invalid),
      cmocka_unit_test(sequences_cut_short_are_invalid),
      cmocka_unit_test(exactly_the_encodings_of_code_points_are_valid),
      cmocka_unit_test(of_all_short_byte_strings_as_many_are_valid_as_unicode_has),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
