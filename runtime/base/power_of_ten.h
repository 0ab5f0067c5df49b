/* Powers of ten as 128-bit fractions: what exact conversions between decimal text and doubles
 * multiply by. A constant table; any thread. */
#ifndef TIDEGATE_BASE_POWER_OF_TEN_H
#define TIDEGATE_BASE_POWER_OF_TEN_H

#include <stdint.h>

#define POWER_OF_TEN_MIN (-292)
#define POWER_OF_TEN_MAX 324

/* 10^k scaled by a power of two into [2^127, 2^128) and rounded up. */
struct power_of_ten {
  uint64_t high;
  uint64_t low;
};

/* `exponent` must be within POWER_OF_TEN_MIN and POWER_OF_TEN_MAX. Cannot fail. */
const struct power_of_ten *power_of_ten(int exponent);

#endif
