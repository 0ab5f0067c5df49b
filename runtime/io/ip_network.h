/* A network of IP addresses: "10.0.0.0/8", "2001:db8::/32", or a single address. Plain values. */
#ifndef TIDEGATE_IO_IP_NETWORK_H
#define TIDEGATE_IO_IP_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "io/ip_address.h"

struct ip_network {
  struct ip_address address;
  unsigned prefix; /* bits that count: up to 32 or 128 */
};

/* Reads an address with or without "/bits". -1 when it is neither, or has too many bits; `network`
 * is then unchanged. */
int ip_network_parse(struct ip_network *network, const char *text, size_t length);

/* An IPv4 address that came as IPv6 (::ffff:a.b.c.d) lies in the IPv4 networks that hold it. */
bool ip_network_contains(const struct ip_network *network, const struct ip_address *address);

#endif
