/* An HTTP server that echoes each body, for wrk: what the C side costs before any Lua.
 *
 *     server_bench [ADDRESS [PEM]]    prints the bound address; SIGINT or SIGTERM ends it and
 *                                     prints requests, CPU microseconds a request and memory.
 *                                     With a file of certificate and key it speaks TLS */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "io/http_server.h"
#include "io/tls_identity.h"

struct bench {
  uv_loop_t loop;
  uv_timer_t tick;
  uv_signal_t interrupt, terminate;
  struct timer_heap timers;
  struct http_server *server;
  struct http_listener *listener;
  struct tls_identity *tls_identity;
};

static uint64_t now(void *context) {
  (void)context;
  return uv_hrtime();
}

static void on_tick(uv_timer_t *timer) {
  struct bench *bench = timer->data;
  timer_heap_run(&bench->timers, uv_hrtime());
}

static void on_request(void *context, struct http_exchange *exchange) {
  static const struct http_header type = {{"Content-Type", 12}, {"application/json", 16}};
  (void)context;
  struct http_text body = http_exchange_body(exchange);
  struct http_response response = {.status = 200,
                                   .headers = &type,
                                   .header_count = 1,
                                   .body = body.data,
                                   .body_length = body.length};
  http_exchange_respond(exchange, &response, NULL);
  http_exchange_release(exchange);
}

static void report(const struct bench *bench) {
  struct http_listener_stats stats = http_listener_stats(bench->listener);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  double requests = (double)(stats.requests > 0 ? stats.requests : 1);
  printf("requests %llu  cpu_us/request %.2f  connections %u  heap_bytes %zu  max_rss_kb %ld\n",
         (unsigned long long)stats.requests, cpu / requests, stats.connections,
         mallinfo2().uordblks, usage.ru_maxrss);
  fflush(stdout);
}

static void on_signal(uv_signal_t *signal_handle, int number) {
  struct bench *bench = signal_handle->data;
  (void)number;
  report(bench);
  http_server_free(bench->server);
  uv_close((uv_handle_t *)&bench->tick, NULL);
  uv_close((uv_handle_t *)&bench->interrupt, NULL);
  uv_close((uv_handle_t *)&bench->terminate, NULL);
}

static void start_handles(struct bench *bench) {
  uv_timer_init(&bench->loop, &bench->tick);
  uv_signal_init(&bench->loop, &bench->interrupt);
  uv_signal_init(&bench->loop, &bench->terminate);
  bench->tick.data = bench->interrupt.data = bench->terminate.data = bench;
  uv_timer_start(&bench->tick, on_tick, 10, 10);
  uv_signal_start(&bench->interrupt, on_signal, SIGINT);
  uv_signal_start(&bench->terminate, on_signal, SIGTERM);
}

static int load_certificate(struct bench *bench, const char *path, struct err *err) {
  bench->tls_identity = tls_identity_new();
  if (bench->tls_identity == NULL) return err_set(err, "out_of_memory", "no memory");
  return tls_identity_load(bench->tls_identity, path, path, err);
}

static int serve(struct bench *bench, const char *text, const char *pem, struct err *err) {
  struct address address;
  struct http_handler handler = {.on_request = on_request, .context = bench};
  struct http_listen_options options = {.limits = {.connections = 20000}};
  if (address_parse(&address, text, err) != 0) return -1;
  if (pem != NULL && load_certificate(bench, pem, err) != 0) return -1;
  options.tls = bench->tls_identity;
  uv_loop_init(&bench->loop);
  timer_heap_init(&bench->timers, now, NULL, bench);
  bench->server = http_server_new(&bench->loop, &bench->timers, NULL);
  if (bench->server == NULL) return err_set(err, "out_of_memory", "no memory");
  bench->listener = http_server_listen(bench->server, &address, &handler, &options, err);
  return bench->listener == NULL ? -1 : 0;
}

int main(int count, char **arguments) {
  static struct bench bench;
  struct err err;
  char text[ADDRESS_TEXT_MAX];
  signal(SIGPIPE, SIG_IGN);
  if (serve(&bench, count > 1 ? arguments[1] : "127.0.0.1:0", count > 2 ? arguments[2] : NULL,
            &err) != 0) {
    fprintf(stderr, "server_bench: %s\n", err.message);
    return EXIT_FAILURE;
  }
  start_handles(&bench);
  address_format(http_listener_address(bench.listener), text, sizeof text);
  printf("%s\n", text);
  fflush(stdout);
  uv_run(&bench.loop, UV_RUN_DEFAULT);
  timer_heap_deinit(&bench.timers);
  tls_identity_free(bench.tls_identity);
  return EXIT_SUCCESS;
}
