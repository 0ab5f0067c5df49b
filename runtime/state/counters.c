#include "state/counters.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 127
#define HELP_MAX_LENGTH 255
#define OTHER_LABELS "series=\"other\""

/* value: the sum of a counter, a gauge's value, a histogram's sum. */
struct counter_cell {
  struct counter_cell *next;
  const void *writer;
  const struct metric *metric;
  bool is_other;
  _Atomic uint64_t value;
  _Atomic uint64_t count;
  _Atomic uint64_t buckets[]; /* not cumulative; the last one is +Inf */
};

struct series {
  struct series *next;
  struct counter_cell *cells;
  char labels[];
};

struct metric {
  char name[NAME_MAX_LENGTH + 1];
  char help[HELP_MAX_LENGTH + 1];
  enum counter_kind kind;
  bool used; /* has a kind */
  double bounds[COUNTERS_BOUNDS_MAX];
  size_t bound_count;
  struct series *series;
  size_t series_count;
};

struct counters {
  pthread_mutex_t mutex;
  struct metric *metrics[COUNTERS_NAMES_MAX]; /* sorted by name */
  size_t count;
  uint64_t dropped_series;
};

struct counters *counters_new(void) {
  struct counters *counters = calloc(1, sizeof *counters);
  if (counters != NULL) pthread_mutex_init(&counters->mutex, NULL);
  return counters;
}

static void free_series(struct series *series) {
  while (series->cells != NULL) {
    struct counter_cell *next = series->cells->next;
    free(series->cells);
    series->cells = next;
  }
  free(series);
}

void counters_free(struct counters *counters) {
  if (counters == NULL) return;
  for (size_t i = 0; i < counters->count; i++) {
    struct metric *metric = counters->metrics[i];
    while (metric->series != NULL) {
      struct series *next = metric->series->next;
      free_series(metric->series);
      metric->series = next;
    }
    free(metric);
  }
  pthread_mutex_destroy(&counters->mutex);
  free(counters);
}

/* --- finding and making; the mutex is held --- */

static bool is_name(const char *name) {
  if (!isalpha((unsigned char)name[0])) return false;
  for (const char *c = name; *c != '\0'; c++)
    if (!isalnum((unsigned char)*c) && *c != '_') return false;
  return strlen(name) <= NAME_MAX_LENGTH;
}

/* The text from `at` after one `name="value"`; NULL when there is none. */
static const char *skip_label(const char *at) {
  if (!isalpha((unsigned char)*at) && *at != '_') return NULL;
  while (isalnum((unsigned char)*at) || *at == '_') at++;
  if (at[0] != '=' || at[1] != '"') return NULL;
  for (at += 2; *at != '"'; at++) {
    if (*at == '\0' || *at == '\n') return NULL;
    if (*at != '\\') continue;
    at++;
    if (*at != '\\' && *at != '"' && *at != 'n') return NULL;
  }
  return at + 1;
}

/* One text that is not what it should be makes the whole of the metrics unreadable. */
static bool are_labels(const char *labels) {
  if (labels[0] == '\0') return true;
  const char *at = skip_label(labels);
  while (at != NULL && *at == ',') at = skip_label(at + 1);
  return at != NULL && *at == '\0';
}

static struct metric *metric_of(struct counters *counters, const char *name) {
  size_t at = 0;
  while (at < counters->count && strcmp(counters->metrics[at]->name, name) < 0) at++;
  if (at < counters->count && strcmp(counters->metrics[at]->name, name) == 0)
    return counters->metrics[at];
  if (counters->count == COUNTERS_NAMES_MAX || !is_name(name)) return NULL;
  struct metric *metric = calloc(1, sizeof *metric);
  if (metric == NULL) return NULL;
  memcpy(metric->name, name, strlen(name));
  memmove(&counters->metrics[at + 1], &counters->metrics[at],
          (counters->count - at) * sizeof counters->metrics[0]);
  counters->metrics[at] = metric;
  counters->count++;
  return metric;
}

static bool take_kind(struct metric *metric, enum counter_kind kind, const double *bounds,
                      size_t bound_count) {
  if (metric->used) return metric->kind == kind;
  if (bound_count > COUNTERS_BOUNDS_MAX) return false;
  metric->used = true;
  metric->kind = kind;
  metric->bound_count = kind == COUNTER_HISTOGRAM ? bound_count : 0;
  if (metric->bound_count > 0) memcpy(metric->bounds, bounds, bound_count * sizeof *bounds);
  return true;
}

static struct series *find_series(const struct metric *metric, const char *labels) {
  struct series *series = metric->series;
  while (series != NULL && strcmp(series->labels, labels) != 0) series = series->next;
  return series;
}

static struct series *add_series(struct metric *metric, const char *labels) {
  size_t length = strlen(labels);
  struct series *series = calloc(1, sizeof *series + length + 1);
  if (series == NULL) return NULL;
  memcpy(series->labels, labels, length + 1);
  struct series **link = &metric->series;
  while (*link != NULL && strcmp((*link)->labels, labels) < 0) link = &(*link)->next;
  series->next = *link;
  *link = series;
  metric->series_count++;
  return series;
}

static struct series *series_of(struct counters *counters, struct metric *metric,
                                const char *labels) {
  struct series *series = find_series(metric, labels);
  if (series != NULL) return series;
  if (metric->series_count < COUNTERS_SERIES_MAX && strlen(labels) <= COUNTERS_LABELS_MAX)
    return add_series(metric, labels);
  counters->dropped_series++;
  series = find_series(metric, OTHER_LABELS);
  return series != NULL ? series : add_series(metric, OTHER_LABELS);
}

static struct counter_cell *add_cell(const struct metric *metric, struct series *series,
                                     const void *writer) {
  size_t buckets = metric->kind == COUNTER_HISTOGRAM ? metric->bound_count + 1 : 0;
  struct counter_cell *cell = calloc(1, sizeof *cell + buckets * sizeof cell->buckets[0]);
  if (cell == NULL) return NULL;
  cell->writer = writer;
  cell->metric = metric;
  cell->is_other = strcmp(series->labels, OTHER_LABELS) == 0;
  cell->next = series->cells;
  series->cells = cell;
  return cell;
}

static struct counter_cell *cell_of(const struct metric *metric, struct series *series,
                                    const void *writer) {
  struct counter_cell *cell = series->cells;
  while (cell != NULL && cell->writer != writer) cell = cell->next;
  return cell != NULL ? cell : add_cell(metric, series, writer);
}

struct counter_cell *counters_cell(struct counters *counters, const void *writer,
                                   enum counter_kind kind, const char *name, const char *labels,
                                   const double *bounds, size_t bound_count) {
  struct counter_cell *cell = NULL;
  if (!are_labels(labels)) return NULL;
  pthread_mutex_lock(&counters->mutex);
  struct metric *metric = metric_of(counters, name);
  if (metric != NULL && take_kind(metric, kind, bounds, bound_count)) {
    struct series *series = series_of(counters, metric, labels);
    if (series != NULL) cell = cell_of(metric, series, writer);
  }
  pthread_mutex_unlock(&counters->mutex);
  return cell;
}

enum counter_kind counter_kind_of(const struct counter_cell *cell) {
  return cell->metric->kind;
}

bool counter_is_other(const struct counter_cell *cell) {
  return cell->is_other;
}

void counters_describe(struct counters *counters, const char *name, const char *help) {
  pthread_mutex_lock(&counters->mutex);
  struct metric *metric = metric_of(counters, name);
  if (metric != NULL) {
    size_t length = strnlen(help, HELP_MAX_LENGTH);
    memcpy(metric->help, help, length);
    metric->help[length] = '\0';
  }
  pthread_mutex_unlock(&counters->mutex);
}

double counters_dropped_series(struct counters *counters) {
  pthread_mutex_lock(&counters->mutex);
  double dropped = (double)counters->dropped_series;
  pthread_mutex_unlock(&counters->mutex);
  return dropped;
}

/* --- writing --- */

static double load(const _Atomic uint64_t *bits) {
  uint64_t raw = atomic_load_explicit(bits, memory_order_relaxed);
  double value;
  memcpy(&value, &raw, sizeof value);
  return value;
}

static void store(_Atomic uint64_t *bits, double value) {
  uint64_t raw;
  memcpy(&raw, &value, sizeof raw);
  atomic_store_explicit(bits, raw, memory_order_relaxed);
}

static void increment(_Atomic uint64_t *count) {
  uint64_t value = atomic_load_explicit(count, memory_order_relaxed);
  atomic_store_explicit(count, value + 1, memory_order_relaxed);
}

void counter_add(struct counter_cell *cell, double amount) {
  store(&cell->value, load(&cell->value) + amount);
}

void counter_set(struct counter_cell *cell, double value) {
  store(&cell->value, value);
}

void counter_observe(struct counter_cell *cell, double value) {
  const struct metric *metric = cell->metric;
  size_t bucket = 0;
  while (bucket < metric->bound_count && value > metric->bounds[bucket]) bucket++;
  increment(&cell->buckets[bucket]);
  increment(&cell->count);
  counter_add(cell, value);
}

/* --- rendering; the mutex is held --- */

static const char *prefix_of(const char *name) {
  return strncmp(name, "process_", 8) == 0 ? "" : "tidegate_";
}

static int render_value(struct buf *text, double value) {
  if (value == floor(value) && fabs(value) < 1e15) return buf_printf(text, " %.0f\n", value);
  return buf_printf(text, " %.9g\n", value);
}

static int render_line(struct buf *text, const struct metric *metric, const char *suffix,
                       const char *labels, double value) {
  const char *prefix = prefix_of(metric->name);
  int status = labels[0] != '\0'
                   ? buf_printf(text, "%s%s%s{%s}", prefix, metric->name, suffix, labels)
                   : buf_printf(text, "%s%s%s", prefix, metric->name, suffix);
  return status == 0 ? render_value(text, value) : -1;
}

static int render_bucket(struct buf *text, const struct metric *metric, const char *labels,
                         size_t bucket, uint64_t count) {
  char with_bound[COUNTERS_LABELS_MAX + 64];
  const char *comma = labels[0] != '\0' ? "," : "";
  if (bucket == metric->bound_count)
    snprintf(with_bound, sizeof with_bound, "%s%sle=\"+Inf\"", labels, comma);
  else
    snprintf(with_bound, sizeof with_bound, "%s%sle=\"%g\"", labels, comma, metric->bounds[bucket]);
  return render_line(text, metric, "_bucket", with_bound, (double)count);
}

static int render_histogram(struct buf *text, const struct metric *metric,
                            const struct series *series, double sum) {
  uint64_t total = 0;
  for (size_t bucket = 0; bucket <= metric->bound_count; bucket++) {
    for (const struct counter_cell *cell = series->cells; cell != NULL; cell = cell->next)
      total += atomic_load_explicit(&cell->buckets[bucket], memory_order_relaxed);
    if (render_bucket(text, metric, series->labels, bucket, total) != 0) return -1;
  }
  if (render_line(text, metric, "_sum", series->labels, sum) != 0) return -1;
  return render_line(text, metric, "_count", series->labels, (double)total);
}

static int render_series(struct buf *text, const struct metric *metric,
                         const struct series *series) {
  double sum = 0;
  for (const struct counter_cell *cell = series->cells; cell != NULL; cell = cell->next)
    sum += load(&cell->value);
  if (metric->kind == COUNTER_HISTOGRAM) return render_histogram(text, metric, series, sum);
  return render_line(text, metric, "", series->labels, sum);
}

/* A line break in it would begin a line of its own. */
static int render_help(struct buf *text, const struct metric *metric) {
  if (metric->help[0] == '\0') return 0;
  if (buf_printf(text, "# HELP %s%s ", prefix_of(metric->name), metric->name) != 0) return -1;
  for (const char *c = metric->help; *c != '\0'; c++) {
    int status = *c == '\n'   ? buf_append_text(text, "\\n")
                 : *c == '\\' ? buf_append_text(text, "\\\\")
                              : buf_append(text, c, 1);
    if (status != 0) return -1;
  }
  return buf_append_text(text, "\n");
}

static int render_metric(struct buf *text, const struct metric *metric) {
  static const char *const types[] = {"counter", "gauge", "histogram"};
  const char *prefix = prefix_of(metric->name);
  if (render_help(text, metric) != 0) return -1;
  if (buf_printf(text, "# TYPE %s%s %s\n", prefix, metric->name, types[metric->kind]) != 0)
    return -1;
  for (const struct series *series = metric->series; series != NULL; series = series->next)
    if (render_series(text, metric, series) != 0) return -1;
  return 0;
}

int counters_render(struct counters *counters, struct buf *text) {
  int status = 0;
  pthread_mutex_lock(&counters->mutex);
  for (size_t i = 0; i < counters->count && status == 0; i++)
    if (counters->metrics[i]->used) status = render_metric(text, counters->metrics[i]);
  pthread_mutex_unlock(&counters->mutex);
  return status;
}
