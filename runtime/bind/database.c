#include "bind/database.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "bind/store_migration.h"
#include "bind/store_value.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/store.h"
#include "io/store_client.h"
#include "io/store_session.h"

#define DATABASE_TYPE "tidegate.database"
#define TRANSACTION_TYPE "tidegate.transaction"
#define SECOND_NS UINT64_C(1000000000)
#define SECONDS_MAX 3600.0
/* A statement of a transaction is answered by the transaction's own end, unless the disk hangs. */
#define STEP_EXTRA_NS (10 * SECOND_NS)

/* A worker's way into one database. */
struct database {
  struct store *store;
  struct store_client *client;
  bool owned;     /* the store ends with this */
  size_t holders; /* its Lua value, open transactions, and what waits */
};

struct transaction {
  struct database *database;
  struct store_session *session; /* NULL: it has ended */
};

/* What a waiting operation holds. */
struct waiting {
  struct database *database;
  struct store_request *request;
  struct store_session *session; /* to be abandoned with it, or NULL */
  struct worker *worker;
};

/* Only specs and commands own one that others do not wait for. */
static void database_release(struct database *database) {
  if (--database->holders > 0) return;
  store_client_close(database->client);
  if (database->owned) store_close(database->store, clock_real_monotonic_ns(), NULL);
  free(database);
}

static struct database *database_retain(struct database *database) {
  database->holders++;
  return database;
}

static void close_waiting(void *pointer) {
  struct waiting *waiting = pointer;
  store_request_release(waiting->request);
  if (waiting->session != NULL) {
    store_abandon(waiting->database->store, waiting->session);
    store_session_release(waiting->session);
  }
  worker_external_end(waiting->worker);
  database_release(waiting->database);
  free(waiting);
}

static struct database *check_database(lua_State *L) {
  struct database **handle = luaL_checkudata(L, 1, DATABASE_TYPE);
  luaL_argcheck(L, *handle != NULL, 1, "the database is closed");
  return *handle;
}

static uint64_t check_seconds(lua_State *L, int index) {
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds > 0 && seconds <= SECONDS_MAX, index, "above 0, at most 3600 seconds");
  return (uint64_t)(seconds * (double)SECOND_NS);
}

/* --- waiting ------------------------------------------------------------------------------ */

static struct waiting *waiting_at(lua_State *L, lua_KContext context) {
  return operation_check(L, (int)context)->pointer;
}

/* Starts the request and suspends; `done` goes on with the handle's place as context. A request
 * whose end comes too early abandons `session`, which may be NULL. */
static int await_request(lua_State *L, struct database *database, const struct store_spec *spec,
                         struct store_session *session, lua_KFunction done) {
  struct err err;
  struct task *task = task_current(L);
  struct operation *handle = operation_open(L, close_waiting);
  int place = lua_gettop(L);
  struct waiting *waiting = malloc(sizeof *waiting);
  if (waiting == NULL) return luaL_error(L, "not enough memory");
  *waiting = (struct waiting){.session = session, .worker = worker_of(L)};
  waiting->request = store_client_start(database->client, spec, task_wake, task, &err);
  if (waiting->request == NULL) {
    free(waiting);
    return bind_fail(L, &err);
  }
  waiting->database = database_retain(database);
  if (session != NULL) store_session_retain(session);
  worker_external_begin(waiting->worker);
  operation_hold(L, handle, waiting);
  return task_await(L, done, place);
}

static int push_rows(lua_State *L, const struct store_request *request) {
  const struct store_result *result = store_request_result(request, 0);
  store_value_push_rows(L, result);
  lua_pushinteger(L, result->changes);
  return 2;
}

static int query_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = waiting_at(L, context)->request;
  if (!store_request_is_done(request)) return task_await(L, query_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  return push_rows(L, request);
}

static int migrate_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct store_request *request = waiting_at(L, context)->request;
  if (!store_request_is_done(request)) return task_await(L, migrate_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  lua_pushinteger(L, store_request_result(request, 0)->changes);
  return 1;
}

/* --- a database ----------------------------------------------------------------------------- */

/* database:query(seconds, sql, …) */
static int l_query(lua_State *L) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  struct database *database = check_database(L);
  uint64_t limit_ns = check_seconds(L, 2);
  store_value_check_statement(L, 3, &statement, few);
  struct store_spec spec = {
      .kind = STORE_QUERY, .statements = &statement, .statement_count = 1, .timeout_ns = limit_ns};
  return await_request(L, database, &spec, NULL, query_done);
}

static int l_migrate(lua_State *L) {
  lua_settop(L, 2);
  struct database *database = check_database(L);
  struct store_spec spec = store_migration_check(L, 2, "project");
  if (spec.statement_count > 0) return await_request(L, database, &spec, NULL, migrate_done);
  lua_pushinteger(L, 0);
  return 1;
}

static int l_close(lua_State *L) {
  struct database **handle = luaL_checkudata(L, 1, DATABASE_TYPE);
  struct database *database = *handle;
  *handle = NULL;
  if (database != NULL) database_release(database);
  return 0;
}

/* Pushes an empty handle, so that nothing is lost if memory ends in between. */
static struct database **push_handle(lua_State *L) {
  struct database **handle = lua_newuserdatauv(L, sizeof(struct database *), 0);
  *handle = NULL;
  luaL_setmetatable(L, DATABASE_TYPE);
  return handle;
}

static struct database *database_new(lua_State *L, struct store *store, bool owned,
                                     struct err *err) {
  struct database *database = calloc(1, sizeof *database);
  if (database == NULL) {
    err_set(err, "unavailable", "no memory for a database");
    return NULL;
  }
  database->client = store_client_new(store, worker_loop(worker_of(L)), err);
  if (database->client == NULL) {
    free(database);
    return NULL;
  }
  database->store = store;
  database->owned = owned;
  database->holders = 1;
  return database;
}

static int l_open(lua_State *L) {
  struct err err;
  lua_settop(L, 1);
  const char *path = luaL_checkstring(L, 1);
  struct database **handle = push_handle(L);
  struct store *store = store_open(lua_pushfstring(L, "project:%s", path), NULL, &err);
  if (store == NULL) return bind_fail(L, &err);
  *handle = database_new(L, store, true, &err);
  if (*handle == NULL) {
    store_close(store, 0, NULL);
    return bind_fail(L, &err);
  }
  lua_pushvalue(L, 2);
  return 1;
}

static int l_share(lua_State *L) {
  lua_settop(L, 1);
  struct database *database = check_database(L);
  struct shared *shared = shared_of(L);
  if (worker_index(worker_of(L)) != 0) return luaL_error(L, "the main worker shares a database");
  if (shared->database != NULL) return luaL_error(L, "a database is shared already");
  shared->database = database->store;
  database->owned = false;
  return 0;
}

/* The handle is made once a worker; upvalue 1 keeps it. */
static int l_shared(lua_State *L) {
  struct err err;
  struct store *store = shared_of(L)->database;
  lua_settop(L, 0);
  if (store == NULL) return 0;
  if (lua_isuserdata(L, lua_upvalueindex(1))) {
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
  }
  struct database **handle = push_handle(L);
  *handle = database_new(L, store, false, &err);
  if (*handle == NULL) return bind_fail(L, &err);
  lua_pushvalue(L, 1);
  lua_replace(L, lua_upvalueindex(1));
  return 1;
}

/* --- transactions ---------------------------------------------------------------------------- */

/* Forgets the session; one that is not committed is rolled back by it. */
static void leave_session(struct transaction *transaction) {
  struct store_session *session = transaction->session;
  if (session == NULL) return;
  transaction->session = NULL;
  store_abandon(transaction->database->store, session);
  store_session_release(session);
  database_release(transaction->database);
}

static int l_rollback(lua_State *L) {
  leave_session(luaL_checkudata(L, 1, TRANSACTION_TYPE));
  return 0;
}

/* From here on the transaction's own end decides. */
static void keep_session(struct waiting *waiting) {
  store_session_release(waiting->session);
  waiting->session = NULL;
}

static int begin_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct waiting *waiting = waiting_at(L, context);
  const struct store_request *request = waiting->request;
  if (!store_request_is_done(request)) return task_await(L, begin_done, context);
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  keep_session(waiting);
  lua_pushvalue(L, (int)context - 1); /* the transaction, made just before the operation */
  if (store_request_result_count(request) == 0)
    lua_newtable(L);
  else
    store_value_push_rows(L, store_request_result(request, 0));
  return 2;
}

/* The statement from `first` on, if there is one: its number. */
static size_t check_own_statement(lua_State *L, int first, struct store_statement *statement,
                                  struct store_value *few) {
  if (lua_isnoneornil(L, first)) return 0;
  store_value_check_statement(L, first, statement, few);
  return 1;
}

static struct transaction *push_transaction(lua_State *L, struct database *database,
                                            uint64_t limit_ns) {
  struct transaction *transaction = lua_newuserdatauv(L, sizeof *transaction, 0);
  *transaction = (struct transaction){0};
  luaL_setmetatable(L, TRANSACTION_TYPE);
  transaction->session = store_session_new(limit_ns);
  if (transaction->session == NULL) luaL_error(L, "not enough memory");
  transaction->database = database_retain(database);
  return transaction;
}

/* database:begin(seconds, sql, …) */
static int l_begin(lua_State *L) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  struct database *database = check_database(L);
  uint64_t limit_ns = check_seconds(L, 2);
  size_t count = check_own_statement(L, 3, &statement, few);
  struct transaction *transaction = push_transaction(L, database, limit_ns);
  struct store_spec spec = {.kind = STORE_BEGIN,
                            .statements = &statement,
                            .statement_count = count,
                            .session = transaction->session};
  return await_request(L, database, &spec, transaction->session, begin_done);
}

static struct transaction *check_open(lua_State *L, struct err *err) {
  struct transaction *transaction = luaL_checkudata(L, 1, TRANSACTION_TYPE);
  if (transaction->session != NULL) return transaction;
  err_set(err, "sql", "the transaction has ended");
  return NULL;
}

/* transaction:query(sql, …) */
static int l_step(lua_State *L) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  struct err err;
  struct transaction *transaction = check_open(L, &err);
  if (transaction == NULL) return bind_fail(L, &err);
  store_value_check_statement(L, 2, &statement, few);
  struct store_session *session = transaction->session;
  struct store_spec spec = {.kind = STORE_STEP,
                            .statements = &statement,
                            .statement_count = 1,
                            .session = session,
                            .timeout_ns = session->limit_ns + STEP_EXTRA_NS};
  return await_request(L, transaction->database, &spec, NULL, query_done);
}

static int commit_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct waiting *waiting = waiting_at(L, context);
  const struct store_request *request = waiting->request;
  if (!store_request_is_done(request)) return task_await(L, commit_done, context);
  leave_session(luaL_checkudata(L, 1, TRANSACTION_TYPE));
  if (store_request_error(request) != NULL) return bind_fail(L, store_request_error(request));
  lua_pushboolean(L, 1);
  return 1;
}

static int l_commit(lua_State *L) {
  struct store_value few[STORE_VALUES_ON_STACK];
  struct store_statement statement;
  struct err err;
  struct transaction *transaction = check_open(L, &err);
  if (transaction == NULL) return bind_fail(L, &err);
  size_t count = check_own_statement(L, 2, &statement, few);
  struct store_spec spec = {.kind = STORE_COMMIT,
                            .statements = &statement,
                            .statement_count = count,
                            .session = transaction->session};
  return await_request(L, transaction->database, &spec, NULL, commit_done);
}

static const luaL_Reg database_methods[] = {
    {"query", l_query}, {"begin", l_begin}, {"migrate", l_migrate},
    {"close", l_close}, {NULL, NULL},
};

static const luaL_Reg transaction_methods[] = {
    {"query", l_step}, {"commit", l_commit}, {"rollback", l_rollback}, {NULL, NULL}};

static const luaL_Reg module_functions[] = {{"open", l_open}, {"share", l_share}, {NULL, NULL}};

static void add_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction end) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, end);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, end);
  lua_setfield(L, -2, "__close");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_tide_database(lua_State *L) {
  add_type(L, DATABASE_TYPE, database_methods, l_close);
  add_type(L, TRANSACTION_TYPE, transaction_methods, l_rollback);
  luaL_newlib(L, module_functions);
  lua_pushnil(L);
  lua_pushcclosure(L, l_shared, 1);
  lua_setfield(L, -2, "shared");
  return 1;
}
