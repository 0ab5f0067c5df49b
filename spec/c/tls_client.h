/* A client of TLS on a raw socket, which can stop in the middle of anything. For specs. */
#ifndef TIDEGATE_SPEC_TLS_CLIENT_H
#define TIDEGATE_SPEC_TLS_CLIENT_H

#include <openssl/ssl.h>

#include "server_rig.h"

struct tls_client_options {
  const char *authority; /* PEM file that is trusted; NULL: the server is not verified */
  int version;           /* TLS1_2_VERSION and so on, the only one; 0: any */
  const char *protocol;  /* of ALPN; NULL: none */
  SSL_SESSION *session;  /* to resume; NULL: none */
};

struct tls_client {
  struct server_rig *rig;
  int descriptor;
  SSL_CTX *context;
  SSL *ssl;
  BIO *incoming, *outgoing; /* bytes of the wire; of `ssl` */
  size_t step;              /* bytes that are sent at a time; 0: all */
  bool ended;               /* the server has ended its side of the socket */
  SSL_SESSION *session;     /* the last that the server gave */
};

/* Connected, nothing sent. Aborts the test when it cannot. */
void tls_client_open(struct tls_client *client, struct server_rig *rig,
                     const struct tls_client_options *options);
/* Without a word to the server, unless tls_client_end came before. */
void tls_client_close(struct tls_client *client);

/* Sends what waits and reads what is there, with one turn of the server's loop. */
void tls_client_pump(struct tls_client *client);
/* False: the server, or the client, would not. */
bool tls_client_shake_hands(struct tls_client *client);
/* All of it, with turns of the loop in between. */
void tls_client_send(struct tls_client *client, const char *bytes, size_t length);
void tls_client_send_text(struct tls_client *client, const char *text);
/* Reads until `length` bytes are there, or the server has ended; how many. */
size_t tls_client_read(struct tls_client *client, char *bytes, size_t length);
/* Says that it sends no more. */
void tls_client_end(struct tls_client *client);
/* Turns the loop until the server has ended its side. */
void tls_client_await_end(struct tls_client *client);

#endif
