#include "engine/task.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bind/task.h"
#include "engine/app.h"
#include "engine/worker.h"

#define ALLOCATIONS_MAX 3000

/* What the bodies below find through app_shared. */
struct scene {
  const char *main;   /* chunks; they see the module `task` and the functions below */
  const char *worker; /* the first task of each worker */
  const char *stop;   /* what each runs at its stop */
  int workers;
  double stop_seconds;
  bool libraries_fail; /* in the workers */
  atomic_int started, stopped, closed;
  char start_error[1024];
  long failing_at; /* the allocation of the main state that fails; 0: none does */
  long failures;   /* how many in a row do */
  long allocations;
  lua_Alloc reallocate;
  void *allocator;
};

static struct scene *scene_of(lua_State *L) {
  return app_shared(worker_app(worker_of(L)));
}

/* --- what chunks can call --- */

static int count_closed(lua_State *L) {
  atomic_fetch_add(&scene_of(L)->closed, 1);
  return 0;
}

/* Growth fails at the n-th call, and `failures` times from there on: Lua asks twice, with a
 * collection in between. Shrinking never fails. */
static void *reallocate(void *argument, void *block, size_t old_size, size_t new_size) {
  struct scene *scene = argument;
  bool grows = new_size > 0 && (block == NULL || new_size > old_size);
  if (grows) {
    long number = ++scene->allocations;
    if (number >= scene->failing_at && number < scene->failing_at + scene->failures) return NULL;
  }
  return scene->reallocate(scene->allocator, block, old_size, new_size);
}

static int l_arm(lua_State *L) {
  struct scene *scene = scene_of(L);
  if (scene->failing_at == 0) return 0;
  scene->reallocate = lua_getallocf(L, &scene->allocator);
  lua_setallocf(L, reallocate, scene);
  return 0;
}

static int l_disarm(lua_State *L) {
  struct scene *scene = scene_of(L);
  if (scene->reallocate != NULL) lua_setallocf(L, scene->reallocate, scene->allocator);
  return 0;
}

static int start_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct app *app = worker_app(worker_of(L));
  if (app_workers_starting(app) > 0) return task_await(L, start_done, context);
  const char *error = app_start_error(app);
  if (error != NULL) snprintf(scene_of(L)->start_error, 1024, "%s", error);
  return 0;
}

static int run_chunk(lua_State *L, const char *chunk);
static int chunk_done(lua_State *L, int status, lua_KContext context);

static int worker_body(lua_State *L) {
  atomic_fetch_add(&scene_of(L)->started, 1);
  return run_chunk(L, scene_of(L)->worker);
}

static int stop_body(lua_State *L) {
  atomic_fetch_add(&scene_of(L)->stopped, 1);
  return run_chunk(L, scene_of(L)->stop);
}

/* The waiter lies on the stack of the coroutine; the task waits to the end. */
static int l_start(lua_State *L) {
  struct err err;
  struct app *app = worker_app(worker_of(L));
  lua_settop(L, 1);
  struct waiter *waiter = lua_newuserdatauv(L, sizeof *waiter, 0);
  *waiter = (struct waiter){0};
  if (app_start_workers(app, scene_of(L)->workers, worker_body, NULL, &err) != 0)
    return luaL_error(L, "%s", err.message);
  if (lua_toboolean(L, 1)) return 0; /* does not wait */
  app_wait_started(app, waiter, task_wake, task_current(L));
  return task_await(L, start_done, 0);
}

static int stop_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  if (app_workers_running(worker_app(worker_of(L))) > 0) return task_await(L, stop_done, context);
  return 0;
}

static int l_stop(lua_State *L) {
  struct app *app = worker_app(worker_of(L));
  double seconds = luaL_checknumber(L, 1);
  struct waiter *waiter = lua_newuserdatauv(L, sizeof *waiter, 0);
  *waiter = (struct waiter){0};
  app_stop_workers(app, scene_of(L)->stop != NULL ? stop_body : NULL, seconds);
  app_wait_stopped(app, waiter, task_wake, task_current(L));
  return stop_done(L, LUA_OK, 0);
}

/* Holds the worker in C, as a library that hangs would. */
static int l_hang(lua_State *L) {
  app_set_stuck_seconds(worker_app(worker_of(L)), luaL_checknumber(L, 1));
  const struct timespec pause = {.tv_nsec = 1000000};
  for (int i = 0; i < 300; i++) nanosleep(&pause, NULL);
  return 0;
}

static const luaL_Reg functions[] = {
    {"hang", l_hang},   {"arm", l_arm},   {"disarm", l_disarm},
    {"start", l_start}, {"stop", l_stop}, {"count_closed", count_closed},
    {NULL, NULL},
};

static int open_libraries(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "task", luaopen_tide_engine_task, 1);
  lua_pushglobaltable(L);
  luaL_setfuncs(L, functions, 0);
  if (scene_of(L)->libraries_fail && worker_index(worker_of(L)) > 0)
    return luaL_error(L, "no libraries today");
  return 0;
}

/* --- running --- */

static int chunk_done(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 0;
}

static int run_chunk(lua_State *L, const char *chunk) {
  lua_settop(L, 0);
  if (chunk == NULL) return 0;
  if (luaL_loadstring(L, chunk) != LUA_OK) return lua_error(L);
  lua_callk(L, 0, 0, 0, chunk_done);
  return 0;
}

static int main_body(lua_State *L) {
  return run_chunk(L, scene_of(L)->main);
}

/* The exit code of one process's life. */
static int play(struct scene *scene) {
  struct err err;
  struct app_options options = {.open_libraries = open_libraries, .shared = scene};
  struct app *app = app_new(&options, &err);
  if (app == NULL) fail_msg("%s", err.message);
  int code = app_run(app, main_body);
  app_free(app);
  return code;
}

static int silence(void) {
  int saved = dup(STDERR_FILENO);
  int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(nothing, STDERR_FILENO);
  close(nothing);
  return saved;
}

static void speak(int saved) {
  dup2(saved, STDERR_FILENO);
  close(saved);
}

static int play_silently(struct scene *scene) {
  int saved = silence();
  int code = play(scene);
  speak(saved);
  return code;
}

/* --- workers --- */

static void workers_start_run_tasks_and_stop(void **state) {
  (void)state;
  struct scene scene = {
      .workers = 4,
      .main = "start() stop(10)",
      .worker = "local sum = 0\n"
                "for i = 1, 200 do\n"
                "  local child = task.spawn(function() task.sleep(0.0001) return i end)\n"
                "  sum = sum + select(2, child:join())\n"
                "end\n"
                "assert(sum == 200 * 201 // 2)\n"
                "task.detach(function()\n"
                "  local guard <close> = setmetatable({}, { __close = count_closed })\n"
                "  task.sleep(1000)\n"
                "end)\n"
                "task.yield()",
      .stop = "task.sleep(0.001)",
  };
  assert_int_equal(play(&scene), 0);
  assert_int_equal(scene.started, 4);
  assert_int_equal(scene.stopped, 4);
  assert_int_equal(scene.closed, 4);
}

static void a_worker_that_raises_at_start_is_reported(void **state) {
  (void)state;
  struct scene scene = {.workers = 3, .main = "start() stop(1)", .worker = "error('boom', 0)"};
  assert_int_equal(play(&scene), 0);
  assert_non_null(strstr(scene.start_error, "boom"));
}

static void a_worker_that_raises_no_text_is_reported(void **state) {
  (void)state;
  struct scene scene = {.workers = 2, .main = "start() stop(1)", .worker = "error({})"};
  assert_int_equal(play(&scene), 0);
  assert_non_null(strstr(scene.start_error, "no text"));
}

static void a_worker_whose_libraries_do_not_open_is_reported(void **state) {
  (void)state;
  struct scene scene = {.workers = 3, .main = "start() stop(1)", .libraries_fail = true};
  assert_int_equal(play(&scene), 0);
  assert_non_null(strstr(scene.start_error, "no libraries today"));
  assert_int_equal(scene.started, 0);
}

static void workers_can_be_stopped_while_they_start(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    struct scene scene = {.workers = 4, .main = "start(true)", .worker = "task.sleep(1000)"};
    assert_int_equal(play(&scene), 0);
  }
}

static void a_start_that_hangs_is_reported_when_it_is_stopped(void **state) {
  (void)state;
  struct scene scene = {
      .workers = 2,
      .main = "local starting = task.spawn(start)\n"
              "task.sleep(0.02) stop(0) starting:join()",
      .worker = "task.sleep(1000)",
  };
  assert_int_equal(play(&scene), 0);
  assert_int_not_equal(scene.start_error[0], 0);
}

static void a_second_stop_shortens_the_first(void **state) {
  (void)state;
  struct scene scene = {
      .workers = 2,
      .main = "start()\n"
              "local first = task.spawn(stop, 600)\n"
              "task.sleep(0.02)\n"
              "stop(0.01)\n"
              "first:join()",
      .stop = "task.sleep(600)",
  };
  uint64_t before = clock_real_monotonic_ns();
  assert_int_equal(play(&scene), 0);
  assert_int_equal(scene.stopped, 2);
  assert_true(clock_real_monotonic_ns() - before < 30000000000ull);
}

static void the_end_of_the_main_task_stops_workers_that_drain(void **state) {
  (void)state;
  struct scene scene = {
      .workers = 2,
      .main = "start() task.spawn(stop, 600) task.sleep(0.02) error('the main task fails', 0)",
      .stop = "task.sleep(600)",
  };
  assert_int_equal(play_silently(&scene), 1);
}

static void stop_bodies_that_raise_stop_too(void **state) {
  (void)state;
  struct scene scene = {.workers = 2, .main = "start() stop(600)", .stop = "error('no')"};
  assert_int_equal(play(&scene), 0);
}

/* --- the end --- */

static void close_variables_cannot_keep_the_process_alive(void **state) {
  (void)state;
  struct scene scene = {
      .main = "local function again()\n"
              "  local guard <close> = setmetatable({}, { __close = function()\n"
              "    count_closed()\n"
              "    task.detach(again)\n"
              "  end })\n"
              "  task.sleep(1000)\n"
              "end\n"
              "for i = 1, 10 do task.detach(again) end\n"
              "task.yield()",
  };
  assert_int_equal(play(&scene), 0);
  assert_int_equal(scene.closed, 10);
}

static void finalizers_that_start_tasks_are_refused_at_the_end(void **state) {
  (void)state;
  struct scene scene = {
      .main = "keep = setmetatable({}, { __gc = function()\n"
              "  count_closed()\n"
              "  task.detach(function() end)\n"
              "end })",
  };
  assert_int_equal(play(&scene), 0);
  assert_int_equal(scene.closed, 1);
}

static void handles_may_outlive_their_tasks_and_the_tasks_the_handles(void **state) {
  (void)state;
  struct scene scene = {
      .main = "held = {}\n"
              "for i = 1, 600 do\n"
              "  local child = task.spawn(function() task.sleep(i % 3 * 0.0001) return {} end)\n"
              "  if i % 2 == 0 then held[#held + 1] = child end\n"
              "  if i % 5 == 0 then child:cancel() end\n"
              "end\n"
              "collectgarbage()\n"
              "task.sleep(0.01)\n"
              "for _, child in ipairs(held) do child:join() task.unpark(child) end\n"
              "for i = 1, 600 do task.spawn(function() end) end\n"
              "for _, child in ipairs(held) do child:cancel() task.unpark(child) end\n"
              "task.yield()",
  };
  assert_int_equal(play(&scene), 0);
}

/* --- stuck --- */

/* Plays in a process of its own; returns how that ended, and what it wrote. */
static int play_apart(struct scene *scene, char *output, size_t size) {
  int ends[2], status = 0;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_int_not_equal(child, -1);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    signal(SIGABRT, SIG_DFL);
    _exit(play(scene));
  }
  close(ends[1]);
  size_t length = 0;
  ssize_t count;
  while ((count = read(ends[0], output + length, size - 1 - length)) > 0) length += (size_t)count;
  output[length] = '\0';
  close(ends[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void a_stuck_worker_ends_the_process_and_names_the_script(void **state) {
  (void)state;
  char output[1024];
  struct scene scene = {.main = "task.budget(1000, 'acme.hangs') hang(0.05)"};
  int status = play_apart(&scene, output, sizeof output);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGABRT);
  assert_non_null(strstr(output, "acme.hangs"));
}

static void a_slow_worker_is_not_stuck(void **state) {
  (void)state;
  char output[1024];
  struct scene scene = {.main = "hang(0) hang(60)"};
  assert_int_equal(play_apart(&scene, output, sizeof output), 0);
}

/* --- without memory --- */

/* Everything that allocates, once: spawn, join, timeout, sleep, cancel, guard, errors. */
static const char *const everything =
    "local results = {}\n"
    "arm()\n"
    "local function work(i)\n"
    "  local guard <close> = setmetatable({}, { __close = count_closed })\n"
    "  task.sleep(0.00001)\n"
    "  if i == 3 then error('three') end\n"
    "  return { i }, ('x'):rep(i * 100)\n"
    "end\n"
    "for i = 1, 4 do results[i] = task.spawn(work, i) end\n"
    "for i = 1, 4 do results[i]:join() end\n"
    "task.timeout(0.00001, function() task.sleep(1000) end)\n"
    "task.guard(function() task.spawn(work, 3):join() error({}) end)\n"
    "task.guard(function() local t = {} for i = 1, 50 do t[i] = { i } end end)\n"
    "local long = task.detach(work, 1)\n"
    "task.yield()\n"
    "long:cancel()\n"
    "task.current():status()\n"
    "local chain = task.spawn(function()\n"
    "  local inner <close> = task.spawn(work, 2)\n"
    "  task.sleep(1000)\n"
    "end)\n"
    "task.yield()\n"
    "chain:cancel()\n"
    "disarm()\n";

/* Once for each allocation that the whole makes, as far as a run has shown. */
static void play_without_memory(long failures) {
  int saved = silence();
  long at = 1, last = 1;
  for (; at <= last && at < ALLOCATIONS_MAX; at++) {
    struct scene scene = {.main = everything, .failing_at = at, .failures = failures};
    play(&scene);
    if (scene.allocations > last) last = scene.allocations;
  }
  speak(saved);
  assert_true(at > 50);
  assert_true(at < ALLOCATIONS_MAX);
}

static void any_one_allocation_may_fail(void **state) {
  (void)state;
  play_without_memory(2);
}

static void all_allocations_may_fail_from_any_one_on(void **state) {
  (void)state;
  play_without_memory(ALLOCATIONS_MAX * 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(workers_start_run_tasks_and_stop),
      cmocka_unit_test(a_worker_that_raises_at_start_is_reported),
      cmocka_unit_test(a_worker_that_raises_no_text_is_reported),
      cmocka_unit_test(a_worker_whose_libraries_do_not_open_is_reported),
      cmocka_unit_test(workers_can_be_stopped_while_they_start),
      cmocka_unit_test(a_start_that_hangs_is_reported_when_it_is_stopped),
      cmocka_unit_test(a_second_stop_shortens_the_first),
      cmocka_unit_test(the_end_of_the_main_task_stops_workers_that_drain),
      cmocka_unit_test(stop_bodies_that_raise_stop_too),
      cmocka_unit_test(close_variables_cannot_keep_the_process_alive),
      cmocka_unit_test(finalizers_that_start_tasks_are_refused_at_the_end),
      cmocka_unit_test(handles_may_outlive_their_tasks_and_the_tasks_the_handles),
      cmocka_unit_test(a_stuck_worker_ends_the_process_and_names_the_script),
      cmocka_unit_test(a_slow_worker_is_not_stuck),
      cmocka_unit_test(any_one_allocation_may_fail),
      cmocka_unit_test(all_allocations_may_fail_from_any_one_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
