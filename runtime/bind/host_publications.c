#include "bind/host_publications.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "bind/notice.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "state/publication.h"

#define PUBLICATION_BYTES_MAX (64 * 1024 * 1024)

static struct publications *publications_of(lua_State *L) {
  return shared_of(L)->publications;
}

static int no_room(lua_State *L, const char *name) {
  return luaL_error(L, "no memory or no room to publish '%s'", name);
}

static int publish_version(lua_State *L, const char *name, const char *bytes, size_t length) {
  lua_Integer version = luaL_checkinteger(L, 3);
  luaL_argcheck(L, version > 0, 3, "a version is at least 1");
  switch (publication_put_version(publications_of(L), name, bytes, length, (uint64_t)version)) {
    case PUBLICATION_PUT:
      lua_pushinteger(L, version);
      return 1;
    case PUBLICATION_NOT_NEWER:
      return 0;
    default:
      return no_room(L, name);
  }
}

static int l_publish(lua_State *L) {
  size_t length;
  const char *name = luaL_checkstring(L, 1);
  const char *bytes = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, length <= PUBLICATION_BYTES_MAX, 2, "more than 64 MB");
  if (!lua_isnoneornil(L, 3)) return publish_version(L, name, bytes, length);
  uint64_t version = publication_put(publications_of(L), name, bytes, length);
  if (version == 0) return no_room(L, name);
  lua_pushinteger(L, (lua_Integer)version);
  return 1;
}

static int l_published(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct operation *operation = operation_open(L, publication_release_pointer);
  struct publication *publication = publication_get(publications_of(L), name);
  if (publication == NULL) return 0;
  operation_hold(L, operation, publication);
  lua_pushlstring(L, publication_bytes(publication), publication_length(publication));
  lua_pushinteger(L, (lua_Integer)publication_version_of(publication));
  return 2;
}

static int l_published_version(lua_State *L) {
  uint64_t version = publication_version(publications_of(L), luaL_checkstring(L, 1));
  if (version == 0) return 0;
  lua_pushinteger(L, (lua_Integer)version);
  return 1;
}

static int push_changes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)publications_changes(publications_of(L)));
  return 1;
}

static int l_changes(lua_State *L) {
  return push_changes(L);
}

/* --- waiting --- */

struct watch {
  struct publications *publications;
  struct notice *notice;
  struct waiter waiter;
};

static void stop_watching(void *pointer) {
  struct watch *watch = pointer;
  publications_leave(watch->publications, &watch->waiter);
  notice_close(watch->notice);
  free(watch);
}

/* Whatever woke the task, who called looks for himself: an early return does no harm. */
static int woken(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return push_changes(L);
}

static struct watch *open_watch(lua_State *L) {
  struct operation *operation = operation_open(L, stop_watching);
  struct notice *notice = notice_new(L);
  struct watch *watch = notice_hold(notice, sizeof *watch);
  if (watch == NULL) luaL_error(L, "no memory to wait");
  *watch = (struct watch){.publications = publications_of(L), .notice = notice};
  operation_hold(L, operation, watch);
  return watch;
}

static int l_wait_changes(lua_State *L) {
  uint64_t seen = (uint64_t)luaL_checkinteger(L, 1);
  double seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0 && seconds <= 1e6, 2, "not a time to wait");
  struct watch *watch = open_watch(L);
  if (!publications_wait(watch->publications, seen, &watch->waiter, notice_send, watch->notice))
    return push_changes(L);
  if (notice_after(watch->notice, (uint64_t)(seconds * 1e9)) != 0)
    return luaL_error(L, "no memory to wait");
  return task_await(L, woken, 0);
}

static const luaL_Reg functions[] = {
    {"publish", l_publish},
    {"published", l_published},
    {"published_version", l_published_version},
    {"changes", l_changes},
    {"wait_changes", l_wait_changes},
    {NULL, NULL},
};

void host_publications_register(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
