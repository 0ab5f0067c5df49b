#include "io/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/encoding.h"

/* RFC 8032, 7.1, test 2. */
static const char SEED[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char PUBLIC[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
static const char SIGNATURE[] = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

static const struct signature_bytes MESSAGE = {"r", 1};

static int new_signatures(void **state) {
  *state = signatures_new(NULL);
  return *state == NULL ? -1 : 0;
}

static int free_signatures(void **state) {
  signatures_free(*state);
  return 0;
}

static struct signature_bytes from_hex(const char *hex, unsigned char *out) {
  size_t length;
  assert_int_equal(encoding_from_hex(hex, strlen(hex), out, &length, NULL), 0);
  return (struct signature_bytes){(const char *)out, length};
}

static void expect_published(struct signatures *signatures) {
  unsigned char seed[32], public_key[32], expected[64], made[SIGNATURE_BYTES_MAX];
  size_t length;
  bool valid = false;
  struct signature_bytes private_bytes = from_hex(SEED, seed);
  struct signature_bytes public_bytes = from_hex(PUBLIC, public_key);
  struct signature_bytes wanted = from_hex(SIGNATURE, expected);
  assert_int_equal(
      signature_sign(signatures, SIGNATURE_ED25519, private_bytes, MESSAGE, made, &length, NULL),
      0);
  assert_int_equal(length, 64);
  assert_memory_equal(made, wanted.data, 64);
  assert_int_equal(
      signature_verify(signatures, SIGNATURE_ED25519, public_bytes, MESSAGE, wanted, &valid, NULL),
      0);
  assert_true(valid);
}

/* Signs with a key of which `number` is the first bytes. */
static void sign_with(struct signatures *signatures, int number) {
  unsigned char key[SIGNING_KEY_ED25519] = {0}, made[SIGNATURE_BYTES_MAX];
  size_t length;
  memcpy(key, &number, sizeof number);
  assert_int_equal(signature_sign(signatures, SIGNATURE_ED25519,
                                  (struct signature_bytes){(const char *)key, sizeof key}, MESSAGE,
                                  made, &length, NULL),
                   0);
}

static void a_published_signature_is_made_and_verified(void **state) {
  expect_published(*state);
}

static void a_key_is_read_once_for_each_use(void **state) {
  for (int round = 0; round < 3; round++) expect_published(*state);
  assert_int_equal(signature_kept_keys(*state), 2);
}

static void keys_kept_are_bounded_and_still_right_after_they_made_room(void **state) {
  expect_published(*state);
  for (int number = 0; number < 3 * SIGNATURE_KEYS_MAX; number++) sign_with(*state, number);
  assert_int_equal(signature_kept_keys(*state), SIGNATURE_KEYS_MAX);
  expect_published(*state);
}

static void a_key_that_cannot_be_read_is_not_kept_and_changes_nothing(void **state) {
  bool valid = true;
  size_t length = 7;
  unsigned char out[SIGNATURE_BYTES_MAX];
  struct err err;
  struct signature_bytes bad = {"nonsense", 8};
  assert_int_equal(signature_verify(*state, SIGNATURE_ES256, bad, MESSAGE, bad, &valid, &err), -1);
  assert_string_equal(err.code, "invalid_key");
  assert_null(strstr(err.message, "nonsense"));
  assert_true(valid);
  assert_int_equal(signature_sign(*state, SIGNATURE_ES256, bad, MESSAGE, out, &length, &err), -1);
  assert_string_equal(err.code, "invalid_key");
  assert_int_equal(length, 7);
  assert_int_equal(signature_kept_keys(*state), 0);
}

static void a_key_that_is_too_long_is_not_read(void **state) {
  static char text[SIGNING_KEY_TEXT_MAX + 1];
  bool valid;
  struct err err;
  memset(text, 'A', sizeof text);
  struct signature_bytes longest = {text, sizeof text - 1}, longer = {text, sizeof text};
  assert_int_equal(
      signature_verify(*state, SIGNATURE_ES256, longest, MESSAGE, MESSAGE, &valid, &err), -1);
  assert_int_equal(
      signature_verify(*state, SIGNATURE_ES256, longer, MESSAGE, MESSAGE, &valid, &err), -1);
  assert_string_equal(err.code, "invalid_key");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_signatures, free_signatures)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_published_signature_is_made_and_verified),
      CASE(a_key_is_read_once_for_each_use),
      CASE(keys_kept_are_bounded_and_still_right_after_they_made_room),
      CASE(a_key_that_cannot_be_read_is_not_kept_and_changes_nothing),
      CASE(a_key_that_is_too_long_is_not_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
