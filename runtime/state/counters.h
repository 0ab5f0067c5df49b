/* Metrics: series of cells, one cell for each writer, summed when read.
 *
 * A cell has one writing thread, so that an addition is a load and a store and no locked
 * instruction; any thread may render. Making a cell takes a lock. Cells live as long as the
 * registry, so that what an ended worker counted stays counted. */
#ifndef TIDEGATE_STATE_COUNTERS_H
#define TIDEGATE_STATE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define COUNTERS_NAMES_MAX 256
#define COUNTERS_SERIES_MAX 1000 /* of one name; further label sets share one "other" */
#define COUNTERS_LABELS_MAX 512
#define COUNTERS_BOUNDS_MAX 32

enum counter_kind { COUNTER_SUM, COUNTER_GAUGE, COUNTER_HISTOGRAM };

struct counters;
struct counter_cell;

struct counters *counters_new(void);
void counters_free(struct counters *counters);

/* Help text of a name for rendering; the last one wins. Cut at 255 bytes. */
void counters_describe(struct counters *counters, const char *name, const char *help);

/* The cell of the series `name{labels}` for one writer, which is any address: the same writer
 * gets the same cell again. `labels` is ready text (`a="b",c="d"`) or "". `bounds` (ascending)
 * is for histograms; the first cell of a name decides. NULL when the name is of another kind,
 * is not a metric name, the labels are not labels, a bound is reached or memory ran out. */
struct counter_cell *counters_cell(struct counters *counters, const void *writer,
                                   enum counter_kind kind, const char *name, const char *labels,
                                   const double *bounds, size_t bound_count);
enum counter_kind counter_kind_of(const struct counter_cell *cell);
/* Whether it stands for all label sets that were refused a series of their own. */
bool counter_is_other(const struct counter_cell *cell);

/* The cell's writer only, with finite values; counter_observe for histograms only. */
void counter_add(struct counter_cell *cell, double amount);
void counter_set(struct counter_cell *cell, double value);
void counter_observe(struct counter_cell *cell, double value);

/* Label sets that were refused a series of their own. */
double counters_dropped_series(struct counters *counters);

/* Prometheus text, sorted by name; each name gets the prefix "tidegate_" unless it begins
 * with "process_". -1 when the buffer is full. */
int counters_render(struct counters *counters, struct buf *text)
    __attribute__((warn_unused_result));

#endif
