/* Durations as counts in buckets of fixed relative width: percentiles within 1 % from 1 us to
 * 1 hour, in fixed memory, mergeable by addition.
 *
 * Log-linear buckets as of HdrHistogram (G. Tene, hdrhistogram.org), 64 to each power of two: a
 * value's bucket is the top of its IEEE 754 representation, exponent and six bits of mantissa.
 * A bucket answers with its middle, at most 1/128 away from whatever it holds: the guarantee of
 * DDSketch (Masson, Rim and Lee, "DDSketch: A fast and fully-mergeable quantile sketch with
 * relative-error guarantees", PVLDB 12(12), 2019), without its logarithm for each value.
 *
 * One thread records (a load and a store each, no locked instruction); any may merge from it.
 * A histogram that was made by merging belongs to who made it. Zeroed memory is an empty one. */
#ifndef TIDEGATE_STATE_HISTOGRAM_H
#define TIDEGATE_STATE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SECONDS_MIN 1e-6
#define HISTOGRAM_SECONDS_MAX 3600.0
#define HISTOGRAM_BUCKETS 2030

struct histogram {
  _Atomic uint64_t sum; /* the bits of a double, as is max */
  _Atomic uint64_t max;
  _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The one writer. What lies outside of the range counts in the first or last bucket; sum and
 * max take it as it is. Negative values and NaN are 0. */
void histogram_record(struct histogram *histogram, double seconds);

/* The owner of `into`. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Leaves what was recorded after `older` was merged from the same writers. The maximum of that
 * is exact if it is the highest of all, else within 1 %. */
void histogram_subtract(struct histogram *from, const struct histogram *older);

uint64_t histogram_count(const struct histogram *histogram);
double histogram_sum(const struct histogram *histogram);
double histogram_max(const struct histogram *histogram);
/* The value of rank ceil(q * count), q in 0 to 1; NaN when nothing was recorded. */
double histogram_quantile(const struct histogram *histogram, double q);

#endif
