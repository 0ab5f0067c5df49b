#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/url.h"

static void parse(struct url *url, const char *text) {
  struct err err = {0};
  if (url_parse(url, text, strlen(text), &err) != 0) fail_msg("%s: %s", text, err.message);
}

static void a_url_is_taken_apart(void **state) {
  (void)state;
  struct url url;
  parse(&url, "https://API.Acme.example:8443/v2/a%20b;c=1?q=a|b&r=/?#part");
  assert_true(url.secure);
  assert_string_equal(url.host, "api.acme.example");
  assert_int_equal(url.port, 8443);
  assert_int_equal(url.path.length, strlen("/v2/a%20b;c=1"));
  assert_memory_equal(url.path.data, "/v2/a%20b;c=1", url.path.length);
  assert_int_equal(url.query.length, strlen("q=a|b&r=/?"));
  assert_memory_equal(url.query.data, "q=a|b&r=/?", url.query.length);
  assert_false(url.host_is_literal);
}

static void a_host_alone_is_enough(void **state) {
  (void)state;
  struct url url;
  parse(&url, "http://localhost");
  assert_int_equal(url.port, 80);
  assert_int_equal(url.path.length, 0);
  assert_null(url.query.data);
  parse(&url, "http://localhost?");
  assert_non_null(url.query.data);
  assert_int_equal(url.query.length, 0);
  parse(&url, "http://localhost#a?b/c");
  assert_null(url.query.data);
  assert_int_equal(url.path.length, 0);
}

static void an_origin_has_one_spelling(void **state) {
  (void)state;
  static const char *const pairs[][2] = {
      {"HTTPS://Acme.Example.:443/x", "https://acme.example"},
      {"http://acme.example:80", "http://acme.example"},
      {"http://acme.example:443", "http://acme.example:443"},
      {"http://127.0.0.1:08080", "http://127.0.0.1:8080"},
      {"https://[0:0::0001]/", "https://[::1]"},
      {"http://[::FFFF:10.0.0.1]:81/", "http://[::ffff:10.0.0.1]:81"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    struct url url;
    char origin[URL_ORIGIN_MAX];
    parse(&url, pairs[i][0]);
    url_origin(&url, origin);
    assert_string_equal(origin, pairs[i][1]);
  }
}

static void what_is_surely_no_url_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "acme.example",
      "//acme.example/",
      "ftp://acme.example/",
      "file:///etc/passwd",
      "http:/acme.example",
      "http://",
      "http:///path",
      "http://?q",
      "http://:80/",
      "http://user@acme.example/",
      "http://user:secret@acme.example/",
      "http://acme.example@10.0.0.1/",
      "http://acme example/",
      "http://acme.example/a b",
      "http://acme.example/a\r\nX: y",
      "http://acme.example/a\tb",
      "http://acme.example/\x7f",
      "http://acme.example\\@10.0.0.1/",
      "http://\xc3\xa4.example/",
      "http://acme.example/\xc3\xa4",
      "http://acme.example/%",
      "http://acme.example/%4",
      "http://acme.example/%zz",
      "http://a%41.example/",
      "http://acme..example/",
      "http://.acme.example/",
      "http://acme.example:/",
      "http://acme.example:0/",
      "http://acme.example:65536/",
      "http://acme.example:+80/",
      "http://acme.example:80:80/",
      "http://acme.example:8o/",
      "http://[::1/",
      "http://[::1]x/",
      "http://[127.0.0.1]/",
      "http://[fe80::1%25eth0]/",
      "http://::1/",
      "http://a*b.example/",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct url url;
    struct err err = {0};
    if (url_parse(&url, texts[i], strlen(texts[i]), &err) == 0) fail_msg("taken: %s", texts[i]);
    assert_string_equal(err.code, "invalid_input");
  }
}

static void numbers_that_could_be_addresses_are_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "http://2130706433/",   "http://0x7f000001/", "http://127.1/",     "http://0177.0.0.1/",
      "http://0x7f.0.0.0x1/", "http://1.2.3.4.5/",  "http://256.0.0.1/", "http://127.0.0.01/",
      "http://acme.0x1/",     "http://acme.123/",   "http://1.2.3/",     "http://0x/",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct url url;
    if (url_parse(&url, texts[i], strlen(texts[i]), NULL) == 0) fail_msg("taken: %s", texts[i]);
  }
}

static void literals_are_recognised(void **state) {
  (void)state;
  struct url url;
  parse(&url, "http://192.0.2.1/");
  assert_true(url.host_is_literal);
  assert_false(url.host_is_ipv6);
  parse(&url, "http://[2001:DB8::1]/");
  assert_true(url.host_is_literal);
  assert_true(url.host_is_ipv6);
  assert_string_equal(url.host, "2001:db8::1");
  parse(&url, "http://1.2.3.example/");
  assert_false(url.host_is_literal);
}

static void a_message_never_holds_the_url(void **state) {
  (void)state;
  struct url url;
  struct err err = {0};
  const char *text = "http://user:hunter2@acme.example/";
  assert_int_equal(url_parse(&url, text, strlen(text), &err), -1);
  assert_null(strstr(err.message, "hunter2"));
}

static void a_url_over_the_bound_is_refused(void **state) {
  (void)state;
  static char text[URL_LENGTH_MAX + 2];
  struct url url;
  memset(text, 'a', sizeof text - 1);
  memcpy(text, "http://a/", 9);
  assert_int_equal(url_parse(&url, text, URL_LENGTH_MAX, NULL), 0);
  assert_int_equal(url_parse(&url, text, URL_LENGTH_MAX + 1, NULL), -1);
}

static void localhost_is_known_in_any_case(void **state) {
  (void)state;
  assert_true(url_host_is_localhost("localhost", 9));
  assert_true(url_host_is_localhost("LocalHost.", 10));
  assert_false(url_host_is_localhost("localhost.x", 11));
  assert_false(url_host_is_localhost("alocalhost", 10));
}

static void encoding_and_decoding_are_inverse_for_every_byte(void **state) {
  (void)state;
  char bytes[256], encoded[768], decoded[768];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  size_t length = url_encode(encoded, bytes, sizeof bytes);
  assert_int_equal(length, 66 + 3 * (256 - 66));
  size_t count;
  assert_int_equal(url_decode_query(decoded, &count, encoded, length, NULL), 0);
  assert_int_equal(count, 256);
  assert_memory_equal(decoded, bytes, 256);
}

static void a_plus_in_a_query_is_a_space_and_half_an_escape_an_error(void **state) {
  (void)state;
  char decoded[16];
  size_t count;
  struct err err;
  assert_int_equal(url_decode_query(decoded, &count, "a+b%2B", 6, NULL), 0);
  assert_int_equal(count, 4);
  assert_memory_equal(decoded, "a b+", 4);
  assert_int_equal(url_decode_query(decoded, &count, "ab%2", 4, &err), -1);
  assert_string_equal(err.code, "invalid_input");
  assert_non_null(strstr(err.message, "byte 3"));
}

static void a_query_comes_apart_in_its_order(void **state) {
  (void)state;
  static const char text[] = "&a=1&&b&=x&c==&";
  static const char *const pairs[][2] = {{"a", "1"}, {"b", ""}, {"", "x"}, {"c", "="}};
  struct url_slice query = {text, sizeof text - 1}, name, value;
  for (size_t i = 0; i < 4; i++) {
    assert_true(url_query_next(&query, &name, &value));
    assert_int_equal(name.length, strlen(pairs[i][0]));
    assert_memory_equal(name.data, pairs[i][0], name.length);
    assert_int_equal(value.length, strlen(pairs[i][1]));
    assert_memory_equal(value.data, pairs[i][1], value.length);
  }
  assert_false(url_query_next(&query, &name, &value));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_url_is_taken_apart),
      cmocka_unit_test(a_host_alone_is_enough),
      cmocka_unit_test(an_origin_has_one_spelling),
      cmocka_unit_test(what_is_surely_no_url_is_refused),
      cmocka_unit_test(numbers_that_could_be_addresses_are_refused),
      cmocka_unit_test(literals_are_recognised),
      cmocka_unit_test(a_message_never_holds_the_url),
      cmocka_unit_test(a_url_over_the_bound_is_refused),
      cmocka_unit_test(localhost_is_known_in_any_case),
      cmocka_unit_test(encoding_and_decoding_are_inverse_for_every_byte),
      cmocka_unit_test(a_plus_in_a_query_is_a_space_and_half_an_escape_an_error),
      cmocka_unit_test(a_query_comes_apart_in_its_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
