#include "io/tls_wire.h"

#include <string.h>

static int on_read(BIO *bio, char *bytes, size_t size, size_t *count) {
  struct tls_wire *wire = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  *count = size < wire->input_length ? size : wire->input_length;
  if (*count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  memcpy(bytes, wire->input, *count);
  wire->input += *count;
  wire->input_length -= *count;
  return 1;
}

static int on_write(BIO *bio, const char *bytes, size_t length, size_t *count) {
  struct tls_wire *wire = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (wire->records == NULL || buf_append(wire->records, bytes, length) != 0) return 0;
  *count = length;
  return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_wire_method_new(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_START | BIO_TYPE_SOURCE_SINK, "wire");
  if (method == NULL) return NULL;
  if (BIO_meth_set_read_ex(method, on_read) == 1 && BIO_meth_set_write_ex(method, on_write) == 1 &&
      BIO_meth_set_ctrl(method, on_control) == 1)
    return method;
  BIO_meth_free(method);
  return NULL;
}

BIO *tls_wire_open(const BIO_METHOD *method, struct tls_wire *wire) {
  BIO *bio = BIO_new(method);
  if (bio == NULL) return NULL;
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  return bio;
}
