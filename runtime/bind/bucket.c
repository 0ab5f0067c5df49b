#include "bind/bucket.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/timer.h"
#include "bind/notice.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/bucket.h"

#define CELL_TYPE "tidegate.limiter"
#define SECONDS_MAX 1e9 /* beyond any sensible span; keeps nanoseconds in 64 bits */
#define QUEUE_DEFAULT 1000
#define QUEUE_MAX 1000000
#define MEMORY_TEXT_MAX 128

static uint64_t now_of(lua_State *L) {
  return clock_monotonic_ns(worker_clock(worker_of(L)));
}

static uint64_t to_ns(double seconds) {
  if (!(seconds > 0)) return 0;
  return (uint64_t)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * 1e9);
}

/* The metatable is at hand, as upvalue 1 of each method: luaL_checkudata, which looks for it by
 * name, would take a third of the time of a token. */
static struct limiter *check_cell(lua_State *L) {
  struct limiter **handle = lua_touserdata(L, 1);
  if (handle == NULL || !lua_getmetatable(L, 1)) luaL_typeerror(L, 1, CELL_TYPE);
  if (!lua_rawequal(L, -1, lua_upvalueindex(1))) luaL_typeerror(L, 1, CELL_TYPE);
  lua_pop(L, 1);
  return *handle;
}

/* --- settings --- */

/* A whole number of the table at 2, 0 to `most`; `otherwise` when it is absent. */
static int64_t count_field(lua_State *L, const char *name, int64_t otherwise, int64_t most) {
  int64_t value = otherwise;
  if (lua_getfield(L, 2, name) != LUA_TNIL) {
    int is_integer;
    value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || value < 0)
      luaL_argerror(L, 2, lua_pushfstring(L, "%s must be a whole number from 0", name));
    if (value > most) value = most;
  }
  lua_pop(L, 1);
  return value;
}

static int cell_configure(lua_State *L) {
  struct limiter *cell = check_cell(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct limiter_settings settings = {
      .per_minute = count_field(L, "per_minute", LIMITER_NO_LIMIT, LIMITER_RATE_MAX),
      .per_hour = count_field(L, "per_hour", LIMITER_NO_LIMIT, LIMITER_RATE_MAX),
      .burst = count_field(L, "burst", 0, LIMITER_RATE_MAX),
      .queue_max = (size_t)count_field(L, "queue", QUEUE_DEFAULT, QUEUE_MAX),
  };
  limiter_configure(cell, &settings, now_of(L));
  return 0;
}

/* --- taking --- */

/* One who waits in line. The notice also comes when it is the first's turn, and at the end of a
 * wait. */
struct place {
  struct worker *worker;
  struct notice *notice;
  struct limiter_waiter *waiter;
  uint64_t began_ns;
};

static void leave(void *pointer) {
  struct place *place = pointer;
  if (place->waiter != NULL)
    limiter_leave(place->waiter, clock_monotonic_ns(worker_clock(place->worker)));
  notice_close(place->notice);
  free(place);
}

static int push_granted(lua_State *L, uint64_t waited_ns) {
  lua_pushboolean(L, 1);
  lua_pushnumber(L, (double)waited_ns / 1e9);
  return 2;
}

static int push_refused(lua_State *L, enum limiter_answer answer, uint64_t retry_after_ns) {
  lua_pushboolean(L, 0);
  lua_pushnumber(L, (double)retry_after_ns / 1e9);
  lua_pushstring(L, answer == LIMITER_REFUSED_PAUSE   ? "pause"
                    : answer == LIMITER_REFUSED_QUEUE ? "queue"
                                                      : "rate");
  return 3;
}

static int looked(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct place *place = operation_check(L, (int)context)->pointer;
  uint64_t now_ns = now_of(L), look_at_ns, retry_after_ns;
  enum limiter_answer answer = limiter_look(place->waiter, now_ns, &look_at_ns, &retry_after_ns);
  if (answer == LIMITER_GRANTED) return push_granted(L, now_ns - place->began_ns);
  if (answer != LIMITER_WAITS) return push_refused(L, answer, retry_after_ns);
  if (look_at_ns != UINT64_MAX) {
    uint64_t delay_ns = look_at_ns > now_ns ? look_at_ns - now_ns : 1;
    if (notice_after(place->notice, delay_ns) != 0) return luaL_error(L, "no memory for a timer");
  }
  return task_await(L, looked, context);
}

static int take_in_line(lua_State *L, struct limiter *cell, uint64_t max_wait_ns) {
  lua_settop(L, 2);
  struct operation *operation = operation_open(L, leave);
  struct notice *notice = notice_new(L);
  struct place *place = notice_hold(notice, sizeof *place);
  if (place == NULL) return luaL_error(L, "no memory to wait");
  uint64_t now_ns = now_of(L), retry_after_ns;
  *place = (struct place){.worker = worker_of(L), .notice = notice, .began_ns = now_ns};
  operation_hold(L, operation, place);
  enum limiter_answer answer = limiter_take(cell, now_ns, max_wait_ns, notice_send, place->notice,
                                            &place->waiter, &retry_after_ns);
  if (answer == LIMITER_GRANTED) return push_granted(L, 0);
  if (answer != LIMITER_WAITS) return push_refused(L, answer, retry_after_ns);
  return looked(L, LUA_OK, 3);
}

static int cell_take(lua_State *L) {
  struct limiter *cell = check_cell(L);
  double max_wait = luaL_checknumber(L, 2);
  /* Late by no more than a turn of the loop, which only makes it wait. */
  if (limiter_try(cell, worker_cached_ns(worker_of(L)))) return push_granted(L, 0);
  return take_in_line(L, cell, to_ns(max_wait));
}

static int cell_try(lua_State *L) {
  lua_pushboolean(L, limiter_try(check_cell(L), now_of(L)));
  return 1;
}

static int cell_give_back(lua_State *L) {
  limiter_give_back(check_cell(L), now_of(L));
  return 0;
}

static int cell_pause(lua_State *L) {
  struct limiter *cell = check_cell(L);
  uint64_t pause_ns = to_ns(luaL_checknumber(L, 2));
  uint64_t max_ns = to_ns(luaL_checknumber(L, 3));
  lua_pushnumber(L, (double)limiter_pause(cell, now_of(L), pause_ns, max_ns) / 1e9);
  return 1;
}

/* --- looking --- */

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static int cell_state(lua_State *L) {
  struct limiter_state state = limiter_read(check_cell(L), now_of(L));
  lua_createtable(L, 0, 8);
  if (state.minute_tokens >= 0) set_number(L, "minute", state.minute_tokens);
  if (state.hour_tokens >= 0) set_number(L, "hour", state.hour_tokens);
  set_integer(L, "waiting", state.waiting);
  set_number(L, "pause_seconds", (double)state.pause_ns / 1e9);
  set_number(L, "estimate_seconds", (double)state.estimate_ns / 1e9);
  set_integer(L, "granted", state.granted_total);
  set_integer(L, "refused", state.refused_total);
  set_integer(L, "waited", state.waited_total);
  return 1;
}

/* --- surviving a restart --- */

static int cell_save(lua_State *L) {
  struct limiter_memory memory;
  if (!limiter_save(check_cell(L), now_of(L), &memory)) return 0;
  char text[MEMORY_TEXT_MAX];
  snprintf(text, sizeof text, "%.17g %.17g %.9f", memory.minute_tokens, memory.hour_tokens,
           (double)memory.pause_ns / 1e9);
  lua_pushstring(L, text);
  return 1;
}

static int cell_restore(lua_State *L) {
  struct limiter *cell = check_cell(L);
  const char *text = luaL_checkstring(L, 2);
  double minute, hour, pause;
  int read = sscanf(text, "%lf %lf %lf", &minute, &hour, &pause);
  luaL_argcheck(L, read == 3 && isfinite(minute) && isfinite(hour) && isfinite(pause), 2,
                "not what save gave");
  struct limiter_memory memory = {
      .minute_tokens = minute, .hour_tokens = hour, .pause_ns = to_ns(pause)};
  limiter_restore(cell, &memory, to_ns(luaL_optnumber(L, 3, 0)), now_of(L));
  return 0;
}

struct listener {
  struct limiters *limiters;
  struct notice *notice;
};

static void stop_listening(void *pointer) {
  struct listener *listener = pointer;
  limiters_listen(listener->limiters, NULL, NULL);
  notice_close(listener->notice);
  free(listener);
}

static int next_pause(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct listener *listener = operation_check(L, (int)context)->pointer;
  const char *name = limiters_take_paused(listener->limiters);
  if (name == NULL) return task_await(L, next_pause, context);
  lua_pushstring(L, name);
  return 1;
}

static int l_next_pause(lua_State *L) {
  lua_settop(L, 0);
  struct operation *operation = operation_open(L, stop_listening);
  struct notice *notice = notice_new(L);
  struct listener *listener = notice_hold(notice, sizeof *listener);
  if (listener == NULL) return luaL_error(L, "no memory to listen");
  *listener = (struct listener){.limiters = shared_of(L)->limiters, .notice = notice};
  if (!limiters_listen(listener->limiters, notice_send, notice)) {
    notice_close(notice);
    free(listener);
    return luaL_error(L, "another task waits for pauses already");
  }
  operation_hold(L, operation, listener);
  return next_pause(L, LUA_OK, 1);
}

static int l_limiter(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct limiter **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = limiters_cell(shared_of(L)->limiters, name);
  if (*handle == NULL) return luaL_error(L, "no limiter for '%s': bad name, or too many", name);
  luaL_setmetatable(L, CELL_TYPE);
  return 1;
}

static const luaL_Reg cell_methods[] = {
    {"configure", cell_configure}, {"take", cell_take},       {"try", cell_try},
    {"give_back", cell_give_back}, {"pause", cell_pause},     {"state", cell_state},
    {"save", cell_save},           {"restore", cell_restore}, {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"limiter", l_limiter},
    {"next_pause", l_next_pause},
    {NULL, NULL},
};

int luaopen_tide_state_bucket(lua_State *L) {
  luaL_newmetatable(L, CELL_TYPE);
  luaL_newlibtable(L, cell_methods);
  lua_pushvalue(L, -2);
  luaL_setfuncs(L, cell_methods, 1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, module_functions);
  return 1;
}
