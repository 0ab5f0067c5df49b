#include "state/histogram.h"

#include <math.h>
#include <string.h>

#define MANTISSA_BITS 52
#define SUB_BUCKET_BITS 6
#define SHIFT (MANTISSA_BITS - SUB_BUCKET_BITS)
#define FIRST 64195 /* the bits of HISTOGRAM_SECONDS_MIN >> SHIFT */

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static double value_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t load(const _Atomic uint64_t *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

static size_t bucket_of(double seconds) {
  if (seconds < HISTOGRAM_SECONDS_MIN) return 0;
  if (seconds >= HISTOGRAM_SECONDS_MAX) return HISTOGRAM_BUCKETS - 1;
  return (size_t)((bits_of(seconds) >> SHIFT) - FIRST);
}

/* The middle of a bucket, or the maximum where that is lower: but no value outside of the bucket,
 * as a reader may see a count before the maximum that came with it. */
static double answer_of(size_t bucket, double max) {
  uint64_t lowest = (bucket + FIRST) << SHIFT;
  double middle = value_of(lowest | (uint64_t)1 << (SHIFT - 1));
  return fmax(value_of(lowest), fmin(middle, max));
}

void histogram_record(struct histogram *histogram, double seconds) {
  if (!(seconds > 0)) seconds = 0;
  _Atomic uint64_t *bucket = &histogram->buckets[bucket_of(seconds)];
  store(bucket, load(bucket) + 1);
  store(&histogram->sum, bits_of(value_of(load(&histogram->sum)) + seconds));
  if (seconds > value_of(load(&histogram->max))) store(&histogram->max, bits_of(seconds));
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
    store(&into->buckets[i], load(&into->buckets[i]) + load(&from->buckets[i]));
  store(&into->sum, bits_of(histogram_sum(into) + histogram_sum(from)));
  store(&into->max, bits_of(fmax(histogram_max(into), histogram_max(from))));
}

/* From the highest bucket that holds something; 0 when none does. */
static double highest(const struct histogram *histogram) {
  size_t i = HISTOGRAM_BUCKETS;
  while (i > 0 && load(&histogram->buckets[i - 1]) == 0) i--;
  return i > 0 ? answer_of(i - 1, histogram_max(histogram)) : 0;
}

void histogram_subtract(struct histogram *from, const struct histogram *older) {
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    uint64_t now = load(&from->buckets[i]), then = load(&older->buckets[i]);
    store(&from->buckets[i], now > then ? now - then : 0);
  }
  store(&from->sum, bits_of(fmax(0, histogram_sum(from) - histogram_sum(older))));
  if (histogram_max(from) <= histogram_max(older)) store(&from->max, bits_of(highest(from)));
}

uint64_t histogram_count(const struct histogram *histogram) {
  uint64_t count = 0;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) count += load(&histogram->buckets[i]);
  return count;
}

double histogram_sum(const struct histogram *histogram) {
  return value_of(load(&histogram->sum));
}

double histogram_max(const struct histogram *histogram) {
  return value_of(load(&histogram->max));
}

double histogram_quantile(const struct histogram *histogram, double q) {
  uint64_t count = histogram_count(histogram), seen = 0;
  if (count == 0) return NAN;
  uint64_t rank = (uint64_t)fmax(1, ceil(q * (double)count));
  if (rank > count) rank = count;
  size_t i = 0;
  while ((seen += load(&histogram->buckets[i])) < rank) i++;
  return answer_of(i, histogram_max(histogram));
}
