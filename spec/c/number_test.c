/* base/number and base/power_of_ten. */
#include "base/number.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/power_of_ten.h"

#define RANDOM_ROUNDS 300000

static struct number parse(const char *text) {
  struct number number;
  const char *end = text + strlen(text);
  const char *after = number_parse(text, end, &number);
  if (number.kind != NUMBER_INVALID) assert_ptr_equal(after, end);
  return number;
}

static void assert_integer(const char *text, int64_t expected) {
  struct number number = parse(text);
  assert_int_equal(number.kind, NUMBER_INTEGER);
  assert_true(number.as.integer == expected);
}

static bool same_bits(double a, double b) {
  return memcmp(&a, &b, sizeof a) == 0;
}

static void assert_float(const char *text) {
  struct number number = parse(text);
  assert_int_equal(number.kind, NUMBER_FLOAT);
  double expected = strtod(text, NULL);
  if (!same_bits(number.as.real, expected)) {
    fail_msg("%s read as %.17g, expected %.17g", text, number.as.real, expected);
  }
}

static void assert_invalid_at(const char *text, size_t offset) {
  struct number number;
  const char *at = number_parse(text, text + strlen(text), &number);
  assert_int_equal(number.kind, NUMBER_INVALID);
  assert_int_equal(at - text, offset);
}

static void integers_are_exact_to_the_ends_of_int64(void **state) {
  (void)state;
  assert_integer("0", 0);
  assert_integer("-1", -1);
  assert_integer("9007199254740993", INT64_C(9007199254740993));
  assert_integer("9223372036854775807", INT64_MAX);
  assert_integer("-9223372036854775808", INT64_MIN);
}

static void integers_beyond_int64_become_the_nearest_double(void **state) {
  (void)state;
  assert_float("9223372036854775808");
  assert_float("-9223372036854775809");
  assert_float("18446744073709551615");
  assert_float("18446744073709551616");
  assert_float("99999999999999999999");
  assert_float("123456789012345678901234567890");
}

static void minus_zero_keeps_its_sign_as_a_float(void **state) {
  (void)state;
  struct number number = parse("-0");
  assert_int_equal(number.kind, NUMBER_FLOAT);
  assert_true(number.as.real == 0.0 && signbit(number.as.real));
  assert_true(signbit(parse("-0.0e5").as.real));
}

static void a_fraction_or_an_exponent_makes_a_float(void **state) {
  (void)state;
  static const char *texts[] = {"1.0",    "1e0",     "1E+2",  "0.1",  "123.456", "1e22",
                                "1e23",   "1e-22",   "1e-23", "3e5",  "0e99",    "0.000001",
                                "4.35e9", "-2.5e-3", "1e308", "0e-5", "1e-400",  "0.0"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) assert_float(texts[i]);
}

static void hard_roundings_are_correct(void **state) {
  (void)state;
  static const char *texts[] = {
      "2.2250738585072014e-308",
      "2.2250738585072011e-308",
      "4.9406564584124654e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "1.7976931348623157e308",
      "1.7976931348623158e308",
      "9007199254740993.0",
      "9007199254740992.99999999999999999",
      "9007199254740993.00000000000000001",
      "6.02214076e23",
      "8.98846567431158e307",
      "0.1000000000000000055511151231257827021181583404541015625",
      "0.1000000000000000124900090270330610871315002441406250000001",
      "1.00000000000000011102230246251565404236316680908203125",
      "1.00000000000000011102230246251565404236316680908203124",
      "1.00000000000000011102230246251565404236316680908203126",
      "7.3177701707893310e15",
      "5e-324",
      "1e-323",
      "2.5e-324",
      "100000000000000016777215.0",
      "100000000000000016777216.0",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) assert_float(texts[i]);
}

static void digits_beyond_any_need_still_decide_a_half_way(void **state) {
  (void)state;
  char text[2048];
  /* 2^-1074 / 2 is half-way between 0 and the least double; written out it has 751 digits. */
  int length = snprintf(text, sizeof text, "%.1074f", 4.9406564584124654e-324);
  assert_float(text);
  memset(text + length, '0', 900);
  text[length + 900] = '\0';
  assert_float(text);
  strncpy(text, "9007199254740993.", sizeof text);
  memset(text + 17, '0', 1500);
  memcpy(text + 1517, "1", 2);
  assert_float(text);
  assert_true(parse(text).as.real == 9007199254740994.0);
}

static void zeros_and_exponents_may_cancel_each_other(void **state) {
  (void)state;
  size_t zeros = 2000;
  char *text = malloc(zeros + 32);
  assert_non_null(text);
  memcpy(text, "0.", 2);
  memset(text + 2, '0', zeros);
  snprintf(text + 2 + zeros, 30, "1e2001");
  assert_true(parse(text).as.real == 1.0);
  text[0] = '1';
  memset(text + 1, '0', zeros);
  snprintf(text + 1 + zeros, 30, "e-2000");
  assert_true(parse(text).as.real == 1.0);
  free(text);
  assert_true(parse("1e-99999999999999999999999").as.real == 0.0);
}

static void what_no_double_holds_is_called_too_large(void **state) {
  (void)state;
  assert_int_equal(parse("1e309").kind, NUMBER_TOO_LARGE);
  assert_int_equal(parse("-1e99999999999999999999").kind, NUMBER_TOO_LARGE);
  assert_int_equal(parse("1.7976931348623159e308").kind, NUMBER_TOO_LARGE);
}

static void the_grammar_is_that_of_json(void **state) {
  (void)state;
  assert_invalid_at("", 0);
  assert_invalid_at("-", 1);
  assert_invalid_at("+1", 0);
  assert_invalid_at(".5", 0);
  assert_invalid_at("01", 1);
  assert_invalid_at("-012", 2);
  assert_invalid_at("1.", 2);
  assert_invalid_at("1.e3", 2);
  assert_invalid_at("1e", 2);
  assert_invalid_at("1e+", 3);
  assert_invalid_at("2.5E-x", 5);
  assert_invalid_at("Infinity", 0);
  assert_invalid_at("NaN", 0);
}

static void reading_stops_at_the_end_that_is_given(void **state) {
  (void)state;
  struct number number;
  const char *text = "12345";
  assert_ptr_equal(number_parse(text, text + 2, &number), text + 2);
  assert_int_equal(number.as.integer, 12);
  text = "1e5";
  assert_ptr_equal(number_parse(text, text + 2, &number), text + 2);
  assert_int_equal(number.kind, NUMBER_INVALID);
  text = "0x10";
  assert_ptr_equal(number_parse(text, text + 4, &number), text + 1);
  assert_int_equal(number.kind, NUMBER_INTEGER);
}

static void assert_written(double value, const char *expected) {
  char text[NUMBER_TEXT_MAX + 1];
  text[number_format_double(text, value)] = '\0';
  assert_string_equal(text, expected);
}

static void doubles_are_written_as_rfc_8785_says(void **state) {
  (void)state;
  /* RFC 8785, appendix B */
  assert_written(0.0, "0");
  assert_written(-0.0, "0");
  assert_written(5e-324, "5e-324");
  assert_written(-5e-324, "-5e-324");
  assert_written(1.7976931348623157e308, "1.7976931348623157e+308");
  assert_written(-1.7976931348623157e308, "-1.7976931348623157e+308");
  assert_written(9007199254740992.0, "9007199254740992");
  assert_written(-9007199254740992.0, "-9007199254740992");
  assert_written(295147905179352830000.0, "295147905179352830000");
  assert_written(9.999999999999997e22, "9.999999999999997e+22");
  assert_written(1e23, "1e+23");
  assert_written(1.0000000000000001e23, "1.0000000000000001e+23");
  assert_written(999999999999999700000.0, "999999999999999700000");
  assert_written(999999999999999900000.0, "999999999999999900000");
  assert_written(1e21, "1e+21");
  assert_written(9.999999999999997e-7, "9.999999999999997e-7");
  assert_written(0.000001, "0.000001");
  assert_written(333333333.3333332, "333333333.3333332");
  assert_written(333333333.33333325, "333333333.33333325");
  assert_written(333333333.3333333, "333333333.3333333");
  assert_written(333333333.3333334, "333333333.3333334");
  assert_written(333333333.33333343, "333333333.33333343");
  assert_written(-0.0000033333333333333333, "-0.0000033333333333333333");
  assert_written(1424953923781206.2, "1424953923781206.2");
}

static void doubles_are_written_in_few_digits(void **state) {
  (void)state;
  assert_written(0.1, "0.1");
  assert_written(0.3, "0.3");
  assert_written(0.1 + 0.2, "0.30000000000000004");
  assert_written(3.0, "3");
  assert_written(1e20, "100000000000000000000");
  assert_written(-1.5, "-1.5");
  assert_written(2.2250738585072014e-308, "2.2250738585072014e-308");
  assert_written(1e-7, "1e-7");
  assert_written(123456.789, "123456.789");
  assert_written(9223372036854775808.0, "9223372036854776000");
}

static void what_is_not_finite_has_no_form(void **state) {
  (void)state;
  char text[NUMBER_TEXT_MAX];
  assert_int_equal(number_format_double(text, NAN), 0);
  assert_int_equal(number_format_double(text, INFINITY), 0);
  assert_int_equal(number_format_double(text, -INFINITY), 0);
}

static void integers_are_written_in_full(void **state) {
  (void)state;
  static const int64_t values[] = {0,   7,    10,        99,        100,     12345, -1,
                                   -10, -100, INT64_MAX, INT64_MIN, 1000000, 999999};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char text[NUMBER_TEXT_MAX + 1], expected[NUMBER_TEXT_MAX];
    text[number_format_integer(text, values[i])] = '\0';
    snprintf(expected, sizeof expected, "%" PRId64, values[i]);
    assert_string_equal(text, expected);
    assert_integer(text, values[i]);
  }
}

static uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static uint64_t seed_of_this_run(void) {
  uint64_t seed = (uint64_t)time(NULL) * UINT64_C(0x9e3779b97f4a7c15) | 1;
  print_message("seed %" PRIu64 "\n", seed);
  return seed;
}

static int significant_digits(const char *text) {
  int count = 0, zeros = 0;
  for (; *text && *text != 'e'; text++) {
    if (*text < '0' || *text > '9' || (count == 0 && *text == '0')) continue;
    count++;
    zeros = *text == '0' ? zeros + 1 : 0;
  }
  return count - zeros;
}

static int fewest_digits(double value) {
  char text[64];
  for (int digits = 1; digits < 17; digits++) {
    snprintf(text, sizeof text, "%.*e", digits - 1, value);
    if (strtod(text, NULL) == value) return digits;
  }
  return 17;
}

static void any_double_is_written_shortest_and_read_back_equal(void **state) {
  (void)state;
  uint64_t seed = seed_of_this_run();
  for (int i = 0; i < RANDOM_ROUNDS; i++) {
    uint64_t bits = next_random(&seed);
    if (i % 8 == 0) bits &= UINT64_C(0x800fffffffffffff); /* subnormal */
    if (i % 8 == 1) bits &= UINT64_C(0xfff0000000000000); /* powers of two */
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value) || value == 0.0) continue;
    char text[NUMBER_TEXT_MAX + 1];
    text[number_format_double(text, value)] = '\0';
    if (strtod(text, NULL) != value) fail_msg("%.17g was written as %s", value, text);
    struct number number = parse(text);
    double read = number.kind == NUMBER_INTEGER ? (double)number.as.integer : number.as.real;
    if (read != value) fail_msg("%s was read as %.17g", text, read);
    if (i % 16 == 0 && significant_digits(text) > fewest_digits(value)) {
      fail_msg("%.17g was written as %s, longer than needed", value, text);
    }
  }
}

static void any_decimal_is_read_as_strtod_reads_it(void **state) {
  (void)state;
  uint64_t seed = seed_of_this_run();
  for (int i = 0; i < RANDOM_ROUNDS; i++) {
    char text[128];
    uint64_t a = next_random(&seed), b = next_random(&seed);
    int exponent = (int)(next_random(&seed) % 660) - 340;
    if (i % 2 == 0) exponent = exponent % 30;
    a = (a >> next_random(&seed) % 60) | 1; /* no leading zero */
    snprintf(text, sizeof text,
             i % 3 ? "%" PRIu64 ".%" PRIu64 "e%d" : "%" PRIu64 "%.0" PRIu64 "e%d", a, b, exponent);
    if (isinf(strtod(text, NULL))) continue;
    assert_float(text);
  }
}

/* 10^k for k >= 0 in 32-bit limbs, least first: exact, and slow enough for a test only. */
#define LIMBS 40

static void multiply(uint32_t limbs[LIMBS], uint32_t factor) {
  uint64_t carry = 0;
  for (int i = 0; i < LIMBS; i++) {
    carry += (uint64_t)limbs[i] * factor;
    limbs[i] = (uint32_t)carry;
    carry >>= 32;
  }
}

static int bit_length(const uint32_t limbs[LIMBS]) {
  for (int i = LIMBS - 1; i >= 0; i--) {
    if (limbs[i]) return 32 * i + 32 - __builtin_clz(limbs[i]);
  }
  return 0;
}

static int bit_at(const uint32_t limbs[LIMBS], int bit) {
  return bit < 0 ? 0 : limbs[bit / 32] >> (bit % 32) & 1;
}

__extension__ typedef unsigned __int128 uint128;

static uint128 top_bits_rounded_up(const uint32_t limbs[LIMBS]) {
  int length = bit_length(limbs);
  uint128 top = 0;
  for (int i = 1; i <= 128; i++) top = top << 1 | (unsigned)bit_at(limbs, length - i);
  bool rest = false;
  for (int bit = length - 129; bit >= 0; bit--) rest = rest || bit_at(limbs, bit);
  return top + rest;
}

static uint128 table_entry(int exponent) {
  const struct power_of_ten *power = power_of_ten(exponent);
  return (uint128)power->high << 64 | power->low;
}

static void the_powers_of_ten_are_exact_or_rounded_up(void **state) {
  (void)state;
  uint32_t limbs[LIMBS] = {1};
  for (int exponent = 0; exponent <= POWER_OF_TEN_MAX; exponent++) {
    assert_true(table_entry(exponent) == top_bits_rounded_up(limbs));
    multiply(limbs, 10);
  }
}

/* Whether entry * 10^n, compared with the power of two that it stands for, has a sign. */
static int compare_reciprocal(uint128 entry, int n) {
  uint32_t limbs[LIMBS] = {(uint32_t)entry, (uint32_t)(entry >> 32), (uint32_t)(entry >> 64),
                           (uint32_t)(entry >> 96)};
  for (int i = 0; i < n; i++) multiply(limbs, 10);
  uint32_t power[LIMBS] = {1};
  for (int i = 0; i < n; i++) multiply(power, 10);
  /* entry = 2^(127 + bits) / 10^n, where 2^(bits-1) < 10^n < 2^bits */
  int target = 127 + bit_length(power);
  int length = bit_length(limbs);
  return length > target ? 1 : -1;
}

static void the_negative_powers_of_ten_are_rounded_up(void **state) {
  (void)state;
  for (int n = 1; n <= -POWER_OF_TEN_MIN; n++) {
    uint128 entry = table_entry(-n);
    assert_int_equal(compare_reciprocal(entry, n), 1);
    assert_int_equal(compare_reciprocal(entry - 1, n), -1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers_are_exact_to_the_ends_of_int64),
      cmocka_unit_test(integers_beyond_int64_become_the_nearest_double),
      cmocka_unit_test(minus_zero_keeps_its_sign_as_a_float),
      cmocka_unit_test(a_fraction_or_an_exponent_makes_a_float),
      cmocka_unit_test(hard_roundings_are_correct),
      cmocka_unit_test(digits_beyond_any_need_still_decide_a_half_way),
      cmocka_unit_test(zeros_and_exponents_may_cancel_each_other),
      cmocka_unit_test(what_no_double_holds_is_called_too_large),
      cmocka_unit_test(the_grammar_is_that_of_json),
      cmocka_unit_test(reading_stops_at_the_end_that_is_given),
      cmocka_unit_test(doubles_are_written_as_rfc_8785_says),
      cmocka_unit_test(doubles_are_written_in_few_digits),
      cmocka_unit_test(what_is_not_finite_has_no_form),
      cmocka_unit_test(integers_are_written_in_full),
      cmocka_unit_test(any_double_is_written_shortest_and_read_back_equal),
      cmocka_unit_test(any_decimal_is_read_as_strtod_reads_it),
      cmocka_unit_test(the_powers_of_ten_are_exact_or_rounded_up),
      cmocka_unit_test(the_negative_powers_of_ten_are_rounded_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
