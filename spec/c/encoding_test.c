#include "base/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/hash.h"

static void rfc_4648_vectors_hold_in_both_directions(void **state) {
  (void)state;
  static const struct {
    const char *bytes, *base64, *base64_url, *hex;
  } cases[] = {
      {"", "", "", ""},
      {"f", "Zg==", "Zg", "66"},
      {"fo", "Zm8=", "Zm8", "666f"},
      {"foo", "Zm9v", "Zm9v", "666f6f"},
      {"foob", "Zm9vYg==", "Zm9vYg", "666f6f62"},
      {"fooba", "Zm9vYmE=", "Zm9vYmE", "666f6f6261"},
      {"foobar", "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
      {"\xfb\xff\xfe", "+//+", "-__-", "fbfffe"},
  };
  for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
    char text[32];
    unsigned char bytes[32];
    size_t length = strlen(cases[index].bytes), written;
    assert_int_equal(encoding_base64(ENCODING_BASE64, cases[index].bytes, length, text),
                     strlen(cases[index].base64));
    assert_memory_equal(text, cases[index].base64, strlen(cases[index].base64));
    assert_int_equal(encoding_base64(ENCODING_BASE64_URL, cases[index].bytes, length, text),
                     strlen(cases[index].base64_url));
    assert_memory_equal(text, cases[index].base64_url, strlen(cases[index].base64_url));
    encoding_hex(cases[index].bytes, length, text);
    assert_memory_equal(text, cases[index].hex, length * 2);
    assert_int_equal(encoding_from_base64(ENCODING_BASE64, cases[index].base64,
                                          strlen(cases[index].base64), bytes, &written, NULL),
                     0);
    assert_int_equal(written, length);
    assert_memory_equal(bytes, cases[index].bytes, length);
    assert_int_equal(encoding_from_base64(ENCODING_BASE64_URL, cases[index].base64_url,
                                          strlen(cases[index].base64_url), bytes, &written, NULL),
                     0);
    assert_int_equal(written, length);
  }
}

static void base64_is_read_strictly(void **state) {
  (void)state;
  static const char *const bad[] = {
      "Zg",    "Zg=",  "Zg===",    "Z",    "Zh==", "Zm9=",  "Zm9v\n",
      "Zm 9v", "=Zg=", "Zg==Zg==", "====", "-__-", "Zm9v=", "Zm9v===="};
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
    unsigned char bytes[32];
    size_t written;
    struct err err;
    assert_int_equal(encoding_from_base64(ENCODING_BASE64, bad[index], strlen(bad[index]), bytes,
                                          &written, &err),
                     -1);
    assert_string_equal(err.code, "invalid_encoding");
  }
}

static void base64url_takes_whole_padding_or_none(void **state) {
  (void)state;
  unsigned char bytes[32];
  size_t written;
  assert_int_equal(encoding_from_base64(ENCODING_BASE64_URL, "Zg==", 4, bytes, &written, NULL), 0);
  assert_int_equal(encoding_from_base64(ENCODING_BASE64_URL, "Zg", 2, bytes, &written, NULL), 0);
  assert_int_equal(encoding_from_base64(ENCODING_BASE64_URL, "Zg=", 3, bytes, &written, NULL), -1);
  assert_int_equal(encoding_from_base64(ENCODING_BASE64_URL, "+//+", 4, bytes, &written, NULL), -1);
}

static void hexadecimal_takes_pairs_in_either_case(void **state) {
  (void)state;
  unsigned char bytes[8];
  size_t written;
  assert_int_equal(encoding_from_hex("00fF", 4, bytes, &written, NULL), 0);
  assert_int_equal(written, 2);
  assert_memory_equal(bytes, "\0\xff", 2);
  assert_int_equal(encoding_from_hex("0", 1, bytes, &written, NULL), -1);
  assert_int_equal(encoding_from_hex("0g", 2, bytes, &written, NULL), -1);
  assert_int_equal(encoding_from_hex("0x", 2, bytes, &written, NULL), -1);
}

static void random_bytes_survive_every_encoding(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
  for (int round = 0; round < 2000; round++) {
    unsigned char bytes[100], again[ENCODING_FROM_BASE64_SIZE(ENCODING_BASE64_SIZE(100))];
    char text[ENCODING_HEX_SIZE(100)];
    size_t length = (size_t)random() % sizeof bytes, written;
    for (size_t index = 0; index < length; index++) bytes[index] = (unsigned char)random();
    for (int kind = ENCODING_BASE64; kind <= ENCODING_BASE64_URL; kind++) {
      size_t size = encoding_base64((enum encoding_base64)kind, bytes, length, text);
      assert_int_equal(
          encoding_from_base64((enum encoding_base64)kind, text, size, again, &written, NULL), 0);
      assert_int_equal(written, length);
      assert_memory_equal(again, bytes, length);
    }
  }
}

static void the_hash_depends_on_seed_length_and_every_byte(void **state) {
  (void)state;
  struct hash_seed one = {{1, 2}}, two = {{1, 3}};
  unsigned char bytes[40] = {0};
  uint64_t plain = hash_bytes(&one, bytes, sizeof bytes);
  assert_int_equal(plain, hash_bytes(&one, bytes, sizeof bytes));
  assert_int_not_equal(plain, hash_bytes(&two, bytes, sizeof bytes));
  assert_int_not_equal(plain, hash_bytes(&one, bytes, sizeof bytes - 1));
  for (size_t index = 0; index < sizeof bytes; index++) {
    bytes[index] = 1;
    assert_int_not_equal(plain, hash_bytes(&one, bytes, sizeof bytes));
    bytes[index] = 0;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rfc_4648_vectors_hold_in_both_directions),
      cmocka_unit_test(base64_is_read_strictly),
      cmocka_unit_test(base64url_takes_whole_padding_or_none),
      cmocka_unit_test(hexadecimal_takes_pairs_in_either_case),
      cmocka_unit_test(random_bytes_survive_every_encoding),
      cmocka_unit_test(the_hash_depends_on_seed_length_and_every_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
