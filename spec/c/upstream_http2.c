#include "upstream_http2.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PREFACE_BYTES 24
#define HEADER_BYTES 9
#define PAYLOAD_MAX 16384
#define STREAMS_MAX 64

enum frame_type {
  DATA = 0,
  HEADERS = 1,
  RST_STREAM = 3,
  SETTINGS = 4,
  PING = 6,
  WINDOW_UPDATE = 8,
};

enum { END_STREAM = 1, ACKNOWLEDGES = 1, END_HEADERS = 4 };

struct frame {
  size_t length;
  uint8_t type, flags;
  uint32_t stream;
  unsigned char payload[PAYLOAD_MAX];
};

struct session {
  struct upstream_connection *connection;
  size_t bytes[STREAMS_MAX]; /* of the bodies so far, by stream */
  bool is_over;
};

static uint32_t read_number(const unsigned char *bytes, int count) {
  uint32_t number = 0;
  for (int i = 0; i < count; i++) number = number << 8 | bytes[i];
  return number;
}

static bool read_frame(struct session *session, struct frame *frame) {
  unsigned char header[HEADER_BYTES];
  if (!upstream_receive(session->connection, header, sizeof header)) return false;
  frame->length = read_number(header, 3);
  frame->type = header[3];
  frame->flags = header[4];
  frame->stream = read_number(header + 5, 4) & 0x7fffffff;
  return frame->length <= PAYLOAD_MAX &&
         upstream_receive(session->connection, frame->payload, frame->length);
}

static void send_frame(struct session *session, enum frame_type type, int flags, uint32_t stream,
                       const void *payload, size_t length) {
  unsigned char bytes[HEADER_BYTES + 256] = {0,
                                             (unsigned char)(length >> 8),
                                             (unsigned char)length,
                                             (unsigned char)type,
                                             (unsigned char)flags,
                                             (unsigned char)(stream >> 24),
                                             (unsigned char)(stream >> 16),
                                             (unsigned char)(stream >> 8),
                                             (unsigned char)stream};
  if (length > 0) memcpy(bytes + HEADER_BYTES, payload, length);
  upstream_send(session->connection, bytes, HEADER_BYTES + length);
}

static void answer(struct session *session, uint32_t stream) {
  static const unsigned char status_200[] = {0x88}; /* of HPACK's static table */
  char body[64];
  int length = snprintf(body, sizeof body, "stream %u, %zu bytes", stream,
                        session->bytes[stream % STREAMS_MAX]);
  send_frame(session, HEADERS, END_HEADERS, stream, status_200, sizeof status_200);
  send_frame(session, DATA, END_STREAM, stream, body, (size_t)length);
}

static bool begins_with(const struct frame *frame, const char *word) {
  return frame->length >= strlen(word) && memcmp(frame->payload, word, strlen(word)) == 0;
}

/* What was taken may be sent again, on the stream and on the whole. */
static void open_windows(struct session *session, const struct frame *frame) {
  const unsigned char count[4] = {0, 0, (unsigned char)(frame->length >> 8),
                                  (unsigned char)frame->length};
  if (frame->length == 0) return;
  send_frame(session, WINDOW_UPDATE, 0, 0, count, sizeof count);
  if (frame->flags & END_STREAM) return;
  send_frame(session, WINDOW_UPDATE, 0, frame->stream, count, sizeof count);
}

static void take_data(struct session *session, const struct frame *frame) {
  static const unsigned char internal_error[] = {0, 0, 0, 2};
  open_windows(session, frame);
  session->bytes[frame->stream % STREAMS_MAX] += frame->length;
  if (begins_with(frame, "leave")) session->is_over = true;
  if (begins_with(frame, "reset"))
    send_frame(session, RST_STREAM, 0, frame->stream, internal_error, sizeof internal_error);
  if (begins_with(frame, "wait") || begins_with(frame, "leave") || begins_with(frame, "reset"))
    return;
  if (frame->flags & END_STREAM) answer(session, frame->stream);
}

static void take_frame(struct session *session, const struct frame *frame) {
  switch (frame->type) {
    case SETTINGS:
      if (!(frame->flags & ACKNOWLEDGES)) send_frame(session, SETTINGS, ACKNOWLEDGES, 0, NULL, 0);
      return;
    case PING:
      if (!(frame->flags & ACKNOWLEDGES) && frame->length == 8)
        send_frame(session, PING, ACKNOWLEDGES, 0, frame->payload, 8);
      return;
    case HEADERS:
      if (frame->flags & END_STREAM) answer(session, frame->stream);
      return;
    case DATA:
      take_data(session, frame);
      return;
    default:
      return;
  }
}

void upstream_http2_serve(struct upstream_connection *connection) {
  struct session session = {.connection = connection};
  struct frame frame;
  char preface[PREFACE_BYTES];
  if (!upstream_receive(connection, preface, sizeof preface)) return;
  send_frame(&session, SETTINGS, 0, 0, NULL, 0);
  while (!session.is_over && read_frame(&session, &frame)) take_frame(&session, &frame);
}
