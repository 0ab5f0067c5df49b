#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/address_policy.h"

static struct ip_address address_of(const char *text) {
  struct ip_address address;
  if (ip_address_parse(&address, text, strlen(text)) != 0) fail_msg("no address: %s", text);
  return address;
}

static void every_address_lies_in_its_range(void **state) {
  (void)state;
  static const struct {
    const char *text;
    enum ip_range range;
  } cases[] = {
      {"8.8.8.8", IP_RANGE_PUBLIC},
      {"9.255.255.255", IP_RANGE_PUBLIC},
      {"10.0.0.0", IP_RANGE_PRIVATE},
      {"10.255.255.255", IP_RANGE_PRIVATE},
      {"11.0.0.0", IP_RANGE_PUBLIC},
      {"100.63.255.255", IP_RANGE_PUBLIC},
      {"100.64.0.0", IP_RANGE_PRIVATE},
      {"100.127.255.255", IP_RANGE_PRIVATE},
      {"100.128.0.0", IP_RANGE_PUBLIC},
      {"0.0.0.0", IP_RANGE_LOOPBACK},
      {"127.0.0.1", IP_RANGE_LOOPBACK},
      {"127.255.255.255", IP_RANGE_LOOPBACK},
      {"169.254.169.254", IP_RANGE_LINK_LOCAL},
      {"169.255.0.0", IP_RANGE_PUBLIC},
      {"172.15.255.255", IP_RANGE_PUBLIC},
      {"172.16.0.0", IP_RANGE_PRIVATE},
      {"172.31.255.255", IP_RANGE_PRIVATE},
      {"172.32.0.0", IP_RANGE_PUBLIC},
      {"192.167.255.255", IP_RANGE_PUBLIC},
      {"192.168.0.1", IP_RANGE_PRIVATE},
      {"192.0.2.1", IP_RANGE_SPECIAL},
      {"198.18.0.1", IP_RANGE_SPECIAL},
      {"198.20.0.1", IP_RANGE_PUBLIC},
      {"224.0.0.1", IP_RANGE_SPECIAL},
      {"255.255.255.255", IP_RANGE_SPECIAL},
      {"::", IP_RANGE_LOOPBACK},
      {"::1", IP_RANGE_LOOPBACK},
      {"::2", IP_RANGE_LOOPBACK},
      {"2606:4700::1111", IP_RANGE_PUBLIC},
      {"2001:db8::1", IP_RANGE_SPECIAL},
      {"fbff::1", IP_RANGE_PUBLIC},
      {"fc00::1", IP_RANGE_PRIVATE},
      {"fdff:ffff::1", IP_RANGE_PRIVATE},
      {"fe80::1", IP_RANGE_LINK_LOCAL},
      {"febf::1", IP_RANGE_LINK_LOCAL},
      {"fec0::1", IP_RANGE_PRIVATE},
      {"ff02::1", IP_RANGE_SPECIAL},
      /* what carries an IPv4 address */
      {"::ffff:8.8.8.8", IP_RANGE_PUBLIC},
      {"::ffff:127.0.0.1", IP_RANGE_LOOPBACK},
      {"::ffff:10.0.0.1", IP_RANGE_PRIVATE},
      {"::ffff:a9fe:a9fe", IP_RANGE_LINK_LOCAL},
      {"::ffff:0:10.0.0.1", IP_RANGE_PRIVATE},
      {"::10.0.0.1", IP_RANGE_PRIVATE},
      {"64:ff9b::8.8.8.8", IP_RANGE_PUBLIC},
      {"64:ff9b::169.254.169.254", IP_RANGE_LINK_LOCAL},
      {"64:ff9b:1::1", IP_RANGE_PRIVATE},
      {"2002:a00:1::", IP_RANGE_PRIVATE},
      {"2002:808:808::", IP_RANGE_PUBLIC},
      {"2001:0:1:2:3:4:f5ff:fffe", IP_RANGE_PRIVATE}, /* Teredo of 10.0.0.1 */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct ip_address address = address_of(cases[i].text);
    if (ip_address_range(&address) != cases[i].range)
      fail_msg("%s: %s", cases[i].text, ip_range_name(ip_address_range(&address)));
  }
}

static int check(enum address_policy policy, const char *text, bool literal) {
  struct ip_address address = address_of(text);
  struct err err = {0};
  int result = address_policy_check(policy, &address, literal, "acme.example", &err);
  if (result != 0) {
    assert_string_equal(err.code, "address_refused");
    assert_non_null(strstr(err.message, "acme.example"));
    assert_non_null(strstr(err.message, text));
  }
  return result;
}

static void each_policy_reaches_what_it_says(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool literal;
    int allowed, by_literal, denied;
  } cases[] = {
      {"8.8.8.8", false, 0, 0, 0},          {"8.8.8.8", true, 0, 0, 0},
      {"10.0.0.1", false, 0, -1, -1},       {"10.0.0.1", true, 0, 0, -1},
      {"127.0.0.1", false, 0, -1, -1},      {"::1", true, 0, 0, -1},
      {"169.254.169.254", true, 0, -1, -1}, {"fe80::1", true, 0, -1, -1},
      {"169.254.0.1", false, 0, -1, -1},    {"224.0.0.1", false, 0, -1, -1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *text = cases[i].text;
    bool literal = cases[i].literal;
    assert_int_equal(check(ADDRESS_POLICY_ALLOW, text, literal), cases[i].allowed);
    assert_int_equal(check(ADDRESS_POLICY_LITERAL, text, literal), cases[i].by_literal);
    assert_int_equal(check(ADDRESS_POLICY_DENY, text, literal), cases[i].denied);
  }
}

static bool matches(const char *pattern, const char *host) {
  return address_policy_host_matches(pattern, strlen(pattern), host, strlen(host));
}

static void a_pattern_matches_its_host_and_no_other(void **state) {
  (void)state;
  assert_true(matches("api.acme.example", "api.acme.example"));
  assert_true(matches("API.Acme.Example.", "api.acme.example"));
  assert_false(matches("acme.example", "api.acme.example"));
  assert_false(matches("api.acme.example", "acme.example"));
  assert_false(matches("acme.example", "notacme.example"));
  assert_true(matches("*.acme.example", "api.acme.example"));
  assert_true(matches("*.ACME.example", "a.b.acme.example"));
  assert_false(matches("*.acme.example", "acme.example"));
  assert_false(matches("*.acme.example", ".acme.example"));
  assert_false(matches("*.acme.example", "notacme.example"));
  assert_false(matches("*.acme.example", "api.acme.example.evil.example"));
  assert_true(matches("127.0.0.1", "127.0.0.1"));
  assert_true(matches("[::1]", "::1"));
  assert_true(matches("0:0::1", "::1"));
  assert_false(matches("::1", "::2"));
  assert_false(matches("", "acme.example"));
}

static void what_is_no_pattern_is_told_apart(void **state) {
  (void)state;
  static const char *const good[] = {"acme.example", "*.acme.example", "localhost",  "10.0.0.1",
                                     "::1",          "[::1]",          "a_b.example"};
  static const char *const bad[] = {"",
                                    "*",
                                    "*.",
                                    "a.*.example",
                                    "*acme.example",
                                    "acme.example:80",
                                    "http://acme.example",
                                    "a b",
                                    "[10.0.0.1]",
                                    "*.10.0.0.1",
                                    "127.1",
                                    "[::1",
                                    "*.*.example"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!address_policy_pattern_is_valid(good[i], strlen(good[i]))) fail_msg("bad: %s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (address_policy_pattern_is_valid(bad[i], strlen(bad[i]))) fail_msg("good: %s", bad[i]);
}

static void what_is_no_address_is_not_read_as_one(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",    "1",          "1.2.3",    "127.1",           "1.2.3.4.5",
      "::x", "1.2.3.256",  "[::1]",    "fe80::1%eth0",    " 1.2.3.4",
      ":",   "0x7f.0.0.1", "01.2.3.4", "::ffff:1.2.3.4.5"};
  struct ip_address address;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (ip_address_parse(&address, texts[i], strlen(texts[i])) == 0) fail_msg("%s", texts[i]);
  assert_int_equal(ip_address_parse(&address, "1.2.3.4\0", 8), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_address_lies_in_its_range),
      cmocka_unit_test(each_policy_reaches_what_it_says),
      cmocka_unit_test(a_pattern_matches_its_host_and_no_other),
      cmocka_unit_test(what_is_no_pattern_is_told_apart),
      cmocka_unit_test(what_is_no_address_is_not_read_as_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
