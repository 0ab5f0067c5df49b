#include "io/address_policy.h"

#include <string.h>
#include <strings.h>

#include "io/url.h"

static bool is_allowed(enum address_policy policy, enum ip_range range, bool literal) {
  if (range == IP_RANGE_PUBLIC || policy == ADDRESS_POLICY_ALLOW) return true;
  return policy == ADDRESS_POLICY_LITERAL && literal && range != IP_RANGE_LINK_LOCAL;
}

int address_policy_check(enum address_policy policy, const struct ip_address *address, bool literal,
                         const char *host, struct err *err) {
  enum ip_range range = ip_address_range(address);
  if (is_allowed(policy, range, literal)) return 0;
  char text[IP_ADDRESS_TEXT_MAX];
  ip_address_format(address, text);
  return err_set(err, "address_refused",
                 "%s is at %s, a %s address, which this request may not reach "
                 "(allow_private_networks lifts this)",
                 host, text, ip_range_name(range));
}

static void strip(const char **text, size_t *length) {
  if (*length > 2 && (*text)[0] == '[' && (*text)[*length - 1] == ']') {
    *text += 1;
    *length -= 2;
  } else if (*length > 1 && (*text)[*length - 1] == '.') {
    *length -= 1;
  }
}

bool address_policy_host_matches(const char *pattern, size_t pattern_length, const char *host,
                                 size_t host_length) {
  strip(&pattern, &pattern_length);
  if (pattern_length > 2 && pattern[0] == '*' && pattern[1] == '.') {
    size_t suffix_length = pattern_length - 1; /* with its dot */
    return host_length > suffix_length &&
           strncasecmp(host + host_length - suffix_length, pattern + 1, suffix_length) == 0;
  }
  if (pattern_length == host_length && strncasecmp(pattern, host, host_length) == 0) return true;
  /* Only IPv6 has more than one spelling. */
  struct ip_address a, b;
  return memchr(pattern, ':', pattern_length) != NULL &&
         ip_address_parse(&a, pattern, pattern_length) == 0 &&
         ip_address_parse(&b, host, host_length) == 0 && ip_address_equal(&a, &b);
}

bool address_policy_pattern_is_valid(const char *pattern, size_t length) {
  bool bracketed = length > 0 && pattern[0] == '[';
  strip(&pattern, &length);
  if (bracketed || memchr(pattern, ':', length) != NULL) {
    struct ip_address address;
    return ip_address_parse(&address, pattern, length) == 0 && address.family == AF_INET6;
  }
  if (length > 2 && pattern[0] == '*' && pattern[1] == '.') {
    struct ip_address address;
    return url_host_is_valid(pattern + 2, length - 2) &&
           ip_address_parse(&address, pattern + 2, length - 2) != 0;
  }
  return url_host_is_valid(pattern, length);
}
