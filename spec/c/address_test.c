#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "io/address.h"

static void an_address_is_written_as_it_was_read(void **state) {
  (void)state;
  static const char *const texts[][2] = {
      {"127.0.0.1:8080", "127.0.0.1:8080"},
      {"0.0.0.0:0", "0.0.0.0:0"},
      {"localhost:80", "127.0.0.1:80"},
      {"[::1]:8080", "[::1]:8080"},
      {"[::]:65535", "[::]:65535"},
      {"[0:0:0:0:0:0:0:1]:1", "[::1]:1"},
      {"unix:/tmp/a.sock", "unix:/tmp/a.sock"},
      {"unix:var/a:b.sock", "unix:var/a:b.sock"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct address address;
    struct err err = {0};
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(address_parse(&address, texts[i][0], &err), 0);
    address_format(&address, text, sizeof text);
    assert_string_equal(text, texts[i][1]);
  }
}

static void what_is_no_address_is_refused_and_named(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",         "8080",         "127.0.0.1",    "127.0.0.1:",     "127.0.0.1:65536",
      ":8080",    "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 80",  "127.0.0.1:8o",
      "::1:8080", "[::1]",        "[::1]8080",    "[127.0.0.1]:80", "example.com:80",
      "[]:80",    "127.1:80",     "unix:",        "unix:/tmp/",     "127.0.0.1:00000000000080x",
      "[::1:80",  "256.0.0.1:80",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct address address = {.kind = ADDRESS_UNIX, .path = "untouched"};
    struct err err = {0};
    if (address_parse(&address, texts[i], &err) == 0) fail_msg("\"%s\" was taken", texts[i]);
    assert_string_equal(err.code, "invalid_input");
    assert_non_null(strstr(err.message, texts[i]));
    assert_string_equal(address.path, "untouched");
  }
}

static void a_path_longer_than_the_bound_is_refused(void **state) {
  (void)state;
  char text[ADDRESS_PATH_MAX + 8] = "unix:";
  memset(text + 5, 'a', ADDRESS_PATH_MAX);
  struct address address;
  struct err err;
  assert_int_equal(address_parse(&address, text, &err), -1);
  text[5 + ADDRESS_PATH_MAX - 1] = '\0';
  assert_int_equal(address_parse(&address, text, &err), 0);
  char written[ADDRESS_TEXT_MAX];
  address_format(&address, written, sizeof written);
  assert_string_equal(written, text);
}

static void a_small_buffer_cuts_the_text_and_is_not_overrun(void **state) {
  (void)state;
  struct address address;
  char text[8] = "xxxxxxx";
  assert_int_equal(address_parse(&address, "127.0.0.1:8080", NULL), 0);
  address_format(&address, text, 4);
  assert_string_equal(text, "127");
  assert_int_equal(text[4], 'x');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_address_is_written_as_it_was_read),
      cmocka_unit_test(what_is_no_address_is_refused_and_named),
      cmocka_unit_test(a_path_longer_than_the_bound_is_refused),
      cmocka_unit_test(a_small_buffer_cuts_the_text_and_is_not_overrun),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
