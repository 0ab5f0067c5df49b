#include "io/ip_network.h"

#include <string.h>

#define MAPPED_BYTES 12

static unsigned bits_of(const struct ip_address *address) {
  return address->family == AF_INET ? 32 : 128;
}

/* Digits alone: no sign, no white space. -1 when there are none, or too many. */
static int parse_bits(const char *text, size_t length) {
  int bits = 0;
  if (length == 0 || length > 3) return -1;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    bits = bits * 10 + (text[i] - '0');
  }
  return bits;
}

int ip_network_parse(struct ip_network *network, const char *text, size_t length) {
  struct ip_network result;
  const char *slash = memchr(text, '/', length);
  size_t address_length = slash == NULL ? length : (size_t)(slash - text);
  if (ip_address_parse(&result.address, text, address_length) != 0) return -1;
  result.prefix = bits_of(&result.address);
  if (slash != NULL) {
    int bits = parse_bits(slash + 1, length - address_length - 1);
    if (bits < 0 || (unsigned)bits > result.prefix) return -1;
    result.prefix = (unsigned)bits;
  }
  *network = result;
  return 0;
}

static struct ip_address unmapped(const struct ip_address *address) {
  static const uint8_t prefix[MAPPED_BYTES] = {[10] = 0xff, [11] = 0xff};
  if (address->family != AF_INET6 || memcmp(address->bytes, prefix, sizeof prefix) != 0)
    return *address;
  struct ip_address plain = {.family = AF_INET};
  memcpy(plain.bytes, address->bytes + MAPPED_BYTES, 4);
  return plain;
}

bool ip_network_contains(const struct ip_network *network, const struct ip_address *address) {
  struct ip_address plain = unmapped(address);
  if (plain.family != network->address.family) return false;
  unsigned whole = network->prefix / 8;
  unsigned rest = network->prefix % 8;
  if (memcmp(plain.bytes, network->address.bytes, whole) != 0) return false;
  if (rest == 0) return true;
  uint8_t mask = (uint8_t)(0xff << (8 - rest));
  return (plain.bytes[whole] & mask) == (network->address.bytes[whole] & mask);
}
