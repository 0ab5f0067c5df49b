#include "bind/time.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>

#include "base/clock.h"
#include "base/time_format.h"
#include "bind/bytes.h"
#include "bind/operation.h"
#include "engine/worker.h"

#define STRFTIME_MAX 4096
#define OFFSET_MINUTES_MAX 1440

static const struct clock *clock_of(lua_State *L) {
  return worker_clock(worker_of(L));
}

/* The argument as a count of `unit` parts of a second, rounded; the present when absent. */
static int64_t check_instant(lua_State *L, int index, int unit, bool down) {
  if (lua_isnoneornil(L, index)) {
    int64_t now = clock_wall_ms(clock_of(L));
    return unit == 1000 ? now : (int64_t)floor((double)now / 1000);
  }
  double seconds = luaL_checknumber(L, index);
  bool valid =
      seconds >= (double)TIME_FORMAT_FIRST_SECOND && seconds < (double)TIME_FORMAT_LAST_SECOND + 1;
  luaL_argcheck(L, valid, index, "seconds since 1970, in the years 0000 to 9999, expected");
  double scaled = seconds * unit;
  return (int64_t)(down ? floor(scaled) : round(scaled));
}

static int l_now(lua_State *L) {
  lua_pushnumber(L, (double)clock_wall_ms(clock_of(L)) / 1000);
  return 1;
}

static int l_monotonic(lua_State *L) {
  lua_pushnumber(L, (double)clock_monotonic_ns(clock_of(L)) / 1e9);
  return 1;
}

static int l_format(lua_State *L) {
  char text[TIME_FORMAT_RFC3339_LENGTH + 1];
  lua_settop(L, 1);
  int64_t wall_ms = check_instant(L, 1, 1000, false);
  if (time_format_rfc3339(wall_ms, text) != 0) return luaL_argerror(L, 1, "year out of range");
  lua_pushlstring(L, text, TIME_FORMAT_RFC3339_LENGTH);
  return 1;
}

static int l_parse(lua_State *L) {
  size_t length;
  struct err err;
  int64_t microseconds;
  lua_settop(L, 1);
  const char *text = luaL_checklstring(L, 1, &length);
  if (time_format_parse_rfc3339(text, length, &microseconds, &err) != 0) return bind_fail(L, &err);
  lua_pushnumber(L, (double)microseconds / 1e6);
  return 1;
}

static int l_format_http(lua_State *L) {
  char text[TIME_FORMAT_HTTP_LENGTH + 1];
  lua_settop(L, 1);
  int64_t seconds = check_instant(L, 1, 1, true);
  if (time_format_http(seconds, text) != 0) return luaL_argerror(L, 1, "year out of range");
  lua_pushlstring(L, text, TIME_FORMAT_HTTP_LENGTH);
  return 1;
}

static int l_parse_http(lua_State *L) {
  size_t length;
  struct err err;
  int64_t seconds;
  lua_settop(L, 1);
  const char *text = luaL_checklstring(L, 1, &length);
  int64_t now = clock_wall_ms(clock_of(L)) / 1000;
  if (time_format_parse_http(text, length, now, &seconds, &err) != 0) return bind_fail(L, &err);
  lua_pushnumber(L, (double)seconds);
  return 1;
}

static int l_strftime(lua_State *L) {
  size_t length;
  struct err err;
  lua_settop(L, 3);
  const char *format = luaL_checklstring(L, 1, &length);
  int64_t seconds = check_instant(L, 2, 1, true);
  lua_Integer offset = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, offset >= -OFFSET_MINUTES_MAX && offset <= OFFSET_MINUTES_MAX, 3,
                "an offset in minutes, at most a day, expected");
  struct buf *out = bytes_open(L, STRFTIME_MAX);
  if (time_format_strftime(format, length, seconds, (int)offset, out, &err) != 0)
    return luaL_argerror(L, 1, lua_pushstring(L, err.message));
  bytes_push(L, out);
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"now", l_now},
    {"monotonic", l_monotonic},
    {"format", l_format},
    {"parse", l_parse},
    {"format_http", l_format_http},
    {"parse_http", l_parse_http},
    {"strftime", l_strftime},
    {NULL, NULL},
};

int luaopen_tide_time(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
