#include "bind/operation.h"

#include <lauxlib.h>

#include "engine/worker.h"

#define OPERATION_TYPE "tidegate.operation"

static int l_close(lua_State *L) {
  struct operation *operation = luaL_checkudata(L, 1, OPERATION_TYPE);
  void *pointer = operation->pointer;
  if (pointer == NULL) return 0;
  operation->pointer = NULL;
  worker_operation_end(worker_of(L));
  operation->close(pointer);
  return 0;
}

/* Registered only when it is whole: without memory half-way the next call makes it anew. */
static void push_metatable(lua_State *L) {
  if (luaL_getmetatable(L, OPERATION_TYPE) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, OPERATION_TYPE);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, l_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, l_close);
  lua_setfield(L, -2, "__gc");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, OPERATION_TYPE);
}

struct operation *operation_open(lua_State *L, void (*close)(void *pointer)) {
  struct operation *operation = lua_newuserdatauv(L, sizeof *operation, 0);
  *operation = (struct operation){.close = close};
  push_metatable(L);
  lua_setmetatable(L, -2);
  lua_toclose(L, -1);
  return operation;
}

struct operation *operation_check(lua_State *L, int index) {
  return luaL_checkudata(L, index, OPERATION_TYPE);
}

void operation_hold(lua_State *L, struct operation *operation, void *pointer) {
  operation->pointer = pointer;
  worker_operation_begin(worker_of(L));
}

int bind_fail(lua_State *L, const struct err *err) {
  lua_pushnil(L);
  lua_pushstring(L, err->message);
  lua_pushstring(L, err->code);
  return 3;
}
