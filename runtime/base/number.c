#include "base/number.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/power_of_ten.h"

#define FRACTION_BITS 52
#define FRACTION_MASK ((UINT64_C(1) << FRACTION_BITS) - 1)
#define EXPONENT_MASK 0x7ff
#define EXPONENT_BIAS 1023

/* No double needs more than 767 digits to be told from its neighbours. */
#define SIGNIFICANT_DIGITS_MAX 768
/* Digits that always fit 64 bits. */
#define MANTISSA_DIGITS_MAX 19
/* Written exponents are clamped here: with that many digits of text no document is read. */
#define EXPONENT_CLAMP 1000000000000000

__extension__ typedef unsigned __int128 uint128;

static double double_of_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t bits_of_double(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static int floor_log2_of_power_of_ten(int exponent) {
  return (exponent * 1741647) >> 19;
}

/* ---- text to number ---- */

/* The parts of a number's text, as the grammar found them:
 * value = mantissa * 10^(shift + written), or up to one unit of the mantissa more. */
struct decimal {
  const char *digits; /* from the first digit to the last, with the point between them */
  const char *digits_end;
  uint64_t mantissa; /* the leading significant digits, at most MANTISSA_DIGITS_MAX */
  int64_t shift;     /* where the point stands, seen from the mantissa's end */
  int64_t written;   /* the exponent */
  int taken;         /* significant digits in the mantissa */
  bool negative;
  bool truncated; /* digits other than 0 were left out of the mantissa */
};

static bool is_digit(const char *at, const char *end) {
  return at < end && (unsigned char)(*at - '0') <= 9;
}

static const char *scan_digits(const char *at, const char *end, bool fraction,
                               struct decimal *decimal) {
  for (; is_digit(at, end); at++) {
    unsigned digit = (unsigned)(*at - '0');
    if (decimal->taken == MANTISSA_DIGITS_MAX) {
      if (digit != 0) decimal->truncated = true;
      if (!fraction) decimal->shift++;
      continue;
    }
    decimal->mantissa = decimal->mantissa * 10 + digit;
    if (decimal->mantissa != 0) decimal->taken++;
    if (fraction) decimal->shift--;
  }
  return at;
}

static const char *scan_exponent(const char *at, const char *end, struct decimal *decimal) {
  bool negative = at < end && *at == '-';
  if (at < end && (*at == '-' || *at == '+')) at++;
  if (!is_digit(at, end)) return NULL;
  for (; is_digit(at, end); at++) {
    if (decimal->written < EXPONENT_CLAMP) decimal->written = decimal->written * 10 + (*at - '0');
  }
  if (negative) decimal->written = -decimal->written;
  return at;
}

/* Digits as such, without a point, so that the locale has no say, and with a last 1 that
 * stands for all those beyond SIGNIFICANT_DIGITS_MAX. */
static double read_slowly(const struct decimal *decimal) {
  char text[SIGNIFICANT_DIGITS_MAX + 2 + NUMBER_TEXT_MAX];
  size_t length = 0;
  int64_t exponent = decimal->written;
  bool fraction = false, sticky = false;
  for (const char *at = decimal->digits; at < decimal->digits_end; at++) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    if (length == SIGNIFICANT_DIGITS_MAX) {
      sticky = sticky || *at != '0';
      exponent += !fraction;
      continue;
    }
    if (length > 0 || *at != '0') text[length++] = *at;
    exponent -= fraction;
  }
  if (sticky) {
    text[length++] = '1';
    exponent--;
  }
  text[length++] = 'e';
  length += number_format_integer(text + length, exponent);
  text[length] = '\0';
  return strtod(text, NULL);
}

/* Eisel and Lemire: the 128-bit product of mantissa and power decides the rounding, but for
 * rare cases that it leaves open; then false. Covers normal doubles only. */
static bool read_by_product(uint64_t mantissa, int exponent, double *value) {
  if (exponent < POWER_OF_TEN_MIN || exponent > POWER_OF_TEN_MAX) return false;
  struct power_of_ten power = *power_of_ten(exponent);
  /* The method wants the powers rounded down, but for those that it proves exact. */
  if (exponent < -27 || exponent > 55) {
    if (power.low == 0) power.high--;
    power.low--;
  }

  int zeros = __builtin_clzll(mantissa);
  mantissa <<= zeros;
  uint128 product = (uint128)mantissa * power.high;
  if (((uint64_t)(product >> 64) & 0x1ff) == 0x1ff) {
    product += (uint64_t)(((uint128)mantissa * power.low) >> 64);
  }
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  if (low == UINT64_MAX && (exponent < -27 || exponent > 55)) return false;

  int upper = (int)(high >> 63);
  uint64_t bits = high >> (upper + 9);
  int binary = floor_log2_of_power_of_ten(exponent) + 63 + upper - zeros + EXPONENT_BIAS;
  if (binary <= 0 || binary >= EXPONENT_MASK - 1) return false;
  bool halfway = low <= 1 && exponent >= -4 && exponent <= 23 && (bits & 3) == 1 &&
                 bits << (upper + 9) == high;
  if (halfway) bits &= ~UINT64_C(1);
  bits = (bits + (bits & 1)) >> 1;
  if (bits >> (FRACTION_BITS + 1)) {
    bits >>= 1;
    binary++;
  }
  *value = double_of_bits((bits & FRACTION_MASK) | (uint64_t)binary << FRACTION_BITS);
  return true;
}

static double read_double(const struct decimal *decimal) {
  static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (decimal->mantissa == 0) return 0.0;
  int64_t exponent = decimal->shift + decimal->written;
  if (exponent > 310) return HUGE_VAL;
  if (exponent < -400) return 0.0;
  /* Clinger: both factors are exact, so that the one operation rounds correctly. */
  if (!decimal->truncated && decimal->mantissa >> (FRACTION_BITS + 1) == 0 && exponent >= -22 &&
      exponent <= 22) {
    double mantissa = (double)decimal->mantissa;
    return exponent < 0 ? mantissa / exact[-exponent] : mantissa * exact[exponent];
  }
  double value, next;
  if (read_by_product(decimal->mantissa, (int)exponent, &value)) {
    if (!decimal->truncated) return value;
    bool same = read_by_product(decimal->mantissa + 1, (int)exponent, &next) && next == value;
    if (same) return value;
  }
  return read_slowly(decimal);
}

static void number_set_float(struct number *number, const struct decimal *decimal) {
  double value = read_double(decimal);
  number->kind = isinf(value) ? NUMBER_TOO_LARGE : NUMBER_FLOAT;
  number->as.real = decimal->negative ? -value : value;
}

static void number_set(struct number *number, const struct decimal *decimal) {
  uint64_t limit = (uint64_t)INT64_MAX + decimal->negative;
  bool minus_zero = decimal->negative && decimal->mantissa == 0;
  if (decimal->shift != 0 || decimal->mantissa > limit || minus_zero) {
    number_set_float(number, decimal);
    return;
  }
  number->kind = NUMBER_INTEGER;
  number->as.integer =
      (int64_t)(decimal->negative ? UINT64_C(0) - decimal->mantissa : decimal->mantissa);
}

const char *number_parse(const char *text, const char *end, struct number *number) {
  struct decimal decimal = {0};
  number->kind = NUMBER_INVALID;
  const char *at = text;
  decimal.negative = at < end && *at == '-';
  if (decimal.negative) at++;
  decimal.digits = at;
  if (!is_digit(at, end)) return at;
  if (*at == '0' && is_digit(at + 1, end)) return at + 1;
  at = decimal.digits_end = scan_digits(at, end, false, &decimal);
  if (at == end || (*at != '.' && (*at | 0x20) != 'e')) {
    number_set(number, &decimal);
    return at;
  }
  if (*at == '.') {
    if (!is_digit(at + 1, end)) return at + 1;
    at = decimal.digits_end = scan_digits(at + 1, end, true, &decimal);
  }
  if (at < end && (*at | 0x20) == 'e') {
    const char *after = scan_exponent(at + 1, end, &decimal);
    if (after == NULL) return at + 1 + (at + 1 < end && (at[1] == '-' || at[1] == '+'));
    at = after;
  }
  number_set_float(number, &decimal);
  return at;
}

/* ---- number to text ---- */

static const char digit_pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

/* Writes the digits of `value` so that they end before `end`; returns the first. */
static char *write_digits_before(char *end, uint64_t value) {
  while (value >= 100) {
    end -= 2;
    memcpy(end, digit_pairs + value % 100 * 2, 2);
    value /= 100;
  }
  if (value >= 10) {
    end -= 2;
    memcpy(end, digit_pairs + value * 2, 2);
    return end;
  }
  *--end = (char)('0' + value);
  return end;
}

static size_t write_digits(char *text, uint64_t value) {
  char digits[NUMBER_TEXT_MAX];
  char *first = write_digits_before(digits + sizeof digits, value);
  size_t length = (size_t)(digits + sizeof digits - first);
  memcpy(text, first, length);
  return length;
}

size_t number_format_integer(char text[NUMBER_TEXT_MAX], int64_t value) {
  size_t length = 0;
  uint64_t magnitude = (uint64_t)value;
  if (value < 0) {
    text[length++] = '-';
    magnitude = UINT64_C(0) - magnitude;
  }
  return length + write_digits(text + length, magnitude);
}

/* digits * 10^exponent */
struct shortest {
  uint64_t digits;
  int exponent;
};

/* The high bits of power * value, with a last bit for all that is below them. */
static uint64_t round_to_odd(struct power_of_ten power, uint64_t value) {
  uint64_t low = (uint64_t)(((uint128)power.low * value) >> 64);
  uint128 sum = (uint128)power.high * value + low;
  return (uint64_t)(sum >> 64) | ((uint64_t)sum > 1);
}

/* Giulietti's Schubfach: of the decimals inside the interval that rounds to the value, the
 * shortest, and of those the nearest. Everything is scaled by 4 to hold the half-ways. */
static struct shortest shortest_of(uint64_t fraction, int exponent) {
  bool normal = exponent != 0;
  uint64_t significand = normal ? fraction | (UINT64_C(1) << FRACTION_BITS) : fraction;
  int binary = (normal ? exponent : 1) - EXPONENT_BIAS - FRACTION_BITS;
  bool odd = significand & 1;
  bool lower_is_closer = fraction == 0 && exponent > 1;
  int k = (binary * 1262611 - (lower_is_closer ? 524031 : 0)) >> 22;
  int shift = binary + floor_log2_of_power_of_ten(-k) + 1;
  struct power_of_ten power = *power_of_ten(-k);

  uint64_t middle = significand * 4;
  uint64_t scaled = round_to_odd(power, middle << shift);
  uint64_t lower = round_to_odd(power, (middle - 2 + lower_is_closer) << shift) + odd;
  uint64_t upper = round_to_odd(power, (middle + 2) << shift) - odd;

  uint64_t whole = scaled / 4;
  if (whole >= 10) {
    uint64_t tens = whole / 10;
    bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
    if (down != up) return (struct shortest){tens + up, k + 1};
  }
  bool down = lower <= 4 * whole, up = 4 * whole + 4 <= upper;
  if (down != up) return (struct shortest){whole + up, k};
  uint64_t half = 4 * whole + 2;
  bool round_up = scaled > half || (scaled == half && (whole & 1));
  return (struct shortest){whole + round_up, k};
}

/* The same number without trailing zeros. */
static struct shortest strip_zeros(struct shortest number) {
  while (number.digits % 100 == 0) {
    number.digits /= 100;
    number.exponent += 2;
  }
  if (number.digits % 10 == 0) {
    number.digits /= 10;
    number.exponent++;
  }
  return number;
}

static size_t write_scientific(char *text, const char *digits, size_t count, int exponent) {
  size_t length = 0;
  text[length++] = digits[0];
  if (count > 1) {
    text[length++] = '.';
    memcpy(text + length, digits + 1, count - 1);
    length += count - 1;
  }
  text[length++] = 'e';
  text[length++] = exponent < 0 ? '-' : '+';
  return length + write_digits(text + length, (uint64_t)(exponent < 0 ? -exponent : exponent));
}

/* ECMAScript's Number::toString: `point` is where the point stands, seen from the digits'
 * start. */
static size_t write_shortest(char *text, struct shortest number) {
  char digits[NUMBER_TEXT_MAX];
  size_t count = write_digits(digits, number.digits);
  int point = (int)count + number.exponent;
  if (point > 21 || point <= -6) return write_scientific(text, digits, count, point - 1);
  if (point <= 0) {
    size_t zeros = (size_t)-point;
    memcpy(text, "0.", 2);
    memset(text + 2, '0', zeros);
    memcpy(text + 2 + zeros, digits, count);
    return 2 + zeros + count;
  }
  size_t whole = (size_t)point;
  if (whole >= count) {
    memcpy(text, digits, count);
    memset(text + count, '0', whole - count);
    return whole;
  }
  memcpy(text, digits, whole);
  text[whole] = '.';
  memcpy(text + whole + 1, digits + whole, count - whole);
  return count + 1;
}

size_t number_format_double(char text[NUMBER_TEXT_MAX], double value) {
  uint64_t bits = bits_of_double(value);
  uint64_t fraction = bits & FRACTION_MASK;
  int exponent = (int)(bits >> FRACTION_BITS) & EXPONENT_MASK;
  if (exponent == EXPONENT_MASK) return 0;
  /* Whole numbers in the range of exact integers are what scripts mostly write. */
  if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value) {
    return number_format_integer(text, (int64_t)value);
  }
  size_t sign = bits >> 63;
  if (sign) text[0] = '-';
  return sign + write_shortest(text + sign, strip_zeros(shortest_of(fraction, exponent)));
}
