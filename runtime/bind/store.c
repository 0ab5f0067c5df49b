#include "bind/store.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "bind/operation.h"
#include "bind/shared.h"
#include "bind/store_migration.h"
#include "bind/store_value.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/sql_text.h"
#include "io/store.h"
#include "io/store_client.h"

/* This worker's client, made at the first use: the store is opened after the module is. */
struct service {
  struct store_client *client;
};

/* What a waiting operation holds. */
struct waiting {
  struct store_request *request;
  struct worker *worker;
};

static void close_waiting(void *pointer) {
  struct waiting *waiting = pointer;
  store_request_release(waiting->request);
  worker_external_end(waiting->worker);
  free(waiting);
}

static void stop_client(void *client) {
  store_client_close(client);
}

static struct store *open_store(lua_State *L, struct err *err) {
  struct store *store = shared_of(L)->store;
  if (store == NULL) err_set(err, "unavailable", "the store is not open");
  return store;
}

static struct store_client *client_of(lua_State *L, struct err *err) {
  struct service *service = lua_touserdata(L, lua_upvalueindex(1));
  if (service->client != NULL) return service->client;
  struct worker *worker = worker_of(L);
  struct store *store = open_store(L, err);
  if (store == NULL) return NULL;
  struct store_client *client = store_client_new(store, worker_loop(worker), err);
  if (client == NULL) return NULL;
  if (worker_attach(worker, client, stop_client) != 0) {
    store_client_close(client);
    err_set(err, "unavailable", "the worker holds too many services");
    return NULL;
  }
  service->client = client;
  return client;
}

/* --- waiting ------------------------------------------------------------------------------ */

static const struct store_request *request_at(lua_State *L, lua_KContext context) {
  const struct waiting *waiting = operation_check(L, (int)context)->pointer;
  return waiting->request;
}

/* Starts the request and suspends; `done` goes on with the handle's place as context. */
static int await_request(lua_State *L, const struct store_spec *spec, lua_KFunction done) {
  struct err err;
  struct task *task = task_current(L);
  struct operation *handle = operation_open(L, close_waiting);
  int place = lua_gettop(L);
  struct store_client *client = client_of(L, &err);
  if (client == NULL) return bind_fail(L, &err);
  struct waiting *waiting = malloc(sizeof *waiting);
  if (waiting == NULL) return luaL_error(L, "not enough memory");
  waiting->worker = worker_of(L);
  waiting->request = store_client_start(client, spec, task_wake, task, &err);
  if (waiting->request == NULL) {
    free(waiting);
    return bind_fail(L, &err);
  }
  worker_external_begin(waiting->worker);
  operation_hold(L, handle, waiting);
  return task_await(L, done, place);
}

static int query_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = request_at(L, context);
  if (!store_request_is_done(request)) return task_await(L, query_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  store_value_push_rows(L, store_request_result(request, 0));
  return 1;
}

static int execute_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = request_at(L, context);
  if (!store_request_is_done(request)) return task_await(L, execute_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  store_value_push_result(L, store_request_result(request, 0));
  return 1;
}

static int transaction_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = request_at(L, context);
  if (!store_request_is_done(request)) return task_await(L, transaction_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  size_t count = store_request_result_count(request);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    store_value_push_result(L, store_request_result(request, i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int flush_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = request_at(L, context);
  if (!store_request_is_done(request)) return task_await(L, flush_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  lua_pushboolean(L, 1);
  return 1;
}

static int migrate_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = request_at(L, context);
  if (!store_request_is_done(request)) return task_await(L, migrate_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  lua_pushinteger(L, store_request_result(request, 0)->changes);
  return 1;
}

/* --- one statement: sql, ... ----------------------------------------------------------------- */

static int await_statement(lua_State *L, enum store_kind kind, lua_KFunction done) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  store_value_check_statement(L, 1, &statement, few);
  struct store_spec spec = {.kind = kind, .statements = &statement, .statement_count = 1};
  return await_request(L, &spec, done);
}

static int l_query(lua_State *L) {
  return await_statement(L, STORE_QUERY, query_done);
}

static int l_execute(lua_State *L) {
  return await_statement(L, STORE_EXECUTE, execute_done);
}

static int l_enqueue(lua_State *L) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  struct err err;
  store_value_check_statement(L, 1, &statement, few);
  struct store *store = open_store(L, &err);
  bool queued = store != NULL && store_enqueue(store, &statement, &err) == 0;
  lua_pushboolean(L, queued);
  if (queued) return 1;
  lua_pushstring(L, err.message);
  lua_pushstring(L, err.code);
  return 3;
}

/* --- a transaction: { { sql, p1, p2, n = 2 }, ... } --------------------------------------------
 */

/* The number of values of the statement on top of the stack. */
static int count_values(lua_State *L, lua_Integer index) {
  if (lua_type(L, -1) != LUA_TTABLE)
    luaL_argerror(L, 1, lua_pushfstring(L, "statement %I is no table", (LUAI_UACINT)index));
  lua_Integer count = (lua_Integer)lua_rawlen(L, -1) - 1;
  lua_pushliteral(L, "n");
  if (lua_rawget(L, -2) != LUA_TNIL) count = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (count < 0 || count > SQL_TEXT_PARAMETERS_MAX)
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "statement %I: no text, or a wrong n", (LUAI_UACINT)index));
  return (int)count;
}

static size_t count_all_values(lua_State *L, lua_Integer statements) {
  size_t total = 0;
  for (lua_Integer i = 1; i <= statements; i++) {
    lua_rawgeti(L, 1, i);
    total += (size_t)count_values(L, i);
    lua_pop(L, 1);
  }
  luaL_argcheck(L, total <= (size_t)STORE_STATEMENTS_MAX * 1000, 1, "too many values");
  return total;
}

/* Strings stay anchored in the statement's table, which is on top of the stack. Between the
 * counting and this a finalizer may have run, hence `room`. */
static void check_entry(lua_State *L, lua_Integer index, struct store_statement *statement,
                        struct store_value *values, size_t room) {
  int count = count_values(L, index);
  luaL_argcheck(L, (size_t)count <= room, 1, "the list changed while it was read");
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    luaL_argerror(L, 1, lua_pushfstring(L, "statement %I has no text", (LUAI_UACINT)index));
  statement->sql = lua_tolstring(L, -1, &statement->sql_length);
  lua_pop(L, 1);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, -1, i + 2);
    values[i] = store_value_check(L, -1, 1);
    lua_pop(L, 1);
  }
  statement->values = values;
  statement->value_count = (size_t)count;
  statement->is_lasting = false;
}

static int l_transaction(lua_State *L) {
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
  luaL_argcheck(L, count > 0 && count <= STORE_STATEMENTS_MAX, 1, "1 to 1000 statements");
  size_t total = count_all_values(L, count);
  struct store_statement *statements = lua_newuserdatauv(L, (size_t)count * sizeof *statements, 0);
  struct store_value *values = lua_newuserdatauv(L, (total + 1) * sizeof *values, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, 1, i);
    check_entry(L, i, &statements[i - 1], values, total);
    values += statements[i - 1].value_count;
    total -= statements[i - 1].value_count;
    lua_pop(L, 1);
  }
  struct store_spec spec = {
      .kind = STORE_EXECUTE, .statements = statements, .statement_count = (size_t)count};
  return await_request(L, &spec, transaction_done);
}

/* --- migrations --------------------------------------------------------------------------- */

static int l_migrate(lua_State *L) {
  lua_settop(L, 2);
  struct store_spec spec = store_migration_check(L, 1, luaL_checkstring(L, 2));
  if (spec.statement_count > 0) return await_request(L, &spec, migrate_done);
  lua_pushinteger(L, 0);
  return 1;
}

/* --- the store itself ---------------------------------------------------------------------- */

static int l_open(lua_State *L) {
  struct err err;
  lua_settop(L, 1);
  const char *url = luaL_checkstring(L, 1);
  struct shared *shared = shared_of(L);
  if (worker_index(worker_of(L)) != 0) return luaL_error(L, "the main worker opens the store");
  if (shared->store != NULL) return luaL_error(L, "the store is open already");
  shared->store = store_open(url, NULL, &err);
  if (shared->store == NULL) return bind_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_flush(lua_State *L) {
  lua_settop(L, 0);
  struct store_spec spec = {.kind = STORE_FLUSH};
  return await_request(L, &spec, flush_done);
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L) {
  struct store_stats stats = {0};
  lua_settop(L, 0);
  if (shared_of(L)->store != NULL) store_read_stats(shared_of(L)->store, &stats);
  lua_createtable(L, 0, 12);
  set_count(L, "queued_bytes", stats.queued_bytes);
  set_count(L, "queued_rows", stats.queued_rows);
  set_count(L, "waiting", stats.waiting_requests);
  set_count(L, "dropped", stats.dropped_rows);
  set_count(L, "failed", stats.failed_rows);
  set_count(L, "refused", stats.refused_requests);
  set_count(L, "commits", stats.commits);
  set_count(L, "failed_commits", stats.failed_commits);
  set_count(L, "rows", stats.committed_rows);
  set_count(L, "queries", stats.queries);
  lua_pushnumber(L, (double)stats.commit_ns / 1e9);
  lua_setfield(L, -2, "commit_seconds_sum");
  if (stats.last_error[0] == '\0') return 1;
  lua_pushstring(L, stats.last_error);
  lua_setfield(L, -2, "last_error");
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"open", l_open},           {"query", l_query},
    {"execute", l_execute},     {"transaction", l_transaction},
    {"enqueue", l_enqueue},     {"flush", l_flush},
    {"blob", store_value_blob}, {"migrate", l_migrate},
    {"stats", l_stats},         {NULL, NULL},
};

int luaopen_tide_store(lua_State *L) {
  luaL_newlibtable(L, module_functions);
  struct service *service = lua_newuserdatauv(L, sizeof *service, 0);
  service->client = NULL;
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
