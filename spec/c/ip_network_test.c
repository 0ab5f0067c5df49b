#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/ip_network.h"

static bool holds(const char *network_text, const char *address_text) {
  struct ip_network network;
  struct ip_address address;
  if (ip_network_parse(&network, network_text, strlen(network_text)) != 0)
    fail_msg("no network: %s", network_text);
  if (ip_address_parse(&address, address_text, strlen(address_text)) != 0)
    fail_msg("no address: %s", address_text);
  return ip_network_contains(&network, &address);
}

static void a_network_holds_its_addresses_and_no_others(void **state) {
  (void)state;
  assert_true(holds("10.0.0.0/8", "10.255.0.1"));
  assert_false(holds("10.0.0.0/8", "11.0.0.0"));
  assert_true(holds("192.168.1.128/25", "192.168.1.128"));
  assert_false(holds("192.168.1.128/25", "192.168.1.127"));
  assert_true(holds("0.0.0.0/0", "255.255.255.255"));
  assert_true(holds("2001:db8::/33", "2001:db8:7fff::1"));
  assert_false(holds("2001:db8::/33", "2001:db8:8000::1"));
  assert_true(holds("::/0", "fe80::1"));
}

static void a_single_address_is_a_network_of_its_own(void **state) {
  (void)state;
  assert_true(holds("127.0.0.1", "127.0.0.1"));
  assert_false(holds("127.0.0.1", "127.0.0.2"));
  assert_true(holds("::1", "::1"));
  assert_false(holds("::1", "::2"));
}

static void host_bits_of_a_network_do_not_count(void **state) {
  (void)state;
  assert_true(holds("10.1.2.3/8", "10.9.9.9"));
}

static void the_families_do_not_mix(void **state) {
  (void)state;
  assert_false(holds("0.0.0.0/0", "::1"));
  assert_false(holds("::/0", "127.0.0.1"));
}

static void an_ipv4_address_that_came_as_ipv6_is_ipv4(void **state) {
  (void)state;
  assert_true(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
  assert_false(holds("10.0.0.0/8", "::fffe:10.1.2.3"));
}

static void what_is_no_network_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "/",
      "10.0.0.0/",
      "10.0.0.0/33",
      "10.0.0.0/-1",
      "10.0.0.0/ 8",
      "10.0.0.0/8/8",
      "10.0.0",
      "10.0.0.0/a",
      "::1/129",
      "[::1]",
      "example.com",
      "/8",
      "10.0.0.0/0008",
      "::1/",
      " 10.0.0.1",
      "10.0.0.1:80",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct ip_network network;
    if (ip_network_parse(&network, texts[i], strlen(texts[i])) == 0)
      fail_msg("taken: %s", texts[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_network_holds_its_addresses_and_no_others),
      cmocka_unit_test(a_single_address_is_a_network_of_its_own),
      cmocka_unit_test(host_bits_of_a_network_do_not_count),
      cmocka_unit_test(the_families_do_not_mix),
      cmocka_unit_test(an_ipv4_address_that_came_as_ipv6_is_ipv4),
      cmocka_unit_test(what_is_no_network_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
