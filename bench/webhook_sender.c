/* A sender of webhooks: signed events, each with an id of its own, over kept-alive connections.
 *
 *     webhook_sender PORT PATH SECRET PAYLOAD CONNECTIONS SECONDS RATE RUN
 *
 * POSTs the JSON file PAYLOAD to 127.0.0.1 with its "id" replaced and its HMAC-SHA256 in
 * X-Signature (hexadecimal). RATE 0: each connection sends the next event as soon as the last one
 * is acknowledged. Otherwise RATE events a second fall due, whatever the service does; the time
 * until the acknowledgement counts from then. RUN (a number) keeps the ids of one run apart from
 * those of another. Everything that is not answered with 200 is a failure. Prints
 *
 *     operations=… failed=… duration_us=… p50_us=… p99_us=… max_us=… unsent=…
 *
 * Built by bench/run: cc -O2 bench/webhook_sender.c -lcrypto */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define BODY_MAX 65536
#define HEAD_MAX 1024
#define ANSWER_MAX 8192
#define LATENCY_MAX_US 2000000
#define PAUSE_NS 250000             /* the shortest sleep between events that fall due */
#define LAST_ANSWERS_NS 10000000000 /* how long the last answers are waited for */
#define ID_LENGTH 26                /* what is replaced: the end of "evt_01HZ…" */
#define SIGNATURE_BYTES 32

struct connection {
  int socket;
  bool waiting; /* for an answer */
  uint64_t due_ns;
  size_t received;
  char answer[ANSWER_MAX];
};

struct sender {
  struct connection connections[CONNECTIONS_MAX];
  struct connection *idle[CONNECTIONS_MAX];
  size_t connection_count, idle_count;
  int epoll;
  uint64_t start_ns, end_ns, due_every_ns; /* due_every_ns 0: as fast as it is answered */
  uint64_t sent, acknowledged, failed, run;
  EVP_MAC_CTX *mac;
  size_t head_length, body_length, signature_at;
  char request[HEAD_MAX + BODY_MAX];
  char *id; /* in the request */
  uint32_t latencies[LATENCY_MAX_US + 1];
};

static void fail(const char *what) {
  fprintf(stderr, "webhook_sender: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* The event -------------------------------------------------------------------------------- */

/* Splitmix64: different numbers give different ones, scattered as the ids of real senders are. */
static uint64_t scatter(uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

static void write_id(char *id, uint64_t number) {
  static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  uint64_t high = scatter(number), low = scatter(high);
  for (int i = 0; i < ID_LENGTH / 2; i++) {
    id[i] = digits[(high >> (5 * i)) & 31];
    id[ID_LENGTH / 2 + i] = digits[(low >> (5 * i)) & 31];
  }
}

static void write_hex(char *text, const unsigned char *bytes, size_t length) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < length; i++) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
}

/* The request for the next event: only its id and its signature differ from the last one's. */
static void write_event(struct sender *sender) {
  unsigned char signature[SIGNATURE_BYTES];
  size_t length = 0;
  write_id(sender->id, sender->run << 40 | sender->sent);
  if (EVP_MAC_init(sender->mac, NULL, 0, NULL) != 1 ||
      EVP_MAC_update(sender->mac, (unsigned char *)sender->request + sender->head_length,
                     sender->body_length) != 1 ||
      EVP_MAC_final(sender->mac, signature, &length, sizeof signature) != 1)
    fail("HMAC");
  write_hex(sender->request + sender->signature_at, signature, sizeof signature);
}

static void open_mac(struct sender *sender, const char *secret) {
  char digest[] = "SHA256";
  OSSL_PARAM options[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                          OSSL_PARAM_construct_end()};
  EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
  sender->mac = EVP_MAC_CTX_new(algorithm);
  EVP_MAC_free(algorithm);
  if (sender->mac == NULL ||
      EVP_MAC_init(sender->mac, (const unsigned char *)secret, strlen(secret), options) != 1)
    fail("HMAC");
}

static size_t read_payload(const char *path, char *body) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path);
  size_t length = fread(body, 1, BODY_MAX, file);
  fclose(file);
  return length;
}

static void prepare_request(struct sender *sender, const char *path, const char *payload) {
  static char body[BODY_MAX];
  static const char id_member[] = "\"id\":\"evt_";
  sender->body_length = read_payload(payload, body);
  int length = snprintf(sender->request, HEAD_MAX,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                        "User-Agent: webhook_sender\r\nContent-Length: %zu\r\nX-Signature: %0*d"
                        "\r\n\r\n",
                        path, sender->body_length, 2 * SIGNATURE_BYTES, 0);
  if (length < 0 || length >= HEAD_MAX) fail("the path is too long");
  sender->head_length = (size_t)length;
  sender->signature_at = sender->head_length - 4 - (size_t)(2 * SIGNATURE_BYTES);
  memcpy(sender->request + length, body, sender->body_length);
  sender->id = memmem(sender->request, sender->head_length + sender->body_length, id_member,
                      sizeof id_member - 1);
  if (sender->id == NULL) fail("the payload has no member \"id\":\"evt_…\"");
  sender->id += sizeof id_member - 1;
}

/* Sending ---------------------------------------------------------------------------------- */

static void open_connection(struct sender *sender, struct connection *connection, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  int on = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection->socket < 0 ||
      connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0)
    fail("connect");
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fcntl(connection->socket, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
  if (epoll_ctl(sender->epoll, EPOLL_CTL_ADD, connection->socket, &event) != 0) fail("epoll");
  sender->idle[sender->idle_count++] = connection;
}

/* One event on an idle connection; it fits into the socket's buffer. */
static void send_event(struct sender *sender, uint64_t due_ns) {
  struct connection *connection = sender->idle[--sender->idle_count];
  write_event(sender);
  size_t length = sender->head_length + sender->body_length;
  if (write(connection->socket, sender->request, length) != (ssize_t)length) fail("write");
  sender->sent++;
  connection->waiting = true;
  connection->due_ns = due_ns;
  connection->received = 0;
}

static uint64_t due_count(const struct sender *sender, uint64_t present) {
  uint64_t until = present < sender->end_ns ? present : sender->end_ns - 1;
  return (until - sender->start_ns) / sender->due_every_ns;
}

static void send_due(struct sender *sender, uint64_t present) {
  if (sender->due_every_ns == 0) {
    while (sender->idle_count > 0 && present < sender->end_ns) send_event(sender, now_ns());
    return;
  }
  uint64_t due = due_count(sender, present);
  while (sender->idle_count > 0 && sender->sent < due)
    send_event(sender, sender->start_ns + (sender->sent + 1) * sender->due_every_ns);
}

static void count_answer(struct sender *sender, struct connection *connection, bool good) {
  uint64_t us = (now_ns() - connection->due_ns) / 1000;
  sender->latencies[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
  if (good) sender->acknowledged++;
  if (!good && sender->failed++ == 0)
    fprintf(stderr, "webhook_sender: the first failure: %s\n", connection->answer);
  connection->waiting = false;
  sender->idle[sender->idle_count++] = connection;
}

/* Whether the answer is there whole. */
static bool is_complete(const struct connection *connection) {
  const char *end = strstr(connection->answer, "\r\n\r\n");
  if (end == NULL) return false;
  const char *length = strcasestr(connection->answer, "\r\ncontent-length:");
  if (length == NULL || length > end) return true;
  size_t head = (size_t)(end - connection->answer) + 4;
  return connection->received >= head + strtoul(length + 17, NULL, 10);
}

static void receive(struct sender *sender, struct connection *connection) {
  size_t room = ANSWER_MAX - 1 - connection->received;
  ssize_t count = read(connection->socket, connection->answer + connection->received, room);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) fail("read");
  if (count == 0 || !connection->waiting) {
    errno = ECONNRESET;
    fail("the service closed a connection");
  }
  connection->received += (size_t)count;
  connection->answer[connection->received] = '\0';
  if (is_complete(connection))
    count_answer(sender, connection, strncmp(connection->answer, "HTTP/1.1 200 ", 13) == 0);
}

static void wait_for_events(struct sender *sender) {
  struct epoll_event events[CONNECTIONS_MAX];
  struct timespec pause = {.tv_nsec = PAUSE_NS};
  bool is_open = sender->due_every_ns > 0 && sender->idle_count > 0;
  if (!is_open) pause = (struct timespec){.tv_nsec = 100000000};
  int count = epoll_pwait2(sender->epoll, events, CONNECTIONS_MAX, &pause, NULL);
  if (count < 0 && errno != EINTR) fail("epoll");
  for (int i = 0; i < count; i++) receive(sender, events[i].data.ptr);
}

static void run(struct sender *sender, double seconds, double rate) {
  sender->start_ns = now_ns();
  sender->end_ns = sender->start_ns + (uint64_t)(seconds * 1e9);
  sender->due_every_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
  uint64_t present = sender->start_ns;
  while (present < sender->end_ns || (sender->idle_count < sender->connection_count &&
                                      present < sender->end_ns + LAST_ANSWERS_NS)) {
    send_due(sender, present);
    wait_for_events(sender);
    present = now_ns();
  }
}

/* The result ------------------------------------------------------------------------------- */

static unsigned percentile(const struct sender *sender, double part) {
  uint64_t wanted = (uint64_t)((double)(sender->acknowledged + sender->failed) * part), seen = 0;
  for (unsigned us = 0; us < LATENCY_MAX_US; us++) {
    seen += sender->latencies[us];
    if (seen > wanted) return us;
  }
  return LATENCY_MAX_US;
}

static unsigned slowest(const struct sender *sender) {
  unsigned us = LATENCY_MAX_US;
  while (us > 0 && sender->latencies[us] == 0) us--;
  return us;
}

static void report(const struct sender *sender) {
  uint64_t due = sender->due_every_ns > 0 ? due_count(sender, sender->end_ns) : sender->sent;
  uint64_t unanswered = sender->sent - sender->acknowledged - sender->failed;
  printf("operations=%llu failed=%llu duration_us=%llu p50_us=%u p99_us=%u max_us=%u unsent=%llu\n",
         (unsigned long long)sender->acknowledged,
         (unsigned long long)(sender->failed + unanswered),
         (unsigned long long)((sender->end_ns - sender->start_ns) / 1000), percentile(sender, 0.5),
         percentile(sender, 0.99), slowest(sender), (unsigned long long)(due - sender->sent));
}

int main(int argc, char **argv) {
  static struct sender sender;
  if (argc != 9) {
    fprintf(stderr,
            "usage: webhook_sender PORT PATH SECRET PAYLOAD CONNECTIONS SECONDS RATE RUN\n");
    return 2;
  }
  sender.connection_count = strtoul(argv[5], NULL, 10);
  if (sender.connection_count < 1 || sender.connection_count > CONNECTIONS_MAX) {
    fprintf(stderr, "webhook_sender: between 1 and %d connections\n", CONNECTIONS_MAX);
    return 2;
  }
  sender.run = strtoull(argv[8], NULL, 10);
  open_mac(&sender, argv[3]);
  prepare_request(&sender, argv[2], argv[4]);
  sender.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (sender.epoll < 0) fail("epoll");
  for (size_t i = 0; i < sender.connection_count; i++)
    open_connection(&sender, &sender.connections[i], (int)strtol(argv[1], NULL, 10));
  run(&sender, strtod(argv[6], NULL), strtod(argv[7], NULL));
  report(&sender);
  return 0;
}
