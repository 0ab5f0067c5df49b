#include "name_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 512
#define DELAYED_MAX 64
#define TYPE_A 1
#define STEP_MS 5

struct packet {
  uint8_t bytes[PACKET_MAX];
  size_t length;
  struct sockaddr_in from;
  long due_ms; /* 0: free */
};

struct name_server {
  int descriptor;
  pthread_t thread;
  atomic_bool stopping;
  atomic_int questions;
  char address[32];
  struct packet delayed[DELAYED_MAX];
};

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

/* The first label, NUL-terminated; returns where the question ends, 0 when it is malformed. */
static size_t read_question(const struct packet *packet, char label[64], unsigned *type) {
  size_t at = 12;
  if (packet->length < 17 || packet->bytes[at] > 63) return 0;
  memcpy(label, packet->bytes + at + 1, packet->bytes[at]);
  label[packet->bytes[at]] = '\0';
  while (at < packet->length && packet->bytes[at] != 0) at += packet->bytes[at] + 1u;
  if (at + 5 > packet->length) return 0;
  *type = packet->bytes[at + 1] * 256u + packet->bytes[at + 2];
  return at + 5;
}

static void add_answer(struct packet *packet, const char *address) {
  static const uint8_t head[] = {0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4};
  memcpy(packet->bytes + packet->length, head, sizeof head);
  inet_pton(AF_INET, address, packet->bytes + packet->length + sizeof head);
  packet->length += sizeof head + 4;
  packet->bytes[7]++;
}

/* Turns the question into its answer. */
static void answer(struct packet *packet, const char *label, unsigned type, size_t end) {
  packet->length = end;
  packet->bytes[2] = 0x81;
  packet->bytes[3] = 0x80;
  memset(packet->bytes + 6, 0, 6);
  if (strcmp(label, "fail") == 0) packet->bytes[3] |= 2;
  if (strcmp(label, "missing") == 0) packet->bytes[3] |= 3;
  if ((packet->bytes[3] & 0x0f) != 0 || type != TYPE_A) return;
  if (strcmp(label, "dead") == 0) {
    add_answer(packet, "127.0.0.2");
    return;
  }
  bool is_mixed = strcmp(label, "mixed") == 0;
  if (is_mixed || strcmp(label, "private") == 0) add_answer(packet, "10.0.0.1");
  if (is_mixed || strcmp(label, "private") != 0) add_answer(packet, "127.0.0.1");
}

static void reply(struct name_server *server, struct packet *packet) {
  sendto(server->descriptor, packet->bytes, packet->length, 0, (struct sockaddr *)&packet->from,
         sizeof packet->from);
  packet->due_ms = 0;
}

static void take(struct name_server *server, struct packet *packet) {
  char label[64];
  unsigned type = 0;
  size_t end = read_question(packet, label, &type);
  if (end == 0) return;
  if (type == TYPE_A) atomic_fetch_add(&server->questions, 1);
  if (strcmp(label, "silent") == 0) return;
  answer(packet, label, type, end);
  if (strncmp(label, "slow", 4) != 0) {
    reply(server, packet);
    return;
  }
  for (size_t i = 0; i < DELAYED_MAX; i++) {
    if (server->delayed[i].due_ms != 0) continue;
    server->delayed[i] = *packet;
    server->delayed[i].due_ms = now_ms() + strtol(label + 4, NULL, 10);
    return;
  }
}

static void *serve(void *argument) {
  struct name_server *server = argument;
  while (!atomic_load(&server->stopping)) {
    struct pollfd poll_descriptor = {.fd = server->descriptor, .events = POLLIN};
    if (poll(&poll_descriptor, 1, STEP_MS) > 0) {
      struct packet packet = {.due_ms = 0};
      socklen_t size = sizeof packet.from;
      ssize_t length = recvfrom(server->descriptor, packet.bytes, sizeof packet.bytes, 0,
                                (struct sockaddr *)&packet.from, &size);
      packet.length = length > 0 ? (size_t)length : 0;
      take(server, &packet);
    }
    for (size_t i = 0; i < DELAYED_MAX; i++)
      if (server->delayed[i].due_ms != 0 && server->delayed[i].due_ms <= now_ms())
        reply(server, &server->delayed[i]);
  }
  return NULL;
}

struct name_server *name_server_start(void) {
  struct name_server *server = calloc(1, sizeof *server);
  if (server == NULL) abort();
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  server->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (bind(server->descriptor, (struct sockaddr *)&address, sizeof address) != 0) abort();
  getsockname(server->descriptor, (struct sockaddr *)&address, &size);
  snprintf(server->address, sizeof server->address, "127.0.0.1:%d", ntohs(address.sin_port));
  if (pthread_create(&server->thread, NULL, serve, server) != 0) abort();
  return server;
}

void name_server_stop(struct name_server *server) {
  if (server == NULL) return;
  atomic_store(&server->stopping, true);
  pthread_join(server->thread, NULL);
  close(server->descriptor);
  free(server);
}

const char *name_server_address(const struct name_server *server) {
  return server->address;
}

int name_server_questions(struct name_server *server) {
  return atomic_load(&server->questions);
}
