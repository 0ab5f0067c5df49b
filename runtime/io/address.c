#include "io/address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define UNIX_PREFIX_LENGTH (sizeof UNIX_PREFIX - 1)
#define PORT_MAX 65535

static int refuse(struct err *err, const char *text, const char *why) {
  return err_set(err, "invalid_input",
                 "address \"%.100s\": %s; write HOST:PORT, [IPV6]:PORT or unix:PATH", text, why);
}

static int parse_unix(struct address *address, const char *text, struct err *err) {
  const char *path = text + UNIX_PREFIX_LENGTH;
  size_t length = strlen(path);
  if (length == 0) return refuse(err, text, "the path is empty");
  if (path[length - 1] == '/') return refuse(err, text, "the path is a folder");
  if (length >= ADDRESS_PATH_MAX) return refuse(err, text, "the path is too long");
  *address = (struct address){.kind = ADDRESS_UNIX};
  memcpy(address->path, path, length + 1);
  return 0;
}

/* Digits only: no sign, no white space, no more than fits. */
static bool parse_port(const char *text, in_port_t *port) {
  unsigned value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (unsigned)(*text - '0');
    if (value > PORT_MAX) return false;
  }
  *port = htons((in_port_t)value);
  return true;
}

static bool parse_host(const char *host, bool bracketed, in_port_t port,
                       union address_socket *socket) {
  *socket = (union address_socket){0};
  if (bracketed) {
    socket->v6.sin6_family = AF_INET6;
    socket->v6.sin6_port = port;
    return inet_pton(AF_INET6, host, &socket->v6.sin6_addr) == 1;
  }
  socket->v4.sin_family = AF_INET;
  socket->v4.sin_port = port;
  if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
  return inet_pton(AF_INET, host, &socket->v4.sin_addr) == 1;
}

static int parse_tcp(struct address *address, const char *text, struct err *err) {
  const char *colon = strrchr(text, ':');
  in_port_t port = 0;
  if (colon == NULL) return refuse(err, text, "the port is missing");
  if (!parse_port(colon + 1, &port)) return refuse(err, text, "the port is not 0 to 65535");

  size_t length = (size_t)(colon - text);
  bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
  char host[INET6_ADDRSTRLEN];
  const char *start = bracketed ? text + 1 : text;
  if (bracketed) length -= 2;
  if (length >= sizeof host) return refuse(err, text, "the host is not an IP address");
  memcpy(host, start, length);
  host[length] = '\0';

  union address_socket socket;
  if (!parse_host(host, bracketed, port, &socket))
    return refuse(err, text, "the host is not an IP address");
  *address = (struct address){.kind = ADDRESS_TCP, .socket = socket};
  return 0;
}

int address_parse(struct address *address, const char *text, struct err *err) {
  if (strncmp(text, UNIX_PREFIX, UNIX_PREFIX_LENGTH) == 0) return parse_unix(address, text, err);
  return parse_tcp(address, text, err);
}

void address_format(const struct address *address, char *text, size_t size) {
  if (address->kind == ADDRESS_TCP) {
    address_format_socket(&address->socket, text, size);
    return;
  }
  snprintf(text, size, UNIX_PREFIX "%s", address->path);
}

void address_format_socket(const union address_socket *socket, char *text, size_t size) {
  char host[INET6_ADDRSTRLEN] = "";
  if (socket->any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &socket->v4.sin_addr, host, sizeof host);
    snprintf(text, size, "%s:%u", host, ntohs(socket->v4.sin_port));
    return;
  }
  if (socket->any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &socket->v6.sin6_addr, host, sizeof host);
    snprintf(text, size, "[%s]:%u", host, ntohs(socket->v6.sin6_port));
    return;
  }
  snprintf(text, size, "unix");
}

socklen_t address_socket_length(const union address_socket *socket) {
  return socket->any.sa_family == AF_INET6 ? sizeof socket->v6 : sizeof socket->v4;
}
