#include "io/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct block {
  uint8_t prefix[16];
  uint8_t bits;
  enum ip_range range;
};

/* The registries of special-purpose addresses (RFC 6890 and its updates); first match wins. */
static const struct block v4_blocks[] = {
    {{0}, 8, IP_RANGE_LOOPBACK},           {{10}, 8, IP_RANGE_PRIVATE},
    {{100, 64}, 10, IP_RANGE_PRIVATE},     {{127}, 8, IP_RANGE_LOOPBACK},
    {{169, 254}, 16, IP_RANGE_LINK_LOCAL}, {{172, 16}, 12, IP_RANGE_PRIVATE},
    {{192, 0, 0}, 24, IP_RANGE_SPECIAL},   {{192, 0, 2}, 24, IP_RANGE_SPECIAL},
    {{192, 88, 99}, 24, IP_RANGE_SPECIAL}, {{192, 168}, 16, IP_RANGE_PRIVATE},
    {{198, 18}, 15, IP_RANGE_SPECIAL},     {{198, 51, 100}, 24, IP_RANGE_SPECIAL},
    {{203, 0, 113}, 24, IP_RANGE_SPECIAL}, {{224}, 4, IP_RANGE_SPECIAL},
    {{240}, 4, IP_RANGE_SPECIAL},
};

static const struct block v6_blocks[] = {
    {{[15] = 1}, 128, IP_RANGE_LOOPBACK},
    {{0}, 128, IP_RANGE_LOOPBACK},
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, IP_RANGE_PRIVATE},
    {{0x01, 0x00}, 64, IP_RANGE_SPECIAL},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, IP_RANGE_SPECIAL},
    {{0x3f, 0xff}, 20, IP_RANGE_SPECIAL},
    {{0x5f, 0x00}, 16, IP_RANGE_SPECIAL},
    {{0xfc}, 7, IP_RANGE_PRIVATE},
    {{0xfe, 0x80}, 10, IP_RANGE_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, IP_RANGE_PRIVATE},
    {{0xff}, 8, IP_RANGE_SPECIAL},
};

/* Where an IPv6 prefix carries an IPv4 address. */
struct carrier {
  uint8_t prefix[16];
  uint8_t bits;
  uint8_t at;     /* first byte of the IPv4 address */
  uint8_t invert; /* exclusive-or of its bytes */
};

static const struct carrier carriers[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, 12, 0}, /* mapped */
    {{[8] = 0xff, [9] = 0xff}, 96, 12, 0},   /* translated, RFC 2765 */
    {{0}, 96, 12, 0},                        /* compatible */
    {{0, 0x64, 0xff, 0x9b}, 96, 12, 0},      /* NAT64 */
    {{0x20, 0x02}, 16, 2, 0},                /* 6to4 */
    {{0x20, 0x01, 0, 0}, 32, 12, 0xff},      /* Teredo */
};

int ip_address_parse(struct ip_address *address, const char *text, size_t length) {
  char copy[IP_ADDRESS_TEXT_MAX];
  if (length == 0 || length >= sizeof copy || memchr(text, 0, length) != NULL) return -1;
  memcpy(copy, text, length);
  copy[length] = '\0';
  struct ip_address parsed = {.family = memchr(text, ':', length) != NULL ? AF_INET6 : AF_INET};
  if (inet_pton(parsed.family, copy, parsed.bytes) != 1) return -1;
  *address = parsed;
  return 0;
}

int ip_address_from_sockaddr(struct ip_address *address, const struct sockaddr *socket_address) {
  struct ip_address parsed = {.family = socket_address->sa_family};
  if (parsed.family == AF_INET) {
    struct sockaddr_in v4;
    memcpy(&v4, socket_address, sizeof v4);
    memcpy(parsed.bytes, &v4.sin_addr, 4);
  } else if (parsed.family == AF_INET6) {
    struct sockaddr_in6 v6;
    memcpy(&v6, socket_address, sizeof v6);
    memcpy(parsed.bytes, &v6.sin6_addr, 16);
  } else {
    return -1;
  }
  *address = parsed;
  return 0;
}

void ip_address_format(const struct ip_address *address, char text[IP_ADDRESS_TEXT_MAX]) {
  if (inet_ntop(address->family, address->bytes, text, IP_ADDRESS_TEXT_MAX) == NULL) text[0] = '\0';
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b) {
  return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool starts_with(const uint8_t *bytes, const uint8_t *prefix, unsigned bits) {
  if (memcmp(bytes, prefix, bits / 8) != 0) return false;
  if (bits % 8 == 0) return true;
  uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
  return (bytes[bits / 8] & mask) == (prefix[bits / 8] & mask);
}

static enum ip_range range_in(const struct block *blocks, size_t count, const uint8_t *bytes) {
  for (size_t i = 0; i < count; i++)
    if (starts_with(bytes, blocks[i].prefix, blocks[i].bits)) return blocks[i].range;
  return IP_RANGE_PUBLIC;
}

static enum ip_range v4_range(const uint8_t *bytes) {
  return range_in(v4_blocks, sizeof v4_blocks / sizeof v4_blocks[0], bytes);
}

enum ip_range ip_address_range(const struct ip_address *address) {
  if (address->family == AF_INET) return v4_range(address->bytes);
  enum ip_range range = range_in(v6_blocks, sizeof v6_blocks / sizeof v6_blocks[0], address->bytes);
  if (range != IP_RANGE_PUBLIC) return range;
  for (size_t i = 0; i < sizeof carriers / sizeof carriers[0]; i++) {
    const struct carrier *carrier = &carriers[i];
    if (!starts_with(address->bytes, carrier->prefix, carrier->bits)) continue;
    uint8_t carried[4];
    for (size_t j = 0; j < 4; j++)
      carried[j] = (uint8_t)(address->bytes[carrier->at + j] ^ carrier->invert);
    return v4_range(carried);
  }
  return IP_RANGE_PUBLIC;
}

const char *ip_range_name(enum ip_range range) {
  switch (range) {
    case IP_RANGE_PUBLIC:
      return "public";
    case IP_RANGE_PRIVATE:
      return "private";
    case IP_RANGE_LOOPBACK:
      return "loopback";
    case IP_RANGE_LINK_LOCAL:
      return "link-local";
    case IP_RANGE_SPECIAL:
      return "reserved";
  }
  return "unknown";
}
