/* The HTTP client without any Lua: http_client_bench URL [SECONDS [IN_FLIGHT]]
 *
 * Keeps IN_FLIGHT (64) GET requests under way for SECONDS (3) after a warm-up and prints the
 * calls, the CPU time they took and the memory of each call under way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/http_client.h"

#define IN_FLIGHT_MAX 4096
#define WARM_UP_SECONDS 0.5

struct bench;

struct caller {
  struct bench *bench;
  struct http_operation *operation;
  struct caller *next;
};

struct bench {
  uv_loop_t loop;
  uv_timer_t driver;
  struct timer_heap timers;
  struct http_client *client;
  struct http_request request;
  struct caller callers[IN_FLIGHT_MAX];
  struct caller *ready; /* whose operation has ended */
  size_t in_flight;
  uint64_t end_ns;
  uint64_t calls;
  uint64_t failed;
};

static uint64_t now(void *context) {
  (void)context;
  return clock_real_monotonic_ns();
}

static void on_driver(uv_timer_t *driver) {
  struct bench *bench = driver->data;
  timer_heap_run(&bench->timers, clock_real_monotonic_ns());
}

static void arm(void *context) {
  struct bench *bench = context;
  uint64_t due;
  if (!timer_heap_next(&bench->timers, &due)) {
    uv_timer_stop(&bench->driver);
    return;
  }
  uint64_t present = clock_real_monotonic_ns();
  uint64_t left = due > present ? due - present : 0;
  uv_timer_start(&bench->driver, on_driver, left / 1000000 + 1, 0);
}

/* As a task is woken: noted, and gone on with later. */
static void on_wake(void *argument) {
  struct caller *caller = argument;
  caller->next = caller->bench->ready;
  caller->bench->ready = caller;
}

static void start(struct caller *caller) {
  struct bench *bench = caller->bench;
  struct err err;
  caller->operation = http_client_start(bench->client, &bench->request, on_wake, caller, &err);
  if (caller->operation != NULL) {
    bench->in_flight++;
    return;
  }
  fprintf(stderr, "http_client_bench: %s\n", err.message);
  exit(1);
}

static void go_on(struct bench *bench) {
  struct caller *caller = bench->ready;
  bench->ready = NULL;
  while (caller != NULL) {
    struct caller *next = caller->next;
    bench->calls++;
    if (http_operation_error(caller->operation) != NULL) bench->failed++;
    http_operation_free(caller->operation);
    bench->in_flight--;
    if (clock_real_monotonic_ns() < bench->end_ns) start(caller);
    caller = next;
  }
}

static double cpu_us(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static long resident_bytes(void) {
  long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

static void run(struct bench *bench, double seconds, size_t count) {
  bench->calls = bench->failed = 0;
  bench->end_ns = clock_real_monotonic_ns() + (uint64_t)(seconds * 1e9);
  for (size_t i = 0; i < count; i++) {
    bench->callers[i].bench = bench;
    start(&bench->callers[i]);
  }
  while (bench->in_flight > 0) {
    uv_run(&bench->loop, UV_RUN_ONCE);
    go_on(bench);
  }
}

static void open_bench(struct bench *bench, const char *url) {
  struct err err;
  if (http_client_open_library() != 0) exit(1);
  uv_loop_init(&bench->loop);
  uv_timer_init(&bench->loop, &bench->driver);
  bench->driver.data = bench;
  timer_heap_init(&bench->timers, now, arm, bench);
  bench->client = http_client_new(&bench->loop, &bench->timers,
                                  &(struct http_client_options){.ca = NULL}, &err);
  if (bench->client == NULL) {
    fprintf(stderr, "http_client_bench: %s\n", err.message);
    exit(1);
  }
  bench->request = (struct http_request){.method = "GET",
                                         .url = url,
                                         .url_length = strlen(url),
                                         .timeout_ms = 30000,
                                         .connect_timeout_ms = 10000,
                                         .response_max = 8 * 1024 * 1024};
}

static void close_bench(struct bench *bench) {
  http_client_free(bench->client);
  uv_close((uv_handle_t *)&bench->driver, NULL);
  uv_run(&bench->loop, UV_RUN_DEFAULT);
  uv_loop_close(&bench->loop);
  timer_heap_deinit(&bench->timers);
  http_client_close_library();
}

int main(int argument_count, char **arguments) {
  if (argument_count < 2) {
    fprintf(stderr, "usage: http_client_bench URL [SECONDS [IN_FLIGHT]]\n");
    return 2;
  }
  double seconds = argument_count > 2 ? strtod(arguments[2], NULL) : 3;
  size_t count = argument_count > 3 ? strtoul(arguments[3], NULL, 10) : 64;
  if (count < 1 || count > IN_FLIGHT_MAX) count = 64;
  struct bench *bench = calloc(1, sizeof *bench);
  if (bench == NULL) return 1;
  open_bench(bench, arguments[1]);
  long empty = resident_bytes();
  run(bench, WARM_UP_SECONDS, count);
  long filled = resident_bytes();
  double before = cpu_us();
  run(bench, seconds, count);
  double used = cpu_us() - before;
  printf("operations=%llu failed=%llu cpu_us=%.0f us_per_call=%.2f calls_per_second=%.0f "
         "bytes_per_call_under_way=%ld\n",
         (unsigned long long)bench->calls, (unsigned long long)bench->failed, used,
         used / (double)bench->calls, (double)bench->calls / seconds,
         (filled - empty) / (long)count);
  close_bench(bench);
  free(bench);
  return 0;
}
