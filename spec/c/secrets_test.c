#include "state/secrets.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/encoding.h"

static int new_secrets(void **state) {
  *state = secrets_new();
  return *state == NULL ? -1 : 0;
}

static int free_secrets(void **state) {
  secrets_free(*state);
  return 0;
}

static uint64_t put(struct secrets *secrets, const char *name, const char *value) {
  return secrets_put(secrets, "acme", name, value, strlen(value), SECRET_STORED, 0);
}

static void expect_redacted(struct secrets *secrets, const char *text, const char *expected) {
  struct buf result;
  buf_init(&result, 1 << 20);
  assert_int_equal(secrets_redact(secrets, text, strlen(text), &result), 0);
  assert_int_equal(buf_append(&result, "", 1), 0);
  assert_string_equal(result.data, expected);
  assert_int_equal(secrets_occur(secrets, text, strlen(text)), strcmp(text, expected) != 0);
  buf_deinit(&result);
}

static void a_value_comes_back_with_its_version_and_source(void **state) {
  struct buf value;
  struct secret_info info;
  buf_init(&value, SECRET_VALUE_MAX);
  uint64_t version = secrets_put(*state, "acme", "api_key", "k\0ey", 4, SECRET_ENVIRONMENT, 1234.5);
  assert_int_not_equal(version, 0);
  assert_true(secrets_get(*state, "acme", "api_key", &value, &info));
  assert_int_equal(value.length, 4);
  assert_memory_equal(value.data, "k\0ey", 4);
  assert_int_equal(info.version, version);
  assert_int_equal(info.source, SECRET_ENVIRONMENT);
  assert_true(info.expires_at == 1234.5);
  assert_false(secrets_get(*state, "other", "api_key", &value, &info));
  assert_false(secrets_get(*state, "acme", "other", &value, &info));
  buf_deinit(&value);
}

static void the_version_rises_only_with_another_value(void **state) {
  uint64_t first = put(*state, "token", "one");
  assert_int_equal(put(*state, "token", "one"), first);
  assert_true(put(*state, "token", "two") > first);
}

static void a_version_that_is_gone_removes_nothing(void **state) {
  uint64_t first = put(*state, "token", "one");
  uint64_t second = put(*state, "token", "two");
  assert_false(secrets_remove(*state, "acme", "token", first));
  assert_true(secrets_remove(*state, "acme", "token", second));
  assert_false(secrets_remove(*state, "acme", "token", 0));
  assert_true(put(*state, "token", "two") > second);
}

static void what_is_too_large_is_refused(void **state) {
  char *large = calloc(1, SECRET_VALUE_MAX + 2);
  memset(large, 'x', SECRET_VALUE_MAX + 1);
  assert_int_equal(put(*state, "large", large), 0);
  large[SECRET_VALUE_MAX] = '\0';
  size_t count = 0;
  char name[SECRET_NAME_MAX + 2];
  do snprintf(name, sizeof name, "large %zu", count);
  while (put(*state, name, large) != 0 && ++count < 100);
  assert_int_equal(count, SECRETS_BYTES_MAX / SECRET_VALUE_MAX);
  assert_int_not_equal(put(*state, "large 0", "replaced by a small one"), 0);
  assert_int_not_equal(put(*state, "small", "there is room again"), 0);
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_int_equal(put(*state, name, "v"), 0);
  free(large);
}

static bool rotate(struct secrets *secrets, const char *value, const char *previous) {
  const struct secret_setting settings[] = {
      {"key", value, strlen(value), SECRET_STORED, 0},
      {"key:previous", previous, previous != NULL ? strlen(previous) : 0, SECRET_STORED, 9.5},
  };
  return secrets_set(secrets, "acme", settings, 2);
}

static void expect_held(struct secrets *secrets, const char *name, const char *expected) {
  struct buf value;
  struct secret_info info;
  buf_init(&value, SECRET_VALUE_MAX);
  assert_int_equal(secrets_get(secrets, "acme", name, &value, &info), expected != NULL);
  if (expected != NULL) {
    assert_int_equal(value.length, strlen(expected));
    assert_memory_equal(value.data, expected, value.length);
  }
  buf_deinit(&value);
}

static void two_are_set_at_one_time(void **state) {
  assert_true(rotate(*state, "first", NULL));
  expect_held(*state, "key", "first");
  expect_held(*state, "key:previous", NULL);
  uint64_t before = secrets_changes(*state);
  assert_true(rotate(*state, "second", "first"));
  assert_int_equal(secrets_changes(*state), before + 1);
  expect_held(*state, "key", "second");
  expect_held(*state, "key:previous", "first");
  assert_true(rotate(*state, "first", "second"));
  expect_held(*state, "key", "first");
  expect_held(*state, "key:previous", "second");
  assert_true(rotate(*state, "third", NULL));
  expect_held(*state, "key:previous", NULL);
}

static void setting_two_changes_nothing_when_there_is_no_room(void **state) {
  char *large = calloc(1, SECRET_VALUE_MAX + 2);
  memset(large, 'x', SECRET_VALUE_MAX);
  assert_true(rotate(*state, "first", NULL));
  for (int index = 0; index < 3; index++) {
    char name[16];
    snprintf(name, sizeof name, "large %d", index);
    assert_int_not_equal(put(*state, name, large), 0);
  }
  size_t count, bytes, count_after, bytes_after;
  secrets_usage(*state, &count, &bytes);
  uint64_t before = secrets_changes(*state);
  assert_false(rotate(*state, large, "first"));
  large[SECRET_VALUE_MAX] = 'x';
  assert_false(rotate(*state, "second", large));
  secrets_usage(*state, &count_after, &bytes_after);
  assert_int_equal(count_after, count);
  assert_int_equal(bytes_after, bytes);
  assert_int_equal(secrets_changes(*state), before);
  expect_held(*state, "key", "first");
  expect_held(*state, "key:previous", NULL);
  large[SECRET_VALUE_MAX] = '\0';
  assert_true(rotate(*state, large, NULL));
  free(large);
}

static void the_list_shows_the_owners_names_and_no_values(void **state) {
  struct secret_info infos[4];
  put(*state, "one", "1");
  put(*state, "two", "2");
  secrets_put(*state, "other", "three", "3", 1, SECRET_FILE, 0);
  assert_int_equal(secrets_list(*state, "acme", infos, 4), 2);
  assert_string_equal(infos[0].name, "one");
  assert_int_equal(secrets_list(*state, "acme", infos, 1), 2);
  assert_int_equal(secrets_list(*state, "nobody", infos, 4), 0);
}

static void text_without_a_secret_stays_as_it_is(void **state) {
  expect_redacted(*state, "nothing is known yet", "nothing is known yet");
  put(*state, "key", "sk_live_12345678");
  expect_redacted(*state, "", "");
  expect_redacted(*state, "sk_live_1234567 and more %41 \\u0041 +",
                  "sk_live_1234567 and more %41 \\u0041 +");
}

static void values_are_masked_wherever_they_stand(void **state) {
  put(*state, "key", "sk_live_12345678");
  put(*state, "other", "another-secret");
  expect_redacted(*state, "sk_live_12345678", "[redacted]");
  expect_redacted(*state, "a sk_live_12345678 b another-secret c", "a [redacted] b [redacted] c");
  expect_redacted(*state, "sk_live_12345678another-secret", "[redacted]");
  expect_redacted(*state, "sk_sk_live_12345678", "sk_[redacted]");
}

static void values_inside_of_each_other_are_masked_as_one(void **state) {
  put(*state, "short", "abcdefgh");
  put(*state, "long", "xxabcdefghyy");
  put(*state, "overlap", "efghyyzzzz");
  expect_redacted(*state, "1 xxabcdefghyy 2", "1 [redacted] 2");
  expect_redacted(*state, "1 xxabcdefghyyzzzz 2", "1 [redacted] 2");
  expect_redacted(*state, "1 xabcdefghy 2", "1 x[redacted]y 2");
}

static void values_under_eight_bytes_are_left_to_their_names(void **state) {
  put(*state, "pin", "1234567");
  expect_redacted(*state, "1234567", "1234567");
}

static void values_are_found_whatever_their_encoder_escapes(void **state) {
  put(*state, "key", "ab/cd+ef== \"q\"\n\xc3\xa9");
  static const char *const encoded[] = {
      "ab/cd+ef== \"q\"\n\xc3\xa9",
      "ab%2Fcd%2Bef%3D%3D%20%22q%22%0A%C3%A9",
      "ab%2fcd%2bef%3d%3d%20%22q%22%0a%c3%a9",
      "ab/cd%2Bef==%20%22q%22%0A\xc3\xa9",
      "ab%2Fcd%2Bef%3D%3D+%22q%22%0A%C3%A9",
      "ab/cd+ef== \\\"q\\\"\\n\xc3\xa9",
      "ab\\/cd+ef== \\\"q\\\"\\n\\u00e9",
      "ab\\u002fcd\\u002Bef\\u003d= \\u0022q\\\"\\u000a\\u00E9",
  };
  for (size_t index = 0; index < sizeof encoded / sizeof *encoded; index++) {
    char text[128], expected[32] = "<[redacted]>";
    snprintf(text, sizeof text, "<%s>", encoded[index]);
    expect_redacted(*state, text, expected);
  }
}

static void values_are_found_escaped_twice(void **state) {
  put(*state, "key", "pass\"word\\123");
  expect_redacted(*state, "{\"body\":\"{\\\"p\\\":\\\"pass\\\\\\\"word\\\\\\\\123\\\"}\"}",
                  "{\"body\":\"{\\\"p\\\":\\\"[redacted]\\\"}\"}");
  expect_redacted(*state, "u=pass%2522word%255C123", "u=[redacted]");
}

static void characters_beyond_the_first_plane_are_found_as_two_escapes(void **state) {
  put(*state, "key", "\xf0\x9f\x98\x80pass");
  expect_redacted(*state, "\\ud83d\\ude00pass", "[redacted]");
  expect_redacted(*state, "\\ud83dx\\ude00pass", "\\ud83dx\\ude00pass");
}

static bool holds(const char *text, size_t length, const char *part) {
  return memmem(text, length, part, strlen(part)) != NULL;
}

/* Nothing but the characters that also depend on their neighbours may be left. */
static void values_are_found_inside_base64_at_any_offset(void **state) {
  static const char secret[] = "s3cr3t-p4ssw0rd?>";
  put(*state, "password", secret);
  for (int kind = ENCODING_BASE64; kind <= ENCODING_BASE64_URL; kind++) {
    for (size_t before = 0; before < 7; before++) {
      for (size_t after = 0; after < 4; after++) {
        char plain[64], text[128];
        int plain_length = snprintf(plain, sizeof plain, "%.*s%s%.*s", (int)before,
                                    "user:::", secret, (int)after, "tail");
        size_t length =
            encoding_base64((enum encoding_base64)kind, plain, (size_t)plain_length, text);
        struct buf result;
        buf_init(&result, 1024);
        assert_true(secrets_occur(*state, text, length));
        assert_int_equal(secrets_redact(*state, text, length, &result), 0);
        assert_true(holds(result.data, result.length, SECRET_MASK));
        assert_true(result.length - strlen(SECRET_MASK) <= (before + after) * 4 / 3 + 6);
        buf_deinit(&result);
      }
    }
  }
}

static void base64_is_found_when_it_is_encoded_itself(void **state) {
  put(*state, "password", "\xfb\xff\xfe\xfb\xff\xfe\xfb\xff\xfe");
  expect_redacted(*state, "+//++//++//+", "[redacted]");
  expect_redacted(*state, "\"+\\/\\/++\\/\\/++\\/\\/+\"", "\"[redacted]\"");
  expect_redacted(*state, "%2B%2F%2F%2B%2B%2F%2F%2B%2B%2F%2F%2B", "[redacted]");
}

static void a_replaced_value_is_no_longer_looked_for(void **state) {
  put(*state, "key", "first-value");
  expect_redacted(*state, "first-value second-value", "[redacted] second-value");
  put(*state, "key", "second-value");
  expect_redacted(*state, "first-value second-value", "first-value [redacted]");
  secrets_remove(*state, "acme", "key", 0);
  expect_redacted(*state, "first-value second-value", "first-value second-value");
}

static void a_full_buffer_is_a_failure_and_not_a_part(void **state) {
  struct buf result;
  buf_init(&result, 8);
  put(*state, "key", "sk_live_12345678");
  assert_int_equal(secrets_redact(*state, "sk_live_12345678", 16, &result), -1);
  buf_deinit(&result);
}

/* Against the plain way: every occurrence of every value, marked one by one. */
static void random_texts_are_masked_as_the_plain_way_masks_them(void **state) {
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
  char values[6][16];
  for (int index = 0; index < 6; index++) {
    int length = 8 + (int)(random() % 5);
    for (int at = 0; at < length; at++) values[index][at] = "ab"[random() % 2];
    values[index][length] = '\0';
    char name[16];
    snprintf(name, sizeof name, "%d", index);
    put(*state, name, values[index]);
  }
  for (int round = 0; round < 300; round++) {
    char text[201];
    bool covered[200] = {false};
    size_t length = (size_t)random() % 200;
    for (size_t at = 0; at < length; at++) text[at] = "aabbc"[random() % 5];
    text[length] = '\0';
    for (int index = 0; index < 6; index++)
      for (const char *at = text; (at = strstr(at, values[index])) != NULL; at++)
        memset(covered + (at - text), true, strlen(values[index]));
    char expected[2048] = "";
    size_t out = 0;
    for (size_t at = 0; at < length; at++) {
      if (!covered[at])
        expected[out++] = text[at];
      else if (at == 0 || !covered[at - 1])
        out += (size_t)snprintf(expected + out, sizeof expected - out, "%s", SECRET_MASK);
    }
    expected[out] = '\0';
    expect_redacted(*state, text, expected);
  }
}

static void a_long_text_full_of_matches_takes_linear_time(void **state) {
  size_t length = (size_t)4 << 20;
  char *text = malloc(length);
  char value[4097];
  struct buf result;
  memset(text, 'a', length);
  memset(value, 'a', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  put(*state, "key", value);
  buf_init(&result, length);
  assert_int_equal(secrets_redact(*state, text, length, &result), 0);
  assert_int_equal(result.length, strlen(SECRET_MASK));
  buf_deinit(&result);
  free(text);
}

static atomic_bool stop;

/* Returns its argument when every round was right. */
static void *redact_all_the_time(void *argument) {
  static const char text[] = "a rotating-value-1 b rotating-value-2 c constant-value d";
  do {
    struct buf result;
    buf_init(&result, 1024);
    if (secrets_redact(argument, text, sizeof text - 1, &result) != 0) return NULL;
    bool clean = !holds(result.data, result.length, "constant-value");
    buf_deinit(&result);
    if (!clean) return NULL;
  } while (!atomic_load(&stop));
  return argument;
}

static void redaction_goes_on_while_values_change(void **state) {
  pthread_t threads[3];
  put(*state, "constant", "constant-value");
  atomic_store(&stop, false);
  for (int index = 0; index < 3; index++)
    pthread_create(&threads[index], NULL, redact_all_the_time, *state);
  for (int round = 0; round < 200; round++) {
    put(*state, "rotating", round % 2 ? "rotating-value-1" : "rotating-value-2");
    expect_redacted(*state, "constant-value", "[redacted]");
  }
  atomic_store(&stop, true);
  for (int index = 0; index < 3; index++) {
    void *result;
    pthread_join(threads[index], &result);
    assert_non_null(result);
  }
}

static char first_byte(struct secrets *secrets, const char *name) {
  struct buf value;
  struct secret_info info;
  buf_init(&value, SECRET_VALUE_MAX);
  char byte = secrets_get(secrets, "acme", name, &value, &info) ? value.data[0] : '\0';
  buf_deinit(&value);
  return byte;
}

/* Returns its argument when, between two equal numbers of changes, both values were there always.
 */
static void *read_pairs_all_the_time(void *argument) {
  do {
    uint64_t changes = secrets_changes(argument);
    char current = first_byte(argument, "key");
    char previous = first_byte(argument, "key:previous");
    if (secrets_changes(argument) == changes && current + previous != 'A' + 'B') return NULL;
  } while (!atomic_load(&stop));
  return argument;
}

static void both_values_are_there_while_they_change_places(void **state) {
  pthread_t threads[3];
  assert_true(rotate(*state, "A", "B"));
  atomic_store(&stop, false);
  for (int index = 0; index < 3; index++)
    pthread_create(&threads[index], NULL, read_pairs_all_the_time, *state);
  for (int round = 0; round < 2000; round++)
    assert_true(round % 2 ? rotate(*state, "A", "B") : rotate(*state, "B", "A"));
  atomic_store(&stop, true);
  for (int index = 0; index < 3; index++) {
    void *result;
    pthread_join(threads[index], &result);
    assert_non_null(result);
  }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_secrets, free_secrets)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_value_comes_back_with_its_version_and_source),
      CASE(the_version_rises_only_with_another_value),
      CASE(a_version_that_is_gone_removes_nothing),
      CASE(what_is_too_large_is_refused),
      CASE(two_are_set_at_one_time),
      CASE(setting_two_changes_nothing_when_there_is_no_room),
      CASE(the_list_shows_the_owners_names_and_no_values),
      CASE(text_without_a_secret_stays_as_it_is),
      CASE(values_are_masked_wherever_they_stand),
      CASE(values_inside_of_each_other_are_masked_as_one),
      CASE(values_under_eight_bytes_are_left_to_their_names),
      CASE(values_are_found_whatever_their_encoder_escapes),
      CASE(values_are_found_escaped_twice),
      CASE(characters_beyond_the_first_plane_are_found_as_two_escapes),
      CASE(values_are_found_inside_base64_at_any_offset),
      CASE(base64_is_found_when_it_is_encoded_itself),
      CASE(a_replaced_value_is_no_longer_looked_for),
      CASE(a_full_buffer_is_a_failure_and_not_a_part),
      CASE(random_texts_are_masked_as_the_plain_way_masks_them),
      CASE(a_long_text_full_of_matches_takes_linear_time),
      CASE(redaction_goes_on_while_values_change),
      CASE(both_values_are_there_while_they_change_places),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
