#include "base/time_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS 86400
#define DAYS_0000_TO_1970 719528
#define STRFTIME_PART_MAX 128

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday"};

/* A moment by the proleptic Gregorian calendar. */
struct civil {
  int year, month, day; /* month and day count from 1 */
  int hour, minute, second;
};

static bool is_leap_year(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month) {
  static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap_year(year) ? 29 : days[month - 1];
}

/* Days from 0000-01-01 to the first of January of `year`. */
static int64_t days_before_year(int64_t year) {
  if (year == 0) return 0;
  int64_t last = year - 1;
  return year * 365 + last / 4 - last / 100 + last / 400 + 1;
}

static int days_before_month(int year, int month) {
  int days = 0;
  for (int before = 1; before < month; before++) days += days_in_month(year, before);
  return days;
}

static int64_t civil_to_seconds(const struct civil *civil) {
  int64_t days = days_before_year(civil->year) + days_before_month(civil->year, civil->month) +
                 civil->day - 1 - DAYS_0000_TO_1970;
  return days * DAY_SECONDS + civil->hour * 3600 + civil->minute * 60 + civil->second;
}

/* The day of the week (0: Sunday) and of the year (from 0) come along for strftime. */
static void civil_from_seconds(int64_t seconds, struct civil *civil, int *week_day, int *year_day) {
  int64_t from_0000 = seconds + (int64_t)DAYS_0000_TO_1970 * DAY_SECONDS;
  int64_t days = from_0000 / DAY_SECONDS;
  int rest = (int)(from_0000 % DAY_SECONDS);
  int year = (int)(days / 366);
  while (days_before_year(year + 1) <= days) year++;
  int day = (int)(days - days_before_year(year));
  *week_day = (int)((days + 6) % 7);
  *year_day = day;
  int month = 1;
  while (day >= days_in_month(year, month)) day -= days_in_month(year, month++);
  *civil = (struct civil){year, month, day + 1, rest / 3600, rest / 60 % 60, rest % 60};
}

static bool in_range(int64_t seconds) {
  return seconds >= TIME_FORMAT_FIRST_SECOND && seconds <= TIME_FORMAT_LAST_SECOND;
}

static char *put_digits(char *out, int value, int count) {
  for (int index = count - 1; index >= 0; index--) {
    out[index] = (char)('0' + value % 10);
    value /= 10;
  }
  return out + count;
}

static char *put_text(char *out, const char *text, size_t length) {
  memcpy(out, text, length);
  return out + length;
}

static char *put_clock(char *out, const struct civil *civil) {
  out = put_digits(out, civil->hour, 2);
  *out++ = ':';
  out = put_digits(out, civil->minute, 2);
  *out++ = ':';
  return put_digits(out, civil->second, 2);
}

int time_format_rfc3339(int64_t wall_ms, char out[TIME_FORMAT_RFC3339_LENGTH + 1]) {
  struct civil civil;
  int week_day, year_day;
  int64_t seconds = wall_ms / 1000;
  int milliseconds = (int)(wall_ms % 1000);
  if (milliseconds < 0) {
    milliseconds += 1000;
    seconds--;
  }
  if (!in_range(seconds)) return -1;
  civil_from_seconds(seconds, &civil, &week_day, &year_day);
  out = put_digits(out, civil.year, 4);
  *out++ = '-';
  out = put_digits(out, civil.month, 2);
  *out++ = '-';
  out = put_digits(out, civil.day, 2);
  *out++ = 'T';
  out = put_clock(out, &civil);
  *out++ = '.';
  out = put_digits(out, milliseconds, 3);
  put_text(out, "Z", 2);
  return 0;
}

int time_format_http(int64_t seconds, char out[TIME_FORMAT_HTTP_LENGTH + 1]) {
  struct civil civil;
  int week_day, year_day;
  if (!in_range(seconds)) return -1;
  civil_from_seconds(seconds, &civil, &week_day, &year_day);
  out = put_text(out, day_names[week_day], 3);
  out = put_text(out, ", ", 2);
  out = put_digits(out, civil.day, 2);
  *out++ = ' ';
  out = put_text(out, month_names[civil.month - 1], 3);
  *out++ = ' ';
  out = put_digits(out, civil.year, 4);
  *out++ = ' ';
  out = put_clock(out, &civil);
  put_text(out, " GMT", 5);
  return 0;
}

/* What is left to read. Each take_… moves on only when it succeeds. */
struct reader {
  const char *at;
  const char *end;
};

static bool take_char(struct reader *reader, char c) {
  if (reader->at == reader->end || *reader->at != c) return false;
  reader->at++;
  return true;
}

static bool take_text(struct reader *reader, const char *text) {
  size_t length = strlen(text);
  if ((size_t)(reader->end - reader->at) < length) return false;
  if (memcmp(reader->at, text, length) != 0) return false;
  reader->at += length;
  return true;
}

static bool is_digit(const struct reader *reader) {
  return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static bool take_number(struct reader *reader, int count, int minimum, int maximum, int *value) {
  struct reader ahead = *reader;
  int result = 0;
  for (int index = 0; index < count; index++) {
    if (!is_digit(&ahead)) return false;
    result = result * 10 + (*ahead.at++ - '0');
  }
  if (result < minimum || result > maximum) return false;
  *value = result;
  *reader = ahead;
  return true;
}

static bool take_month(struct reader *reader, int *month) {
  for (int index = 0; index < 12; index++) {
    if (!take_text(reader, month_names[index])) continue;
    *month = index + 1;
    return true;
  }
  return false;
}

static bool take_clock(struct reader *reader, struct civil *civil) {
  return take_number(reader, 2, 0, 23, &civil->hour) && take_char(reader, ':') &&
         take_number(reader, 2, 0, 59, &civil->minute) && take_char(reader, ':') &&
         take_number(reader, 2, 0, 60, &civil->second);
}

static bool take_fraction(struct reader *reader, int *microseconds) {
  *microseconds = 0;
  if (!take_char(reader, '.')) return true;
  if (!is_digit(reader)) return false;
  for (int scale = 100000; is_digit(reader); scale /= 10)
    *microseconds += (*reader->at++ - '0') * scale;
  return true;
}

static bool take_offset(struct reader *reader, int *minutes) {
  *minutes = 0;
  if (take_char(reader, 'Z') || take_char(reader, 'z')) return true;
  int hour, minute, sign = 1;
  if (take_char(reader, '-'))
    sign = -1;
  else if (!take_char(reader, '+'))
    return false;
  if (!take_number(reader, 2, 0, 23, &hour) || !take_char(reader, ':') ||
      !take_number(reader, 2, 0, 59, &minute))
    return false;
  *minutes = sign * (hour * 60 + minute);
  return true;
}

/* The calendar's own rule, and the leap second's: only in the last minute of a UTC day. */
static bool civil_is_real(const struct civil *civil, int64_t seconds) {
  if (civil->day > days_in_month(civil->year, civil->month)) return false;
  if (civil->second < 60) return true;
  int64_t into_day = seconds % DAY_SECONDS;
  return into_day == 0;
}

int time_format_parse_rfc3339(const char *text, size_t length, int64_t *microseconds,
                              struct err *err) {
  struct reader reader = {text, text + length};
  struct civil civil;
  int fraction = 0, offset = 0;
  bool read = take_number(&reader, 4, 0, 9999, &civil.year) && take_char(&reader, '-') &&
              take_number(&reader, 2, 1, 12, &civil.month) && take_char(&reader, '-') &&
              take_number(&reader, 2, 1, 31, &civil.day) &&
              (take_char(&reader, 'T') || take_char(&reader, 't')) && take_clock(&reader, &civil) &&
              take_fraction(&reader, &fraction) && take_offset(&reader, &offset) &&
              reader.at == reader.end;
  if (!read)
    return err_set(err, "invalid_time",
                   "not an RFC 3339 date-time (expected e.g. 2026-01-15T09:00:00Z), at byte %zu",
                   (size_t)(reader.at - text) + 1);
  int64_t seconds = civil_to_seconds(&civil) - (int64_t)offset * 60;
  if (!civil_is_real(&civil, seconds))
    return err_set(err, "invalid_time", "no such day or leap second");
  *microseconds = seconds * 1000000 + fraction;
  return 0;
}

static bool take_day_name(struct reader *reader, bool whole) {
  for (int index = 0; index < 7; index++) {
    char name[16] = "";
    memcpy(name, day_names[index], whole ? strlen(day_names[index]) : 3);
    if (take_text(reader, name)) return true;
  }
  return false;
}

static bool take_imf_fixdate(struct reader *reader, struct civil *civil) {
  return take_day_name(reader, false) && take_text(reader, ", ") &&
         take_number(reader, 2, 1, 31, &civil->day) && take_char(reader, ' ') &&
         take_month(reader, &civil->month) && take_char(reader, ' ') &&
         take_number(reader, 4, 0, 9999, &civil->year) && take_char(reader, ' ') &&
         take_clock(reader, civil) && take_text(reader, " GMT");
}

static int whole_year(int two_digits, int64_t now_seconds) {
  struct civil now;
  int week_day, year_day;
  if (!in_range(now_seconds)) now_seconds = 0;
  civil_from_seconds(now_seconds, &now, &week_day, &year_day);
  int year = now.year - now.year % 100 + two_digits;
  return year > now.year + 50 && year >= 100 ? year - 100 : year;
}

static bool take_rfc850_date(struct reader *reader, int64_t now_seconds, struct civil *civil) {
  int year;
  bool read = take_day_name(reader, true) && take_text(reader, ", ") &&
              take_number(reader, 2, 1, 31, &civil->day) && take_char(reader, '-') &&
              take_month(reader, &civil->month) && take_char(reader, '-') &&
              take_number(reader, 2, 0, 99, &year) && take_char(reader, ' ') &&
              take_clock(reader, civil) && take_text(reader, " GMT");
  if (read) civil->year = whole_year(year, now_seconds);
  return read;
}

static bool take_asctime_date(struct reader *reader, struct civil *civil) {
  return take_day_name(reader, false) && take_char(reader, ' ') &&
         take_month(reader, &civil->month) && take_char(reader, ' ') &&
         (take_char(reader, ' ') ? take_number(reader, 1, 1, 9, &civil->day)
                                 : take_number(reader, 2, 1, 31, &civil->day)) &&
         take_char(reader, ' ') && take_clock(reader, civil) && take_char(reader, ' ') &&
         take_number(reader, 4, 0, 9999, &civil->year);
}

int time_format_parse_http(const char *text, size_t length, int64_t now_seconds, int64_t *seconds,
                           struct err *err) {
  const struct reader whole = {text, text + length};
  struct reader reader = whole;
  struct civil civil;
  bool read = take_imf_fixdate(&reader, &civil);
  if (!read) {
    reader = whole;
    read = take_rfc850_date(&reader, now_seconds, &civil);
  }
  if (!read) {
    reader = whole;
    read = take_asctime_date(&reader, &civil);
  }
  if (!read || reader.at != reader.end)
    return err_set(err, "invalid_time",
                   "not an HTTP date (expected e.g. Sun, 06 Nov 1994 08:49:37 GMT)");
  int64_t result = civil_to_seconds(&civil);
  if (!civil_is_real(&civil, result))
    return err_set(err, "invalid_time", "no such day or leap second");
  *seconds = result;
  return 0;
}

/* The length of the conversion after '%' when it is one of C99, else 0. */
static size_t conversion_length(const char *at, const char *end) {
  static const char plain[] = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
  static const char after_e[] = "cCxXyY";
  static const char after_o[] = "deHImMSuUVwWy";
  if (at == end || *at == '\0') return 0;
  if (strchr(plain, *at) != NULL) return 1;
  if (*at != 'E' && *at != 'O') return 0;
  if (at + 1 == end || at[1] == '\0') return 0;
  return strchr(*at == 'E' ? after_e : after_o, at[1]) != NULL ? 2 : 0;
}

static int append_conversion(struct buf *out, const char *at, size_t length, const struct tm *tm) {
  char format[4] = "%";
  char part[STRFTIME_PART_MAX];
  memcpy(format + 1, at, length);
  return buf_append(out, part, strftime(part, sizeof part, format, tm));
}

static void name_zone(char zone[8], int offset_minutes) {
  int size = offset_minutes < 0 ? -offset_minutes : offset_minutes;
  if (offset_minutes == 0)
    memcpy(zone, "UTC", 4);
  else
    snprintf(zone, 8, "%c%02u:%02u", offset_minutes < 0 ? '-' : '+', (unsigned)size / 60 % 100,
             (unsigned)size % 60);
}

static int fill_tm(int64_t seconds, int offset_minutes, struct tm *tm, struct err *err) {
  struct civil civil;
  int64_t local = in_range(seconds) ? seconds + (int64_t)offset_minutes * 60 : seconds;
  if (!in_range(local))
    return err_set(err, "invalid_time", "the year lies outside of 0000 to 9999");
  *tm = (struct tm){.tm_gmtoff = (long)offset_minutes * 60};
  civil_from_seconds(local, &civil, &tm->tm_wday, &tm->tm_yday);
  tm->tm_year = civil.year - 1900;
  tm->tm_mon = civil.month - 1;
  tm->tm_mday = civil.day;
  tm->tm_hour = civil.hour;
  tm->tm_min = civil.minute;
  tm->tm_sec = civil.second;
  return 0;
}

int time_format_strftime(const char *format, size_t length, int64_t seconds, int offset_minutes,
                         struct buf *out, struct err *err) {
  struct tm tm;
  char zone[8];
  if (fill_tm(seconds, offset_minutes, &tm, err) != 0) return -1;
  name_zone(zone, offset_minutes);
  tm.tm_zone = zone;
  const char *end = format + length;
  for (const char *at = format; at < end;) {
    const char *percent = memchr(at, '%', (size_t)(end - at));
    const char *stop = percent == NULL ? end : percent;
    if (buf_append(out, at, (size_t)(stop - at)) != 0)
      return err_set(err, "too_large", "the formatted time is too long");
    if (percent == NULL) break;
    size_t conversion = conversion_length(percent + 1, end);
    if (conversion == 0)
      return err_set(err, "invalid_format", "no such conversion in the format, at byte %zu",
                     (size_t)(percent - format) + 1);
    if (append_conversion(out, percent + 1, conversion, &tm) != 0)
      return err_set(err, "too_large", "the formatted time is too long");
    at = percent + 1 + conversion;
  }
  return 0;
}
