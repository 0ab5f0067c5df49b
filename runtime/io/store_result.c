#include "io/store_result.h"

#include <string.h>

/* A cell is one byte of type, then 8 bytes of number, or 4 of length and the bytes. */
#define CELL_HEAD_MAX 9

void store_result_init(struct store_result *result) {
  *result = (struct store_result){0};
  buf_init(&result->cells, STORE_RESULT_BYTES_MAX);
}

void store_result_deinit(struct store_result *result) {
  buf_deinit(&result->cells);
  store_result_init(result);
}

static int add_number(struct store_result *result, const struct store_value *value) {
  char head[CELL_HEAD_MAX] = {(char)value->type};
  if (value->type == STORE_FLOAT)
    memcpy(head + 1, &value->real, sizeof value->real);
  else
    memcpy(head + 1, &value->integer, sizeof value->integer);
  return buf_append(&result->cells, head, sizeof head);
}

static int add_bytes(struct store_result *result, const struct store_value *value) {
  if (value->bytes.length > STORE_RESULT_BYTES_MAX) return -1;
  uint32_t length = (uint32_t)value->bytes.length;
  char head[1 + sizeof length] = {(char)value->type};
  memcpy(head + 1, &length, sizeof length);
  if (buf_reserve(&result->cells, sizeof head + length) != 0) return -1;
  if (buf_append(&result->cells, head, sizeof head) != 0) return -1;
  return buf_append(&result->cells, value->bytes.data, length);
}

int store_result_add(struct store_result *result, const struct store_value *value) {
  switch (value->type) {
    case STORE_NULL:
      return buf_append(&result->cells, &(char){STORE_NULL}, 1);
    case STORE_BOOLEAN:
    case STORE_INTEGER:
    case STORE_FLOAT:
      return add_number(result, value);
    case STORE_TEXT:
    case STORE_BLOB:
      return add_bytes(result, value);
  }
  return -1;
}

void store_cursor_init(struct store_cursor *cursor, const struct store_result *result) {
  cursor->at = result->cells.data;
  cursor->end = cursor->at ? cursor->at + result->cells.length : cursor->at;
}

static void take_bytes(struct store_cursor *cursor, struct store_value *value) {
  uint32_t length;
  memcpy(&length, cursor->at, sizeof length);
  cursor->at += sizeof length;
  value->bytes.data = cursor->at;
  value->bytes.length = length;
  cursor->at += length;
}

bool store_cursor_next(struct store_cursor *cursor, struct store_value *value) {
  if (cursor->at == cursor->end) return false;
  value->type = (enum store_type) * cursor->at++;
  if (value->type == STORE_NULL) return true;
  if (value->type == STORE_TEXT || value->type == STORE_BLOB) {
    take_bytes(cursor, value);
    return true;
  }
  if (value->type == STORE_FLOAT)
    memcpy(&value->real, cursor->at, sizeof value->real);
  else
    memcpy(&value->integer, cursor->at, sizeof value->integer);
  cursor->at += sizeof value->integer;
  return true;
}
