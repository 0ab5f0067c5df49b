/* Addresses to listen at, as people write them: "127.0.0.1:8080", "[::1]:8080",
 * "localhost:8080" (the IPv4 loopback) and "unix:PATH". Host names are not looked up.
 *
 * Plain values: nothing to free, usable from any thread. */
#ifndef TIDEGATE_IO_ADDRESS_H
#define TIDEGATE_IO_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"

#define ADDRESS_PATH_MAX 1024
/* Room for any address as text, "unix:" and the NUL included. */
#define ADDRESS_TEXT_MAX (ADDRESS_PATH_MAX + 8)
/* Room for "[v6]:port" with a scope, and the NUL. */
#define ADDRESS_SOCKET_TEXT_MAX 72

/* An IP end point. `any.sa_family` says which member holds; AF_UNSPEC: none. */
union address_socket {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX };

struct address {
  enum address_kind kind;
  union address_socket socket; /* ADDRESS_TCP */
  char path[ADDRESS_PATH_MAX]; /* ADDRESS_UNIX, NUL-terminated */
};

/* -1 with code "invalid_input" when `text` is not an address; `address` is then unchanged. */
int address_parse(struct address *address, const char *text, struct err *err);

/* Writes the address as address_parse reads it; cut (never overrun) when `size` is too
 * small, for which ADDRESS_TEXT_MAX is enough. */
void address_format(const struct address *address, char *text, size_t size);

/* The same for an IP end point; "unix" for any other family. */
void address_format_socket(const union address_socket *socket, char *text, size_t size);

/* Bytes of the sockaddr that is in use, for bind and connect. */
socklen_t address_socket_length(const union address_socket *socket);

#endif
