#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/http_operation.h"

/* Bytes that libcurl reads at a time; one buffer for each transfer under way. */
#define RECEIVE_BUFFER_BYTES 16384L
/* Parsing the bundle takes 20 to 30 ms of the loop's time; the parsed one is kept this long. */
#define CA_CACHE_SECONDS 86400L
/* Our own timer is the promise; libcurl's comes after it, should ours ever be lost. */
#define BACKSTOP_MS 5000
/* A length that is only announced is not worth more memory than this. */
#define RESERVED_BODY_MAX (1024 * 1024)

/* --- errors ------------------------------------------------------------------------------- */

static int origin_length(const struct http_operation *operation) {
  const char *url = http_lines_url(&operation->lines);
  const char *slash = strchr(url + strlen("https://"), '/');
  return slash != NULL ? (int)(slash - url) : (int)strlen(url);
}

/* The first error is the cause; what follows is libcurl's reaction to it. */
int http_operation_fail(struct http_operation *operation, const struct err *err) {
  if (!operation->has_failed) operation->err = *err;
  operation->has_failed = true;
  return -1;
}

static int fail_naming_origin(struct http_operation *operation, const struct err *err) {
  struct err named;
  err_set(&named, err->code, "%.*s: %s", origin_length(operation),
          http_lines_url(&operation->lines), err->message);
  return http_operation_fail(operation, &named);
}

/* --- what libcurl says -------------------------------------------------------------------- */

static int check_address(struct http_operation *operation, const struct ip_address *address) {
  struct err err;
  if (address_policy_check(operation->policy, address, operation->is_literal, operation->host,
                           &err) == 0)
    return 0;
  return http_operation_fail(operation, &err);
}

static curl_socket_t on_open_socket(void *argument, curlsocktype purpose,
                                    struct curl_sockaddr *socket_address) {
  struct http_operation *operation = argument;
  struct ip_address address;
  (void)purpose;
  if (operation->unix_path.folder >= 0)
    return curl_loop_open_socket(operation->client->curl_loop, socket_address, false);
  if (ip_address_from_sockaddr(&address, &socket_address->addr) != 0) return CURL_SOCKET_BAD;
  if (check_address(operation, &address) != 0) return CURL_SOCKET_BAD;
  return curl_loop_open_socket(operation->client->curl_loop, socket_address, operation->http2);
}

/* Called when there is a connection, new or kept alive, and nothing was sent yet. A connection
 * that another request opened under a looser policy is no way round this one's. */
static int on_connected(void *argument, char *remote_address, char *local_address, int remote_port,
                        int local_port) {
  struct http_operation *operation = argument;
  struct ip_address address;
  (void)local_address, (void)remote_port;
  if (operation->policy != ADDRESS_POLICY_ALLOW && operation->unix_path.folder < 0) {
    if (ip_address_parse(&address, remote_address, strlen(remote_address)) != 0 ||
        check_address(operation, &address) != 0)
      return CURL_PREREQFUNC_ABORT;
  }
  if (operation->unix_path.folder < 0 &&
      curl_loop_is_spoilt(operation->client->curl_loop, local_port)) {
    operation->is_spoilt = true;
    return CURL_PREREQFUNC_ABORT;
  }
  operation->sent = true;
  operation->phase = HTTP_SENT;
  return CURL_PREREQFUNC_OK;
}

static int check_coding(struct http_operation *operation, struct err *err) {
  const struct http_response *response = &operation->response;
  if (response->coding != CONTENT_UNKNOWN || operation->lines.asks_for_encoding) return 0;
  return err_set(err, "malformed_response",
                 "the response has a Content-Encoding that was not asked for");
}

/* The head is complete: what it says about the body. */
static int prepare_body(struct http_operation *operation, struct err *err) {
  const struct http_response *response = &operation->response;
  if (!operation->expects_body || response->status == 204 || response->status == 304) return 0;
  if (check_coding(operation, err) != 0) return -1;
  content_decoder_init(&operation->decoder, response->coding);
  if (!response->has_length || response->coding != CONTENT_IDENTITY) return 0;
  if (response->length > operation->body.ceiling)
    return err_set(err, "too_large", "the response is larger than %zu bytes (max_response_bytes)",
                   operation->body.ceiling);
  size_t reserved = response->length < RESERVED_BODY_MAX ? response->length : RESERVED_BODY_MAX;
  if (buf_reserve(&operation->body, reserved) != 0)
    return err_set(err, "out_of_memory", "the response does not fit into memory");
  return 0;
}

static size_t on_head_line(char *line, size_t size, size_t count, void *argument) {
  struct http_operation *operation = argument;
  struct http_response *response = &operation->response;
  struct err err;
  size_t length = size * count;
  if (response->bytes == 0)
    operation->timings.first_byte = (double)(clock_real_monotonic_ns() - operation->began_ns) / 1e6;
  bool was_complete = response->is_complete;
  if (http_response_take_line(response, line, length, &err) != 0 ||
      (response->is_complete && !was_complete && prepare_body(operation, &err) != 0)) {
    fail_naming_origin(operation, &err);
    return 0;
  }
  return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *argument) {
  struct http_operation *operation = argument;
  struct err err;
  size_t length = size * count;
  if (content_decoder_write(&operation->decoder, bytes, length, &operation->body, &err) == 0)
    return length;
  fail_naming_origin(operation, &err);
  return 0;
}

/* --- what libcurl is told ----------------------------------------------------------------- */

CURL *http_transfer_handle_new(struct http_operation *operation) {
  CURL *easy = operation->easy;
  if (easy == NULL) easy = curl_easy_init();
  if (easy == NULL) return NULL;
  const struct http_client *client = operation->client;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, operation);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, operation->curl_message);
  curl_easy_setopt(easy, CURLOPT_SHARE, client->share);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, operation);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, curl_loop_close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client->curl_loop);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, operation);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, operation);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, operation);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca);
  curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);
  return easy;
}

static void set_method(CURL *easy, const struct http_request *request) {
  const char *method = request->method;
  bool is_post = strcmp(method, "POST") == 0;
  bool sends_length = is_post || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
  if (strcmp(method, "HEAD") == 0) {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  if (request->body == NULL && !sends_length) {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, strcmp(method, "GET") == 0 ? NULL : method);
    return;
  }
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, is_post ? NULL : method);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
}

static int set_blob(CURL *easy, CURLoption option, const char *data, size_t length) {
  struct curl_blob blob = {.data = (void *)data, .len = length, .flags = CURL_BLOB_COPY};
  return curl_easy_setopt(easy, option, &blob) == CURLE_OK ? 0 : -1;
}

/* Certificate and key as one text, given for both: libcurl compares certificates, not keys, before
 * it reuses a connection, and who knows only a certificate is not its owner. */
static int set_identity(CURL *easy, const struct http_pem *certificate,
                        const struct http_pem *key) {
  struct buf both;
  buf_init(&both, 2 * HTTP_REQUEST_PEM_MAX + 1);
  int status = buf_reserve(&both, certificate->length + 1 + key->length);
  if (status == 0) status = buf_append(&both, certificate->data, certificate->length);
  if (status == 0) status = buf_append(&both, "\n", 1);
  if (status == 0) status = buf_append(&both, key->data, key->length);
  if (status == 0) status = set_blob(easy, CURLOPT_SSLCERT_BLOB, both.data, both.length);
  if (status == 0) status = set_blob(easy, CURLOPT_SSLKEY_BLOB, both.data, both.length);
  if (both.data != NULL) explicit_bzero(both.data, both.capacity);
  buf_deinit(&both);
  return status;
}

static int set_tls(struct http_operation *operation, const struct http_request *request) {
  const struct http_pem *certificate = &request->certificate, *ca = &request->ca;
  if (certificate->data == NULL && ca->data == NULL) return 0;
  operation->is_customised = true;
  if (certificate->data != NULL && set_identity(operation->easy, certificate, &request->key) != 0)
    return -1;
  if (ca->data == NULL) return 0;
  return set_blob(operation->easy, CURLOPT_CAINFO_BLOB, ca->data, ca->length);
}

/* A connection of its own: libcurl would look for one to reuse by a path that names a descriptor
 * and may mean another socket by then. */
static int set_unix_socket(struct http_operation *operation, const struct http_request *request) {
  if (request->unix_socket == NULL) return 0;
  CURL *easy = operation->easy;
  operation->is_customised = true;
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, operation->unix_path.text) == CURLE_OK
             ? 0
             : -1;
}

int http_transfer_configure(struct http_operation *operation, const struct http_request *request) {
  CURL *easy = operation->easy;
  if (operation->is_customised) {
    curl_easy_reset(easy);
    http_transfer_handle_new(operation);
    operation->is_customised = false;
  }
  if (curl_easy_setopt(easy, CURLOPT_URL, http_lines_url(&operation->lines)) != CURLE_OK) return -1;
  set_method(easy, request);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, operation->lines.headers);
  curl_easy_setopt(easy, CURLOPT_RESOLVE, NULL);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                   (long)(request->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout_ms + BACKSTOP_MS));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   (long)(request->connect_timeout_ms + BACKSTOP_MS));
  if (set_unix_socket(operation, request) != 0) return -1;
  return set_tls(operation, request);
}

static size_t append_address(char *text, size_t size, const struct ip_address *address) {
  char formatted[IP_ADDRESS_TEXT_MAX];
  ip_address_format(address, formatted);
  bool is_v6 = address->family == AF_INET6;
  return (size_t)snprintf(text, size, "%s%s%s,", is_v6 ? "[" : "", formatted, is_v6 ? "]" : "");
}

int http_transfer_set_addresses(struct http_operation *operation,
                                const struct resolver_addresses *addresses, struct err *err) {
  char *text = operation->resolve_text;
  size_t size = sizeof operation->resolve_text;
  size_t length =
      (size_t)snprintf(text, size, "+%s:%u:", operation->host, (unsigned)operation->port);
  for (size_t i = 0; i < addresses->count; i++) {
    /* One address that is refused refuses the name: which of them libcurl takes is its affair. */
    if (address_policy_check(operation->policy, &addresses->items[i], operation->is_literal,
                             operation->host, err) != 0)
      return -1;
    length += append_address(text + length, size - length, &addresses->items[i]);
  }
  text[length - 1] = '\0'; /* the last comma */
  struct ip_address literal;
  if (ip_address_parse(&literal, operation->host, strlen(operation->host)) == 0) return 0;
  operation->resolve = (struct curl_slist){.data = text};
  curl_easy_setopt(operation->easy, CURLOPT_RESOLVE, &operation->resolve);
  return 0;
}

/* --- the end ------------------------------------------------------------------------------ */

/* What 7.88 says of a header line of more than 100 KB. */
static bool is_long_line(const struct http_operation *operation, CURLcode code) {
  return code == CURLE_OUT_OF_MEMORY && operation->sent && !operation->response.is_complete;
}

static const char *code_of(const struct http_operation *operation, CURLcode code) {
  switch ((int)code) {
    case CURLE_UNSUPPORTED_PROTOCOL: /* an HTTP/0.9 answer */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return "malformed_response";
    case CURLE_OPERATION_TIMEDOUT:
      return "timeout";
    case CURLE_SSL_CERTPROBLEM:
      return "certificate_unusable";
    case CURLE_SSL_CACERT_BADFILE: /* the request's own, or the client's bundle */
      return operation->is_customised ? "certificate_unusable" : "network_error";
    case CURLE_OUT_OF_MEMORY:
      return is_long_line(operation, code) ? "too_large" : "out_of_memory";
    default:
      return "network_error";
  }
}

static const char *explain(const struct http_operation *operation, CURLcode code) {
  if (code == CURLE_PARTIAL_FILE) return "the response was cut short";
  if (code == CURLE_GOT_NOTHING) return "the connection was closed without an answer";
  if (is_long_line(operation, code)) return "a header of the response is larger than 100 KB";
  if (operation->curl_message[0] != '\0') return operation->curl_message;
  return curl_easy_strerror(code);
}

static void fail_with_code(struct http_operation *operation, CURLcode code) {
  struct err err;
  const char *what = operation->sent ? "the request to" : "cannot connect to";
  err_set(&err, code_of(operation, code), "%s %.*s%s: %s", what, origin_length(operation),
          http_lines_url(&operation->lines), operation->sent ? " failed" : "",
          explain(operation, code));
  http_operation_fail(operation, &err);
}

static void read_timings(struct http_operation *operation) {
  CURL *easy = operation->easy;
  long connections = 0;
  char *address = NULL;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
  curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address);
  if (address != NULL)
    snprintf(operation->remote_address, sizeof operation->remote_address, "%s", address);
  operation->reused = connections == 0 && operation->sent;
  if (connections == 0) return;
  curl_off_t resolved = 0, connected = 0, secured = 0;
  curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
  curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
  curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &secured);
  if (connected > resolved) operation->timings.connect = (double)(connected - resolved) / 1e3;
  if (secured > connected) operation->timings.tls = (double)(secured - connected) / 1e3;
}

bool http_transfer_is_to_restart(struct http_operation *operation, CURLcode code) {
  /* Of libcurl's own retries one may come to a spoilt connection after bytes had gone out. */
  if (code != CURLE_ABORTED_BY_CALLBACK || !operation->is_spoilt || operation->sent) return false;
  operation->is_spoilt = false;
  operation->curl_message[0] = '\0';
  curl_easy_setopt(operation->easy, CURLOPT_FRESH_CONNECT, 1L);
  return true;
}

void http_transfer_conclude(struct http_operation *operation, CURLcode code) {
  struct err err;
  read_timings(operation);
  if (code != CURLE_OK) {
    fail_with_code(operation, code);
    return;
  }
  /* Errors noted on the way (an address that was refused while another was reached) are past. */
  operation->has_failed = false;
  if (!operation->response.is_complete) {
    err_set(&err, "malformed_response", "the response has no complete head");
    fail_naming_origin(operation, &err);
  } else if (content_decoder_finish(&operation->decoder, &err) != 0) {
    fail_naming_origin(operation, &err);
  }
}
