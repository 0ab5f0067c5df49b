/* Which hosts and which addresses a request may reach.
 *
 * Hosts are checked by pattern before anything is looked up; addresses after the look-up and
 * again when the socket is made. Pure functions, usable from any thread. */
#ifndef TIDEGATE_IO_ADDRESS_POLICY_H
#define TIDEGATE_IO_ADDRESS_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/ip_address.h"

enum address_policy {
  /* The default: public addresses; the others only when the URL itself names them (as a
   * literal or as `localhost`), link-local ones never. */
  ADDRESS_POLICY_LITERAL,
  ADDRESS_POLICY_ALLOW, /* all addresses */
  ADDRESS_POLICY_DENY,  /* public addresses only */
};

/* -1 with code "address_refused" when the policy forbids the address. `host` is what the URL
 * says, for the message; `literal`: it is an address literal or `localhost`. */
int address_policy_check(enum address_policy policy, const struct ip_address *address, bool literal,
                         const char *host, struct err *err);

/* Whether `host` (in lower case, no brackets, no trailing dot) is the pattern or, when that is
 * "*.suffix", any name below the suffix. Patterns are compared without regard to case and may
 * hold an IPv6 literal with or without brackets. */
bool address_policy_host_matches(const char *pattern, size_t pattern_length, const char *host,
                                 size_t host_length);

/* Whether the pattern is one: a host name or an address literal, with at most one "*.", in
 * front. */
bool address_policy_pattern_is_valid(const char *pattern, size_t length);

#endif
