/* An IP address without a port, and the range that it lies in.
 *
 * Plain values: nothing to free, usable from any thread. */
#ifndef TIDEGATE_IO_IP_ADDRESS_H
#define TIDEGATE_IO_IP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for any address as text, and the NUL. */
#define IP_ADDRESS_TEXT_MAX 46

struct ip_address {
  int family;        /* AF_INET or AF_INET6 */
  uint8_t bytes[16]; /* network order; the first four for AF_INET, the rest zero */
};

enum ip_range {
  IP_RANGE_PUBLIC,
  IP_RANGE_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7, fec0::/10, … */
  IP_RANGE_LOOPBACK,   /* 127/8, ::1, and the unspecified addresses, which reach it too */
  IP_RANGE_LINK_LOCAL, /* 169.254/16, fe80::/10 */
  IP_RANGE_SPECIAL,    /* multicast, broadcast, reserved, documentation, benchmarking */
};

/* Reads dotted-quad IPv4 or IPv6 without brackets and without a zone. `text` need not end
 * with NUL. -1 when it is neither; `address` is then unchanged. */
int ip_address_parse(struct ip_address *address, const char *text, size_t length);

/* -1 for a family other than IPv4 and IPv6; `address` is then unchanged. */
int ip_address_from_sockaddr(struct ip_address *address, const struct sockaddr *socket_address);

/* Cannot fail. */
void ip_address_format(const struct ip_address *address, char text[IP_ADDRESS_TEXT_MAX]);

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);

/* An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) lies in
 * the range of the one it carries. */
enum ip_range ip_address_range(const struct ip_address *address);

/* "private", "loopback", … for messages; static. */
const char *ip_range_name(enum ip_range range);

#endif
