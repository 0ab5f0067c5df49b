#include "bind/re.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>

#include "bind/operation.h"
#include "io/regex.h"

#define REGEX_TYPE "tidegate.Regex"
#define ENGINE_TYPE "tidegate.regex_engine"
#define MATCHES_DEFAULT 1000
#define MATCHES_MAX 100000
#define RESULT_MAX ((size_t)64 << 20)
/* Two generations of at most this many: what is used moves to the young one, and the old one
 * goes when the young is full. Together they are the cache of 512. */
#define GENERATION_MAX 256

struct engine {
  struct regex_engine *engine;
  int young_count; /* patterns in the young generation */
};

enum { VALUE_YOUNG = 1, VALUE_OLD = 2 };

static struct engine *engine_of(lua_State *L) {
  struct engine *engine = lua_touserdata(L, lua_upvalueindex(1));
  if (engine->engine == NULL) luaL_error(L, "tide.re is closed: the worker is stopping");
  return engine;
}

static struct regex *check_regex(lua_State *L, int index) {
  return *(struct regex **)luaL_checkudata(L, index, REGEX_TYPE);
}

static unsigned check_flags(lua_State *L, int index) {
  unsigned flags = 0;
  for (const char *at = luaL_optstring(L, index, ""); *at != '\0'; at++) {
    if (*at == 'i')
      flags |= REGEX_CASELESS;
    else if (*at == 'm')
      flags |= REGEX_MULTILINE;
    else if (*at == 's')
      flags |= REGEX_DOT_ALL;
    else if (*at == 'x')
      flags |= REGEX_EXTENDED;
    else
      luaL_argerror(L, index, "flags of i, m, s and x expected");
  }
  return flags;
}

/* Pushes the compiled pattern, or nothing (false). */
static bool push_compiled(lua_State *L, int index, unsigned flags, struct err *err) {
  size_t length;
  const char *pattern = lua_tolstring(L, index, &length);
  struct regex **regex = lua_newuserdatauv(L, sizeof *regex, 0);
  *regex = NULL;
  luaL_setmetatable(L, REGEX_TYPE);
  *regex = regex_compile(pattern, length, flags, err);
  if (*regex == NULL) {
    lua_pop(L, 1);
    return false;
  }
  /* The collector must know of memory that it does not see. */
  lua_gc(L, LUA_GCSTEP, (int)(regex_memory(*regex) / 1024) + 1);
  return true;
}

/* Stores the value on top under the key in the young generation, making it the old one
 * when it is full. Leaves the value on top. */
static void keep(lua_State *L, struct engine *engine, int key) {
  if (engine->young_count >= GENERATION_MAX) {
    lua_getiuservalue(L, lua_upvalueindex(1), VALUE_YOUNG);
    lua_setiuservalue(L, lua_upvalueindex(1), VALUE_OLD);
    lua_createtable(L, 0, GENERATION_MAX);
    lua_setiuservalue(L, lua_upvalueindex(1), VALUE_YOUNG);
    engine->young_count = 0;
  }
  lua_getiuservalue(L, lua_upvalueindex(1), VALUE_YOUNG);
  lua_pushvalue(L, key);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  engine->young_count++;
}

/* Pushes what the generation has under the key; false (nothing pushed) when it has none. */
static bool push_kept(lua_State *L, int generation, int key) {
  lua_getiuservalue(L, lua_upvalueindex(1), generation);
  lua_pushvalue(L, key);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

/* Pushes the Regex of the pattern and flags at the two indexes, from the cache when it is
 * there; false (nothing pushed) with `err` for a bad pattern. */
static bool push_regex(lua_State *L, int pattern, int flags_index, struct err *err) {
  struct engine *engine = engine_of(L);
  luaL_checkstring(L, pattern);
  unsigned flags = check_flags(L, flags_index);
  lua_pushfstring(L, "%c", (int)('a' + flags));
  lua_pushvalue(L, pattern);
  lua_concat(L, 2);
  int key = lua_gettop(L);
  bool found = push_kept(L, VALUE_YOUNG, key);
  if (!found) {
    found = push_kept(L, VALUE_OLD, key) || push_compiled(L, pattern, flags, err);
    if (found) keep(L, engine, key);
  }
  if (found) lua_replace(L, key);
  if (!found) lua_pop(L, 1);
  return found;
}

static int l_compile(lua_State *L) {
  struct err err;
  lua_settop(L, 2);
  if (!push_regex(L, 1, 2, &err)) return bind_fail(L, &err);
  return 1;
}

/* string.find's way: 1 by default, negative from the end. As an offset from 0; one past the
 * end of the subject or more when there is nothing to search. */
static size_t check_init(lua_State *L, int index, size_t length) {
  lua_Integer init = luaL_optinteger(L, index, 1);
  if (init > 0) return (lua_Unsigned)init - 1 > length ? length + 1 : (size_t)init - 1;
  if (init == 0 || init < -(lua_Integer)length) return 0;
  return length - (size_t)-init;
}

/* The searches below work on the Regex at index 1 and the subject at index 2. */
static bool start_search(lua_State *L, struct regex_search *search, size_t offset,
                         struct err *err) {
  size_t length;
  const char *subject = lua_tolstring(L, 2, &length);
  return regex_search_init(search, engine_of(L)->engine, check_regex(L, 1), subject, length, offset,
                           err) == 0;
}

static size_t check_search(lua_State *L, int init) {
  size_t length;
  check_regex(L, 1);
  luaL_checklstring(L, 2, &length);
  return init == 0 ? 0 : check_init(L, init, length);
}

static void push_group(lua_State *L, const struct regex_search *search,
                       const struct regex_match *match, size_t group) {
  size_t start = match->offsets[2 * group], end = match->offsets[2 * group + 1];
  if (start == REGEX_UNSET)
    lua_pushboolean(L, 0);
  else
    lua_pushlstring(L, search->subject + start, end - start);
}

/* A name that several groups share stands for the first of them that took part. */
static void set_names(lua_State *L, const struct regex_search *search,
                      const struct regex_match *match) {
  size_t count = regex_name_count(search->regex);
  for (size_t index = 0; index < count; index++) {
    size_t length, group;
    const char *name = regex_name(search->regex, index, &length, &group);
    lua_pushlstring(L, name, length);
    lua_pushvalue(L, -1);
    bool taken = lua_rawget(L, -3) != LUA_TNIL && lua_toboolean(L, -1);
    lua_pop(L, 1);
    push_group(L, search, match, group);
    if (taken)
      lua_pop(L, 2);
    else
      lua_rawset(L, -3);
  }
}

static void push_match(lua_State *L, const struct regex_search *search,
                       const struct regex_match *match) {
  size_t names = regex_name_count(search->regex);
  lua_createtable(L, (int)match->group_count, (int)names + 3);
  set_names(L, search, match);
  for (size_t group = 0; group <= match->group_count; group++) {
    push_group(L, search, match, group);
    lua_rawseti(L, -2, (lua_Integer)group);
  }
  lua_pushinteger(L, (lua_Integer)match->offsets[0] + 1);
  lua_setfield(L, -2, "start");
  lua_pushinteger(L, (lua_Integer)match->offsets[1]);
  lua_setfield(L, -2, "stop");
}

static int run_test(lua_State *L, size_t offset) {
  struct regex_search search;
  struct regex_match match;
  struct err err;
  if (!start_search(L, &search, offset, &err)) return bind_fail(L, &err);
  int found = regex_search_next(&search, &match, &err);
  if (found < 0) return bind_fail(L, &err);
  lua_pushboolean(L, found);
  return 1;
}

static int run_match(lua_State *L, size_t offset) {
  struct regex_search search;
  struct regex_match match;
  struct err err;
  if (!start_search(L, &search, offset, &err)) return bind_fail(L, &err);
  int found = regex_search_next(&search, &match, &err);
  if (found < 0) return bind_fail(L, &err);
  if (found == 0)
    lua_pushnil(L);
  else
    push_match(L, &search, &match);
  return 1;
}

static int l_test(lua_State *L) {
  lua_settop(L, 3);
  return run_test(L, check_search(L, 3));
}

static int l_match(lua_State *L) {
  lua_settop(L, 3);
  return run_match(L, check_search(L, 3));
}

static int l_matches(lua_State *L) {
  struct regex_search search;
  struct regex_match match;
  struct err err;
  lua_settop(L, 3);
  check_search(L, 0);
  lua_Integer limit = luaL_optinteger(L, 3, MATCHES_DEFAULT);
  luaL_argcheck(L, limit >= 1 && limit <= MATCHES_MAX, 3, "a limit of 1 to 100000 expected");
  if (!start_search(L, &search, 0, &err)) return bind_fail(L, &err);
  lua_newtable(L);
  for (lua_Integer count = 1; count <= limit; count++) {
    int found = regex_search_next(&search, &match, &err);
    if (found < 0) return bind_fail(L, &err);
    if (found == 0) break;
    push_match(L, &search, &match);
    lua_rawseti(L, -2, count);
  }
  return 1;
}

/* What comes after a '$' in a replacement: a group's number, or a literal '$' (-1). */
struct reference {
  int group;
  size_t length; /* with the '$' */
};

static int named_group(const struct regex *regex, const char *name, size_t length) {
  size_t count = regex_name_count(regex), name_length, group;
  for (size_t index = 0; index < count; index++) {
    const char *other = regex_name(regex, index, &name_length, &group);
    if (name_length == length && memcmp(other, name, length) == 0) return (int)group;
  }
  return -2;
}

/* The number at the start of the text, at most two digits; -2 when there is none. */
static int group_number(const char *at, const char *end, size_t *length) {
  int number = 0;
  *length = 0;
  while (*length < 2 && at + *length < end && at[*length] >= '0' && at[*length] <= '9')
    number = number * 10 + (at[(*length)++] - '0');
  return *length == 0 ? -2 : number;
}

static struct reference braced_reference(const struct regex *regex, const char *at,
                                         const char *end) {
  struct reference reference = {.group = -2};
  size_t digits;
  const char *close = memchr(at, '}', (size_t)(end - at));
  if (close == NULL || close == at + 2) return reference;
  const char *name = at + 2;
  size_t length = (size_t)(close - name);
  reference.length = length + 3;
  reference.group = group_number(name, close, &digits);
  if (digits != length) reference.group = named_group(regex, name, length);
  return reference;
}

/* Reads the reference whose '$' is at `at`; group -2 when it is none, or of no group. */
static struct reference read_reference(const struct regex *regex, const char *at, const char *end) {
  struct reference reference = {.group = -2};
  size_t digits;
  if (at + 1 < end && at[1] == '$') return (struct reference){.group = -1, .length = 2};
  if (at + 1 < end && at[1] == '{')
    reference = braced_reference(regex, at, end);
  else {
    reference.group = group_number(at + 1, end, &digits);
    reference.length = digits + 1;
  }
  if (reference.group > (int)regex_group_count(regex)) reference.group = -2;
  return reference;
}

static void check_replacement(lua_State *L, int index, const struct regex *regex) {
  size_t length;
  const char *at = luaL_checklstring(L, index, &length);
  const char *end = at + length;
  while ((at = memchr(at, '$', (size_t)(end - at))) != NULL) {
    struct reference reference = read_reference(regex, at, end);
    luaL_argcheck(L, reference.group != -2, index,
                  "a '$' stands before the number or {name} of a group, or before another '$'");
    at += reference.length;
  }
}

static void add_replacement(luaL_Buffer *buffer, const struct regex_search *search,
                            const struct regex_match *match, const char *at, const char *end) {
  while (at < end) {
    const char *dollar = memchr(at, '$', (size_t)(end - at));
    if (dollar == NULL) dollar = end;
    luaL_addlstring(buffer, at, (size_t)(dollar - at));
    if (dollar == end) return;
    struct reference reference = read_reference(search->regex, dollar, end);
    at = dollar + reference.length;
    if (reference.group < 0) {
      luaL_addchar(buffer, '$');
      continue;
    }
    const size_t *group = &match->offsets[2 * reference.group];
    if (group[0] != REGEX_UNSET)
      luaL_addlstring(buffer, search->subject + group[0], group[1] - group[0]);
  }
}

static int run_replace(lua_State *L) {
  struct regex_search search;
  struct regex_match match;
  struct err err;
  size_t length, copied = 0;
  lua_Integer count = 0;
  const char *replacement = lua_tolstring(L, 3, &length);
  if (!start_search(L, &search, 0, &err)) return bind_fail(L, &err);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  int found;
  while ((found = regex_search_next(&search, &match, &err)) == 1) {
    luaL_addlstring(&buffer, search.subject + copied, match.offsets[0] - copied);
    add_replacement(&buffer, &search, &match, replacement, replacement + length);
    copied = match.offsets[1];
    count++;
    if (luaL_bufflen(&buffer) <= RESULT_MAX) continue;
    err_set(&err, "too_large", "the result of the replacement passes 64 MiB");
    found = -1;
    break;
  }
  if (found < 0) return bind_fail(L, &err);
  luaL_addlstring(&buffer, search.subject + copied, search.length - copied);
  luaL_pushresult(&buffer);
  lua_pushinteger(L, count);
  return 2;
}

static int l_replace(lua_State *L) {
  lua_settop(L, 3);
  check_search(L, 0);
  check_replacement(L, 3, check_regex(L, 1));
  return run_replace(L);
}

/* The shorthands come as (subject, pattern, …): compiles and puts the Regex at index 1. */
static void compile_first(lua_State *L, int flags_index) {
  struct err err;
  luaL_checkstring(L, 1);
  if (!push_regex(L, 2, flags_index, &err)) luaL_argerror(L, 2, lua_pushstring(L, err.message));
  lua_pushvalue(L, 1);
  lua_replace(L, 2);
  lua_replace(L, 1);
}

static int l_test_once(lua_State *L) {
  lua_settop(L, 3);
  compile_first(L, 3);
  return run_test(L, 0);
}

static int l_match_once(lua_State *L) {
  lua_settop(L, 3);
  compile_first(L, 3);
  return run_match(L, 0);
}

static int l_replace_once(lua_State *L) {
  lua_settop(L, 4);
  luaL_checkstring(L, 3);
  compile_first(L, 4);
  check_replacement(L, 3, check_regex(L, 1));
  return run_replace(L);
}

static int l_free_regex(lua_State *L) {
  struct regex **regex = luaL_checkudata(L, 1, REGEX_TYPE);
  regex_free(*regex);
  *regex = NULL;
  return 0;
}

static int l_free_engine(lua_State *L) {
  struct engine *engine = luaL_checkudata(L, 1, ENGINE_TYPE);
  regex_engine_free(engine->engine);
  engine->engine = NULL;
  return 0;
}

static void push_engine(lua_State *L) {
  struct engine *engine = lua_newuserdatauv(L, sizeof *engine, 2);
  *engine = (struct engine){0};
  luaL_newmetatable(L, ENGINE_TYPE);
  lua_pushcfunction(L, l_free_engine);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  for (int generation = VALUE_YOUNG; generation <= VALUE_OLD; generation++) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, generation);
  }
  engine->engine = regex_engine_new();
  if (engine->engine == NULL) luaL_error(L, "not enough memory");
}

static const luaL_Reg methods[] = {
    {"test", l_test},       {"match", l_match}, {"matches", l_matches},
    {"replace", l_replace}, {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"compile", l_compile},      {"test", l_test_once}, {"match", l_match_once},
    {"replace", l_replace_once}, {NULL, NULL},
};

int luaopen_tide_re(lua_State *L) {
  luaL_newlibtable(L, module_functions);
  push_engine(L);
  luaL_newmetatable(L, REGEX_TYPE);
  lua_pushcfunction(L, l_free_regex);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "Regex");
  lua_setfield(L, -2, "__metatable");
  luaL_newlibtable(L, methods);
  lua_pushvalue(L, -3);
  luaL_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
