#include "io/file_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "project_folder.h"

#define MS UINT64_C(1000000)

/* A watch on a clock that stands still, so that times are exact. */
struct scene {
  struct project_folder folder;
  uv_loop_t loop;
  struct clock clock;
  struct file_watch *watch;
  int wakes;
};

static void on_wake(void *argument) {
  ++*(int *)argument;
}

static void open_watch(struct scene *scene, const struct file_watch_system *system) {
  scene->watch = file_watch_new(&scene->loop, &scene->clock, system);
  assert_non_null(scene->watch);
  file_watch_listen(scene->watch, on_wake, &scene->wakes);
}

static int open_scene(void **state) {
  struct scene *scene = calloc(1, sizeof *scene);
  project_folder_open(&scene->folder);
  project_folder_make(&scene->folder, "providers");
  project_folder_write(&scene->folder, "config.lua", "return {}");
  clock_freeze(&scene->clock);
  uv_loop_init(&scene->loop);
  *state = scene;
  return 0;
}

static int close_scene(void **state) {
  struct scene *scene = *state;
  if (scene->watch != NULL) file_watch_close(scene->watch);
  uv_run(&scene->loop, UV_RUN_DEFAULT);
  int status = uv_loop_close(&scene->loop);
  project_folder_close(&scene->folder);
  free(scene);
  return status;
}

/* config.lua and providers, as a project has them. */
static struct file_survey survey_of(const struct scene *scene) {
  struct file_survey survey;
  const char *paths[] = {project_folder_path(&scene->folder, "config.lua"),
                         project_folder_path(&scene->folder, "providers")};
  file_survey_take(&survey, paths, 2);
  return survey;
}

static int follow(struct scene *scene) {
  struct file_survey survey = survey_of(scene);
  int status = file_watch_set(scene->watch, &survey);
  file_survey_deinit(&survey);
  return status;
}

/* How long after now what was noted settles, in ms; -1: nothing was noted. */
static int settles_in_ms(struct scene *scene) {
  file_watch_read(scene->watch);
  uint64_t due = file_watch_settles_at(scene->watch), now = clock_monotonic_ns(&scene->clock);
  if (due == UINT64_MAX) return -1;
  return due > now ? (int)((due - now) / MS) : 0;
}

static void pass(struct scene *scene, int milliseconds) {
  clock_advance(&scene->clock, (uint64_t)milliseconds * MS);
}

static int open_for_writing(const struct scene *scene, const char *name) {
  int descriptor = open(project_folder_path(&scene->folder, name), O_WRONLY | O_CREAT, 0600);
  assert_true(descriptor >= 0);
  return descriptor;
}

static void write_piece(int descriptor) {
  assert_int_equal(write(descriptor, "x", 1), 1);
}

static size_t open_descriptors(void) {
  size_t count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

/* --- when ----------------------------------------------------------------------------------- */

static void a_save_settles_15_ms_after_it_is_complete(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  assert_int_equal(follow(scene), 1);
  assert_int_equal(settles_in_ms(scene), -1);
  project_folder_write(&scene->folder, "providers/acme.lua", "return {}");
  assert_int_equal(settles_in_ms(scene), 15);
  pass(scene, 10);
  assert_int_equal(settles_in_ms(scene), 5);
  project_folder_move(&scene->folder, "providers/acme.lua", "providers/shop.lua");
  assert_int_equal(settles_in_ms(scene), 15);
  file_watch_forget(scene->watch);
  assert_int_equal(settles_in_ms(scene), -1);
}

static void a_file_that_stays_open_settles_after_100_ms_of_quiet(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  int descriptor = open_for_writing(scene, "providers/acme.lua");
  assert_int_equal(settles_in_ms(scene), 100);
  pass(scene, 60);
  write_piece(descriptor);
  assert_int_equal(settles_in_ms(scene), 100);
  pass(scene, 60);
  close(descriptor);
  assert_int_equal(settles_in_ms(scene), 15);
}

static void another_save_does_not_complete_a_file_that_stays_open(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  int descriptor = open_for_writing(scene, "providers/acme.lua");
  project_folder_write(&scene->folder, "config.lua", "return {}");
  write_piece(descriptor);
  project_folder_move(&scene->folder, "config.lua", "providers/config.lua");
  assert_int_equal(settles_in_ms(scene), 100);
  close(descriptor);
  assert_int_equal(settles_in_ms(scene), 15);
}

static void whatever_follows_it_settles_500_ms_after_the_first_sign(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  int descriptor = open_for_writing(scene, "providers/acme.lua");
  for (int i = 0; i < 9; i++) {
    write_piece(descriptor);
    assert_int_equal(settles_in_ms(scene), i < 8 ? 100 : 500 - 450);
    pass(scene, i < 8 ? 450 / 8 : 0);
    if (i == 7) pass(scene, 450 - 8 * (450 / 8));
  }
  pass(scene, 50);
  assert_int_equal(settles_in_ms(scene), 0);
  close(descriptor);
}

static void what_others_found_settles_after_100_ms_of_quiet(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  assert_false(file_watch_is_noted(scene->watch));
  file_watch_note(scene->watch);
  assert_true(file_watch_is_noted(scene->watch));
  assert_int_equal(settles_in_ms(scene), 100);
}

/* --- what ----------------------------------------------------------------------------------- */

static void only_what_is_followed_counts(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  project_folder_write(&scene->folder, "service.log", "x");
  project_folder_write(&scene->folder, "providers/.acme.lua.swp", "x");
  project_folder_make(&scene->folder, "var");
  project_folder_make(&scene->folder, "var/providers");
  assert_int_equal(settles_in_ms(scene), -1);
  project_folder_write(&scene->folder, "providers/..data", "x");
  assert_int_equal(settles_in_ms(scene), 15);
}

static void what_is_followed_no_more_does_not_count(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  assert_int_equal(follow(scene), 1);
  assert_int_equal(follow(scene), 0);
  project_folder_write(&scene->folder, "providers/a.lua", "x");
  file_watch_read(scene->watch);
  file_watch_forget(scene->watch);
  project_folder_write(&scene->folder, "providers/b.lua", "x"); /* is still in the queue */
  struct file_survey nothing = {0};
  assert_int_equal(file_watch_set(scene->watch, &nothing), 0);
  project_folder_write(&scene->folder, "providers/c.lua", "x");
  assert_int_equal(settles_in_ms(scene), -1);
  assert_null(file_watch_point(scene->watch, 0));
}

static void a_folder_that_goes_and_comes_back_is_watched_again(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  for (int i = 0; i < 3; i++) {
    project_folder_remove(&scene->folder, "providers");
    assert_int_equal(settles_in_ms(scene), 15);
    file_watch_forget(scene->watch);
    project_folder_make(&scene->folder, "providers"); /* seen in the folder above */
    assert_int_equal(settles_in_ms(scene), 15);
    assert_int_equal(follow(scene), 1);
    file_watch_forget(scene->watch);
    project_folder_write(&scene->folder, "providers/a.lua", "x");
    assert_int_equal(settles_in_ms(scene), 15);
    project_folder_remove(&scene->folder, "providers/a.lua");
    assert_int_equal(follow(scene), 0);
    settles_in_ms(scene);
    file_watch_forget(scene->watch);
  }
}

static void one_folder_under_two_names_is_watched_for_both(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  struct file_survey survey;
  project_folder_link(folder, "linked", "providers");
  const char *paths[] = {project_folder_path(folder, "linked"),
                         project_folder_path(folder, "providers/acme.lua")};
  open_watch(scene, NULL);
  file_survey_take(&survey, paths, 2);
  assert_int_equal(file_watch_set(scene->watch, &survey), 1);
  assert_int_equal(file_watch_set(scene->watch, &survey), 0);
  file_survey_deinit(&survey);
  project_folder_write(folder, "providers/other.lua", "x");
  assert_int_equal(settles_in_ms(scene), 15);
  file_watch_forget(scene->watch);
  file_survey_take(&survey, paths + 1, 1);
  assert_int_equal(file_watch_set(scene->watch, &survey), 0);
  file_survey_deinit(&survey);
  project_folder_write(folder, "providers/other.lua", "x");
  assert_int_equal(settles_in_ms(scene), -1);
  project_folder_write(folder, "providers/acme.lua", "x");
  assert_int_equal(settles_in_ms(scene), 15);
}

/* The kernel's queue holds fs.inotify.max_queued_events, 16,384 unless somebody raised it. */
static void more_changes_than_the_kernel_keeps_are_a_change(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  project_folder_write(&scene->folder, "a", "");
  for (int i = 0; i < 10000; i++) {
    project_folder_move(&scene->folder, "a", "providers/a");
    project_folder_move(&scene->folder, "providers/a", "a");
  }
  int turns = 0;
  while (file_watch_settles_at(scene->watch) == UINT64_MAX || turns < 100) {
    uv_run(&scene->loop, UV_RUN_NOWAIT);
    turns++;
  }
  assert_int_equal(settles_in_ms(scene), 15);
  file_watch_forget(scene->watch);
  project_folder_write(&scene->folder, "providers/b", "");
  assert_int_equal(settles_in_ms(scene), 15);
}

static void who_listens_is_woken(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  uv_run(&scene->loop, UV_RUN_NOWAIT);
  assert_int_equal(scene->wakes, 0);
  project_folder_write(&scene->folder, "service.log", "x");
  uv_run(&scene->loop, UV_RUN_NOWAIT);
  assert_int_equal(scene->wakes, 0);
  project_folder_write(&scene->folder, "config.lua", "x");
  uv_run(&scene->loop, UV_RUN_NOWAIT);
  assert_int_equal(scene->wakes, 1);
  file_watch_listen(scene->watch, NULL, NULL);
  project_folder_write(&scene->folder, "config.lua", "x");
  uv_run(&scene->loop, UV_RUN_NOWAIT);
  assert_int_equal(scene->wakes, 1);
}

/* --- limits --------------------------------------------------------------------------------- */

static int open_error;        /* what open fails with; 0: it does not */
static int add_error;         /* the same of add, for folders that end in … */
static const char *add_fails; /* … this */

static int failing_open(void) {
  errno = open_error;
  return open_error != 0 ? -1 : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

static int failing_add(int descriptor, const char *folder, uint32_t mask) {
  size_t length = strlen(folder), suffix = strlen(add_fails);
  bool fails = length >= suffix && strcmp(folder + length - suffix, add_fails) == 0;
  errno = add_error;
  return add_error != 0 && fails ? -1 : inotify_add_watch(descriptor, folder, mask);
}

static const struct file_watch_system failing = {failing_open, failing_add};

/* How many folders are refused; the last reason. */
static int refusals(const struct scene *scene, const char **reason) {
  int count = 0;
  for (size_t i = 0; file_watch_point(scene->watch, i) != NULL; i++) {
    const char *refusal = file_watch_refusal(scene->watch, i);
    if (refusal == NULL) continue;
    *reason = refusal;
    count++;
  }
  return count;
}

static void without_an_instance_all_is_refused_until_there_is_one(void **state) {
  struct scene *scene = *state;
  const char *reason = NULL;
  add_error = 0;
  open_error = EMFILE;
  add_fails = "";
  open_watch(scene, &failing);
  assert_int_equal(follow(scene), 0);
  assert_true(refusals(scene, &reason) >= 3);
  assert_non_null(strstr(reason, "max_user_instances"));
  open_error = 0;
  assert_int_equal(follow(scene), 1);
  assert_int_equal(refusals(scene, &reason), 0);
  project_folder_write(&scene->folder, "config.lua", "x");
  assert_int_equal(settles_in_ms(scene), 15);
}

static void a_folder_that_cannot_be_watched_is_named_and_the_others_are(void **state) {
  static const int errors[] = {ENOSPC, EACCES, ENOENT, ENOTDIR, ENOMEM};
  struct scene *scene = *state;
  open_error = 0;
  add_fails = "/providers";
  open_watch(scene, &failing);
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    const char *reason = NULL;
    add_error = errors[i];
    int status = follow(scene);
    if (i > 0) assert_int_equal(status, add_error == ENOENT || add_error == ENOTDIR);
    assert_int_equal(refusals(scene, &reason), 1);
    assert_non_null(strstr(reason, add_error == ENOSPC ? "max_user_watches" : strerror(add_error)));
    settles_in_ms(scene);
    file_watch_forget(scene->watch);
    project_folder_write(&scene->folder, "providers/a.lua", "x");
    assert_int_equal(settles_in_ms(scene), -1);
    project_folder_write(&scene->folder, "config.lua", "x");
    assert_int_equal(settles_in_ms(scene), 15);
  }
}

static void a_folder_on_another_machine_is_refused(void **state) {
  struct scene *scene = *state;
  const char *reason = NULL;
  open_watch(scene, NULL);
  struct file_survey survey = survey_of(scene);
  for (size_t i = 0; i < survey.count; i++) survey.points[i].is_remote = true;
  assert_int_equal(file_watch_set(scene->watch, &survey), 0);
  assert_int_equal(refusals(scene, &reason), survey.count);
  assert_non_null(strstr(reason, "other machines"));
  file_survey_deinit(&survey);
}

static void it_leaves_no_descriptor_behind(void **state) {
  struct scene *scene = *state;
  open_watch(scene, NULL);
  follow(scene);
  file_watch_close(scene->watch);
  scene->watch = NULL;
  uv_run(&scene->loop, UV_RUN_DEFAULT);
  assert_int_equal(scene->wakes, 1);
  size_t before = open_descriptors();
  for (int i = 0; i < 300; i++) {
    open_watch(scene, NULL);
    if (i % 3 > 0) follow(scene);
    if (i % 3 > 1) project_folder_write(&scene->folder, "config.lua", "x");
    file_watch_close(scene->watch);
    scene->watch = NULL;
    uv_run(&scene->loop, UV_RUN_DEFAULT);
  }
  assert_int_equal(open_descriptors(), before);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE(a_save_settles_15_ms_after_it_is_complete),
      SCENE(a_file_that_stays_open_settles_after_100_ms_of_quiet),
      SCENE(another_save_does_not_complete_a_file_that_stays_open),
      SCENE(whatever_follows_it_settles_500_ms_after_the_first_sign),
      SCENE(what_others_found_settles_after_100_ms_of_quiet),
      SCENE(only_what_is_followed_counts),
      SCENE(what_is_followed_no_more_does_not_count),
      SCENE(a_folder_that_goes_and_comes_back_is_watched_again),
      SCENE(one_folder_under_two_names_is_watched_for_both),
      SCENE(more_changes_than_the_kernel_keeps_are_a_change),
      SCENE(who_listens_is_woken),
      SCENE(without_an_instance_all_is_refused_until_there_is_one),
      SCENE(a_folder_that_cannot_be_watched_is_named_and_the_others_are),
      SCENE(a_folder_on_another_machine_is_refused),
      SCENE(it_leaves_no_descriptor_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
