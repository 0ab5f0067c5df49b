/* Any bytes as a URL, an address, a host pattern and a query: no crash, and what is accepted is
 * stable and fit to be put into a request. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/address_policy.h"
#include "io/ip_address.h"
#include "io/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static void check_slice(const struct url_slice *slice, const char *text, size_t size) {
  check(slice->data >= text && slice->data + slice->length <= text + size);
  for (size_t i = 0; i < slice->length; i++) {
    unsigned char c = (unsigned char)slice->data[i];
    check(c > 0x20 && c < 0x7f && c != '\\' && c != '#');
  }
}

static void fuzz_url(const char *text, size_t size) {
  struct url url, again;
  char origin[URL_ORIGIN_MAX], second[URL_ORIGIN_MAX];
  if (url_parse(&url, text, size, NULL) != 0) return;
  check(url.port > 0 && strlen(url.host) == url.host_length && url.host_length > 0);
  check_slice(&url.path, text, size);
  if (url.query.data != NULL) check_slice(&url.query, text, size);
  url_origin(&url, origin);
  check(url_parse(&again, origin, strlen(origin), NULL) == 0);
  url_origin(&again, second);
  check(strcmp(origin, second) == 0 && strcmp(url.host, again.host) == 0);
  struct ip_address address;
  bool is_address = ip_address_parse(&address, url.host, url.host_length) == 0;
  check(is_address == url.host_is_literal);
  check(address_policy_host_matches(url.host, url.host_length, url.host, url.host_length));
}

static void fuzz_address(const char *text, size_t size) {
  struct ip_address address, again;
  char formatted[IP_ADDRESS_TEXT_MAX];
  if (ip_address_parse(&address, text, size) != 0) return;
  ip_address_format(&address, formatted);
  check(ip_address_parse(&again, formatted, strlen(formatted)) == 0);
  check(ip_address_equal(&address, &again));
  check(ip_address_range(&address) == ip_address_range(&again));
}

static void fuzz_query(const char *text, size_t size) {
  struct url_slice rest = {text, size}, name, value;
  char *decoded = malloc(size + 1), *encoded = malloc(3 * size + 1), *again = malloc(size + 1);
  check(decoded != NULL && encoded != NULL && again != NULL);
  while (url_query_next(&rest, &name, &value)) {
    size_t length, second;
    check(name.length + value.length <= size);
    if (url_decode_query(decoded, &length, value.data, value.length, NULL) != 0) continue;
    check(length <= value.length);
    size_t written = url_encode(encoded, decoded, length);
    check(written <= 3 * length);
    check(url_decode_query(again, &second, encoded, written, NULL) == 0);
    check(second == length && memcmp(again, decoded, length) == 0);
  }
  free(decoded);
  free(encoded);
  free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  fuzz_url(text, size);
  fuzz_address(text, size);
  fuzz_query(text, size);
  (void)address_policy_pattern_is_valid(text, size);
  return 0;
}
