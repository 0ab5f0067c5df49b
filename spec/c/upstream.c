#include "upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define STACK_BYTES (256 * 1024)
#define STEP_MS 5

struct upstream_connection {
  struct upstream *upstream;
  int descriptor;
  SSL *ssl;
  pthread_t thread;
  int requests;
};

struct upstream {
  struct upstream_options options;
  SSL_CTX *tls;
  int listener;
  int port;
  pthread_t acceptor;
  atomic_bool stopping;
  atomic_int connections;
  atomic_int requests;
  atomic_int resumed;
  struct upstream_connection *all[CONNECTIONS_MAX];
};

static void die(const char *what) {
  fprintf(stderr, "upstream: %s: %s\n", what, strerror(errno));
  abort();
}

static ssize_t receive(struct upstream_connection *connection, void *bytes, size_t length) {
  if (connection->ssl != NULL) return SSL_read(connection->ssl, bytes, (int)length);
  return recv(connection->descriptor, bytes, length, 0);
}

bool upstream_receive(struct upstream_connection *connection, void *bytes, size_t length) {
  size_t at = 0;
  while (at < length) {
    ssize_t count = receive(connection, (char *)bytes + at, length - at);
    if (count <= 0) return false;
    at += (size_t)count;
  }
  return true;
}

void upstream_send(struct upstream_connection *connection, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    size_t step = length < 65536 ? length : 65536;
    ssize_t sent = connection->ssl != NULL ? SSL_write(connection->ssl, at, (int)step)
                                           : send(connection->descriptor, at, step, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += sent;
    length -= (size_t)sent;
  }
}

void upstream_say(struct upstream_connection *connection, const char *text) {
  upstream_send(connection, text, strlen(text));
}

void upstream_answer(struct upstream_connection *connection, int status, const char *headers,
                     const void *body, size_t length) {
  char head[4096];
  int written = snprintf(head, sizeof head, "HTTP/1.1 %d Reason\r\n%sContent-Length: %zu\r\n\r\n",
                         status, headers, length);
  /* One write, as a server would: two make libcurl wake twice. */
  char *whole = malloc((size_t)written + length + 1);
  if (whole == NULL) die("malloc");
  memcpy(whole, head, (size_t)written);
  if (length > 0) memcpy(whole + written, body, length);
  upstream_send(connection, whole, (size_t)written + length);
  free(whole);
}

void upstream_client_name(struct upstream_connection *connection, char name[64]) {
  name[0] = '\0';
  X509 *certificate = SSL_get1_peer_certificate(connection->ssl);
  if (certificate == NULL) return;
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, 64);
  X509_free(certificate);
}

void upstream_reset(struct upstream_connection *connection) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool upstream_wait(struct upstream_connection *connection, int milliseconds) {
  for (int waited = 0; waited < milliseconds; waited += STEP_MS) {
    struct pollfd poll_descriptor = {.fd = connection->descriptor, .events = POLLIN};
    if (atomic_load(&connection->upstream->stopping)) return true;
    if (poll(&poll_descriptor, 1, STEP_MS) <= 0) continue;
    char byte;
    if (recv(connection->descriptor, &byte, 1, MSG_PEEK) <= 0) return true;
    usleep(STEP_MS * 1000);
  }
  return false;
}

static size_t header_number(const char *text, const char *name) {
  const char *at = strcasestr(text, name);
  return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* Reads one request; false at the end of the connection. */
static bool read_request(struct upstream_connection *connection, struct upstream_request *request) {
  request->length = 0;
  for (;;) {
    request->text[request->length] = '\0';
    char *end = strstr(request->text, "\r\n\r\n");
    if (end != NULL) {
      size_t head = (size_t)(end - request->text) + 4;
      size_t body = header_number(request->text, "\r\nContent-Length: ");
      request->body = request->text + head;
      request->body_length = body;
      if (request->length >= head + body) break;
    }
    if (request->length == UPSTREAM_REQUEST_MAX) return false;
    ssize_t count = receive(connection, request->text + request->length,
                            UPSTREAM_REQUEST_MAX - request->length);
    if (count <= 0) return false;
    request->length += (size_t)count;
  }
  request->number = ++connection->requests;
  return sscanf(request->text, "%31s %4095s", request->method, request->target) == 2;
}

static bool shake_hands(struct upstream_connection *connection) {
  struct upstream *upstream = connection->upstream;
  if (upstream->tls == NULL) return true;
  connection->ssl = SSL_new(upstream->tls);
  SSL_set_fd(connection->ssl, connection->descriptor);
  if (SSL_accept(connection->ssl) != 1) return false;
  if (SSL_session_reused(connection->ssl)) atomic_fetch_add(&upstream->resumed, 1);
  return true;
}

static bool has_agreed(const struct upstream_connection *connection) {
  const unsigned char *protocol = NULL;
  unsigned length = 0;
  if (connection->ssl != NULL) SSL_get0_alpn_selected(connection->ssl, &protocol, &length);
  return length > 0;
}

static void serve_requests(struct upstream_connection *connection) {
  struct upstream *upstream = connection->upstream;
  struct upstream_request *request = malloc(sizeof *request);
  if (request == NULL) die("malloc");
  while (read_request(connection, request)) {
    atomic_fetch_add(&upstream->requests, 1);
    if (!upstream->options.answer(connection, request, upstream->options.argument)) break;
  }
  free(request);
}

static void *serve(void *argument) {
  struct upstream_connection *connection = argument;
  if (shake_hands(connection)) {
    if (has_agreed(connection))
      connection->upstream->options.serve(connection);
    else
      serve_requests(connection);
  }
  if (connection->ssl != NULL) {
    SSL_shutdown(connection->ssl);
    SSL_free(connection->ssl);
    ERR_clear_error();
  }
  /* The number stays reserved until upstream_stop: it may shut the descriptor down meanwhile. */
  struct linger linger;
  socklen_t size = sizeof linger;
  getsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &linger, &size);
  if (linger.l_onoff) {
    int replacement = socket(AF_INET, SOCK_STREAM, 0);
    dup2(replacement, connection->descriptor);
    close(replacement);
  } else {
    shutdown(connection->descriptor, SHUT_RDWR);
  }
  return NULL;
}

static void accept_one(struct upstream *upstream, int descriptor) {
  int index = atomic_load(&upstream->connections);
  if (index >= CONNECTIONS_MAX) die("too many connections");
  int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct upstream_connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) die("calloc");
  connection->upstream = upstream;
  connection->descriptor = descriptor;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  upstream->all[index] = connection;
  /* Counted before it can answer; upstream_stop joins this thread first. */
  atomic_fetch_add(&upstream->connections, 1);
  if (pthread_create(&connection->thread, &attributes, serve, connection) != 0) die("thread");
  pthread_attr_destroy(&attributes);
}

static void *accept_all(void *argument) {
  struct upstream *upstream = argument;
  for (;;) {
    int descriptor = accept4(upstream->listener, NULL, NULL, SOCK_CLOEXEC);
    if (atomic_load(&upstream->stopping)) {
      if (descriptor >= 0) close(descriptor);
      return NULL;
    }
    if (descriptor < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      die("accept");
    }
    accept_one(upstream, descriptor);
  }
}

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
                           const unsigned char *offered, unsigned offered_length, void *argument) {
  const char *protocol = argument;
  size_t length = strlen(protocol);
  (void)ssl;
  for (unsigned at = 0; at < offered_length; at += offered[at] + 1u) {
    if (offered[at] != length || memcmp(offered + at + 1, protocol, length) != 0) continue;
    *chosen = offered + at + 1;
    *chosen_length = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

static void open_tls(struct upstream *upstream) {
  const struct upstream_options *options = &upstream->options;
  if (options->certificate == NULL) return;
  upstream->tls = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(upstream->tls, options->certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(upstream->tls, options->certificate, SSL_FILETYPE_PEM) != 1)
    die("certificate");
  SSL_CTX_set_session_id_context(upstream->tls, (const unsigned char *)"upstream", 8);
  if (options->protocol != NULL)
    SSL_CTX_set_alpn_select_cb(upstream->tls, choose_protocol, (void *)options->protocol);
  if (options->client_ca == NULL) return;
  if (SSL_CTX_load_verify_locations(upstream->tls, options->client_ca, NULL) != 1) die("client ca");
  SSL_CTX_set_verify(upstream->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

struct upstream *upstream_start(const struct upstream_options *options) {
  struct upstream *upstream = calloc(1, sizeof *upstream);
  if (upstream == NULL) die("calloc");
  signal(SIGPIPE, SIG_IGN);
  upstream->options = *options;
  open_tls(upstream);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  upstream->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(upstream->listener, (struct sockaddr *)&address, sizeof address) != 0) die("bind");
  if (listen(upstream->listener, 1024) != 0) die("listen");
  getsockname(upstream->listener, (struct sockaddr *)&address, &size);
  upstream->port = ntohs(address.sin_port);
  if (pthread_create(&upstream->acceptor, NULL, accept_all, upstream) != 0) die("thread");
  return upstream;
}

void upstream_stop(struct upstream *upstream) {
  if (upstream == NULL) return;
  atomic_store(&upstream->stopping, true);
  shutdown(upstream->listener, SHUT_RDWR);
  pthread_join(upstream->acceptor, NULL);
  close(upstream->listener);
  int count = atomic_load(&upstream->connections);
  for (int i = 0; i < count; i++) shutdown(upstream->all[i]->descriptor, SHUT_RDWR);
  for (int i = 0; i < count; i++) {
    pthread_join(upstream->all[i]->thread, NULL);
    close(upstream->all[i]->descriptor);
    free(upstream->all[i]);
  }
  SSL_CTX_free(upstream->tls);
  free(upstream);
}

int upstream_port(const struct upstream *upstream) {
  return upstream->port;
}

int upstream_connections(struct upstream *upstream) {
  return atomic_load(&upstream->connections);
}

int upstream_requests(struct upstream *upstream) {
  return atomic_load(&upstream->requests);
}

int upstream_resumed(struct upstream *upstream) {
  return atomic_load(&upstream->resumed);
}
