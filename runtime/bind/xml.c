#include "bind/xml.h"

#include <lauxlib.h>
#include <lua.h>

#include "bind/bytes.h"
#include "bind/json_value.h"
#include "bind/operation.h"
#include "io/xml.h"

#define TAPE_MAX ((size_t)64 << 20)
/* On the Lua stack for each open element: its table, that of its attributes, its children. */
#define SLOTS 3

struct builder {
  lua_State *L;
  int mark; /* stack index of the array mark */
  int depth;
};

static void push_slice(lua_State *L, struct xml_slice slice) {
  lua_pushlstring(L, slice.data, slice.length);
}

static void open_element(struct builder *builder, struct xml_slice name) {
  lua_State *L = builder->L;
  lua_createtable(L, 0, 4);
  push_slice(L, name);
  lua_setfield(L, -2, "name");
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "attributes");
  lua_newtable(L);
  lua_pushvalue(L, builder->mark);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "children");
  builder->depth++;
}

static void add_attribute(struct builder *builder, const struct xml_item *item) {
  push_slice(builder->L, item->name);
  push_slice(builder->L, item->value);
  lua_rawset(builder->L, -4);
}

/* The element goes to its parent's children; that of the document stays on the stack. */
static void close_element(struct builder *builder, struct xml_slice text) {
  lua_State *L = builder->L;
  push_slice(L, text);
  lua_setfield(L, -4, "text");
  lua_pop(L, SLOTS - 1);
  if (--builder->depth > 0) lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* Pushes the element of the document. */
static void push_document(lua_State *L, const struct buf *tape) {
  struct builder builder = {.L = L};
  struct xml_item item;
  size_t offset = 0;
  luaL_checkstack(L, SLOTS * XML_DEPTH_MAX + 8, NULL);
  json_push_mark(L);
  builder.mark = lua_gettop(L);
  while (xml_next(tape, &offset, &item)) {
    if (item.kind == XML_OPEN)
      open_element(&builder, item.name);
    else if (item.kind == XML_ATTRIBUTE)
      add_attribute(&builder, &item);
    else
      close_element(&builder, item.value);
  }
}

/* decode(text, encoding or nil, whether space is kept) -> element | nil, message, code */
static int l_decode(lua_State *L) {
  struct err err;
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *encoding = luaL_optstring(L, 2, NULL);
  bool keep_space = lua_toboolean(L, 3);
  lua_settop(L, 3);
  struct buf *tape = bytes_open(L, TAPE_MAX);
  if (xml_read(text, length, encoding, keep_space, tape, &err) != 0) return bind_fail(L, &err);
  push_document(L, tape);
  return 1;
}

static const luaL_Reg functions[] = {{"decode", l_decode}, {NULL, NULL}};

int luaopen_tide_engine_xml(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
