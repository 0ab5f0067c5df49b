#include "io/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/encoding.h"

static void expect_hex(const unsigned char *bytes, size_t length, const char *expected) {
  char hex[2 * CRYPTO_DIGEST_MAX];
  encoding_hex(bytes, length, hex);
  assert_int_equal(length * 2, strlen(expected));
  assert_memory_equal(hex, expected, length * 2);
}

static int new_crypto(void **state) {
  *state = crypto_new(NULL);
  return *state == NULL ? -1 : 0;
}

static int free_crypto(void **state) {
  crypto_free(*state);
  return 0;
}

static void digests_of_abc_are_the_published_ones(void **state) {
  static const char *const expected[CRYPTO_ALGORITHMS] = {
      [CRYPTO_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      [CRYPTO_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
      [CRYPTO_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                        "8086072ba1e7cc2358baeca134c825a7",
      [CRYPTO_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
      [CRYPTO_MD5] = "900150983cd24fb0d6963f7d28e17f72",
  };
  for (int algorithm = 0; algorithm < CRYPTO_ALGORITHMS; algorithm++) {
    unsigned char out[CRYPTO_DIGEST_MAX];
    size_t length;
    assert_int_equal(
        crypto_digest(*state, (enum crypto_algorithm)algorithm, "abc", 3, out, &length, NULL), 0);
    expect_hex(out, length, expected[algorithm]);
  }
}

static void hmac_of_the_same_key_is_the_same_again(void **state) {
  for (int round = 0; round < 3; round++) {
    unsigned char out[CRYPTO_DIGEST_MAX];
    size_t length;
    assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, "Jefe", 4, "what do ya want for nothing?",
                                 28, out, &length, NULL),
                     0);
    expect_hex(out, length, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  }
  assert_int_equal(crypto_kept_keys(*state), 1);
}

static void one_key_under_two_algorithms_is_two_contexts(void **state) {
  unsigned char out[CRYPTO_DIGEST_MAX];
  size_t length;
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, "k", 1, "", 0, out, &length, NULL), 0);
  assert_int_equal(length, 32);
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA1, "k", 1, "", 0, out, &length, NULL), 0);
  assert_int_equal(length, 20);
  assert_int_equal(crypto_kept_keys(*state), 2);
}

static void the_empty_key_is_a_key(void **state) {
  unsigned char out[CRYPTO_DIGEST_MAX];
  size_t length;
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, "", 0, "", 0, out, &length, NULL), 0);
  expect_hex(out, length, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void keys_kept_are_bounded_and_still_right_after_they_made_room(void **state) {
  unsigned char first[CRYPTO_DIGEST_MAX], again[CRYPTO_DIGEST_MAX], out[CRYPTO_DIGEST_MAX];
  size_t length;
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, "first", 5, "x", 1, first, &length, NULL), 0);
  for (int index = 0; index < 3 * CRYPTO_KEYS_MAX; index++) {
    char key[16];
    int key_length = snprintf(key, sizeof key, "key %d", index);
    assert_int_equal(
        crypto_hmac(*state, CRYPTO_SHA256, key, (size_t)key_length, "x", 1, out, &length, NULL), 0);
  }
  assert_int_equal(crypto_kept_keys(*state), CRYPTO_KEYS_MAX);
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, "first", 5, "x", 1, again, &length, NULL), 0);
  assert_memory_equal(first, again, 32);
}

static void very_long_keys_are_used_but_not_kept(void **state) {
  static unsigned char key[CRYPTO_KEY_KEPT_MAX + 1];
  unsigned char out[CRYPTO_DIGEST_MAX];
  size_t length;
  assert_int_equal(crypto_hmac(*state, CRYPTO_SHA256, key, sizeof key, "x", 1, out, &length, NULL),
                   0);
  assert_int_equal(crypto_kept_keys(*state), 0);
}

static void equality_needs_equal_lengths(void **state) {
  (void)state;
  assert_true(crypto_equal("abc", 3, "abc", 3));
  assert_false(crypto_equal("abc", 3, "abd", 3));
  assert_false(crypto_equal("abc", 3, "abcd", 4));
  assert_true(crypto_equal("", 0, NULL, 0));
}

static void a_sealed_text_opens_with_its_key_and_associated_data_only(void **state) {
  unsigned char key[CRYPTO_SEAL_KEY_BYTES] = {1}, other[CRYPTO_SEAL_KEY_BYTES] = {2};
  unsigned char sealed[5 + CRYPTO_SEAL_EXTRA], plain[5];
  struct err err;
  assert_int_equal(crypto_seal(*state, key, "hello", 5, "name", 4, sealed, NULL), 0);
  assert_int_equal(crypto_open(*state, key, sealed, sizeof sealed, "name", 4, plain, NULL), 0);
  assert_memory_equal(plain, "hello", 5);
  assert_int_equal(crypto_open(*state, other, sealed, sizeof sealed, "name", 4, plain, &err), -1);
  assert_string_equal(err.code, "not_authentic");
  assert_memory_equal(plain, "\0\0\0\0\0", 5);
  assert_int_equal(crypto_open(*state, key, sealed, sizeof sealed, "nam", 3, plain, &err), -1);
  for (size_t index = 0; index < sizeof sealed; index++) {
    sealed[index] ^= 1;
    assert_int_equal(crypto_open(*state, key, sealed, sizeof sealed, "name", 4, plain, &err), -1);
    sealed[index] ^= 1;
  }
  assert_int_equal(crypto_open(*state, key, sealed, CRYPTO_SEAL_EXTRA - 1, NULL, 0, plain, &err),
                   -1);
}

static void a_published_sealed_text_opens(void **state) {
  /* The GCM specification's test case 15 without associated data, nonce and tag around it. */
  unsigned char key[32], sealed[64 + CRYPTO_SEAL_EXTRA], plain[64];
  size_t written;
  static const char key_hex[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  static const char sealed_hex[] =
      "cafebabefacedbaddecaf888522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb0"
      "8e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6"
      "c";
  assert_int_equal(encoding_from_hex(key_hex, 64, key, &written, NULL), 0);
  assert_int_equal(encoding_from_hex(sealed_hex, sizeof sealed_hex - 1, sealed, &written, NULL), 0);
  assert_int_equal(written, sizeof sealed);
  assert_int_equal(crypto_open(*state, key, sealed, sizeof sealed, NULL, 0, plain, NULL), 0);
  assert_memory_equal(plain, "\xd9\x31\x32\x25\xf8\x84\x06\xe5", 8);
}

static void the_empty_text_can_be_sealed(void **state) {
  unsigned char key[CRYPTO_SEAL_KEY_BYTES] = {9}, sealed[CRYPTO_SEAL_EXTRA], plain[1];
  assert_int_equal(crypto_seal(*state, key, "", 0, NULL, 0, sealed, NULL), 0);
  assert_int_equal(crypto_open(*state, key, sealed, sizeof sealed, NULL, 0, plain, NULL), 0);
}

static void random_bytes_differ(void **state) {
  (void)state;
  unsigned char one[32], two[32];
  assert_int_equal(crypto_random(one, sizeof one, NULL), 0);
  assert_int_equal(crypto_random(two, sizeof two, NULL), 0);
  assert_memory_not_equal(one, two, sizeof one);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_crypto, free_crypto)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(digests_of_abc_are_the_published_ones),
      CASE(hmac_of_the_same_key_is_the_same_again),
      CASE(one_key_under_two_algorithms_is_two_contexts),
      CASE(the_empty_key_is_a_key),
      CASE(keys_kept_are_bounded_and_still_right_after_they_made_room),
      CASE(very_long_keys_are_used_but_not_kept),
      CASE(equality_needs_equal_lengths),
      CASE(a_sealed_text_opens_with_its_key_and_associated_data_only),
      CASE(a_published_sealed_text_opens),
      CASE(the_empty_text_can_be_sealed),
      CASE(random_bytes_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
