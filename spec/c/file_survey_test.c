#include "io/file_survey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <limits.h>
#include <sys/stat.h>
#include <uv.h>

#include "io/file_survey_job.h"
#include "project_folder.h"

struct scene {
  struct project_folder folder;
  struct file_survey survey;
};

static int open_scene(void **state) {
  struct scene *scene = calloc(1, sizeof *scene);
  project_folder_open(&scene->folder);
  project_folder_write(&scene->folder, "config.lua", "return {}");
  project_folder_make(&scene->folder, "providers");
  project_folder_write(&scene->folder, "providers/acme.lua", "return {}");
  *state = scene;
  return 0;
}

static int close_scene(void **state) {
  struct scene *scene = *state;
  file_survey_deinit(&scene->survey);
  project_folder_close(&scene->folder);
  free(scene);
  return 0;
}

static uint64_t look_at(struct scene *scene, const char *path) {
  file_survey_deinit(&scene->survey);
  file_survey_take(&scene->survey, &path, 1);
  assert_false(scene->survey.is_out_of_memory);
  return scene->survey.signature;
}

static uint64_t look(struct scene *scene, const char *name) {
  return look_at(scene, project_folder_path(&scene->folder, name));
}

/* In one folder of the project, "" being the project itself; `name` of FILE_POINT_NAME. */
static bool has(const struct scene *scene, enum file_point_kind kind, const char *folder,
                const char *name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s%s%s", scene->folder.path, *folder ? "/" : "", folder);
  for (size_t i = 0; i < scene->survey.count; i++) {
    const struct file_point *point = &scene->survey.points[i];
    if (point->kind == kind && strcmp(point->folder, path) == 0 &&
        (name == NULL || strcmp(name, point->name) == 0))
      return true;
  }
  return false;
}

static void a_file_is_watched_by_its_name_in_its_folder(void **state) {
  struct scene *scene = *state;
  look(scene, "./providers/..//config.lua");
  assert_true(has(scene, FILE_POINT_NAME, "", "config.lua"));
  assert_true(has(scene, FILE_POINT_SELF, "", NULL));
  assert_true(has(scene, FILE_POINT_SELF, "providers", NULL));
  assert_false(has(scene, FILE_POINT_INSIDE, "", NULL));
}

static void a_folder_is_watched_by_its_name_and_inside(void **state) {
  struct scene *scene = *state;
  look(scene, "providers/");
  assert_true(has(scene, FILE_POINT_NAME, "", "providers"));
  assert_true(has(scene, FILE_POINT_INSIDE, "providers", NULL));
  for (size_t i = 0; i < scene->survey.count; i++) assert_false(scene->survey.points[i].is_remote);
}

static void what_is_missing_is_watched_where_it_would_appear(void **state) {
  struct scene *scene = *state;
  look(scene, "a/b/c.lua");
  assert_true(has(scene, FILE_POINT_NAME, "", "a"));
  project_folder_make(&scene->folder, "a");
  look(scene, "a/b/c.lua");
  assert_true(has(scene, FILE_POINT_NAME, "a", "b"));
  look(scene, "config.lua/b");
  assert_true(has(scene, FILE_POINT_NAME, "", "config.lua"));
}

static void every_link_on_the_way_is_watched(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  project_folder_make(folder, "one");
  project_folder_write(folder, "one/shop.lua", "return {}");
  project_folder_link(folder, "current", project_folder_path(folder, "one"));
  project_folder_link(folder, "shop.lua", "providers/../current/shop.lua");
  look(scene, "shop.lua");
  assert_true(has(scene, FILE_POINT_NAME, "", "shop.lua"));
  assert_true(has(scene, FILE_POINT_NAME, "", "current"));
  assert_true(has(scene, FILE_POINT_NAME, "one", "shop.lua"));
}

static void links_in_a_folder_are_followed(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  project_folder_write(folder, "elsewhere.lua", "1");
  project_folder_link(folder, "providers/shop.lua", "../elsewhere.lua");
  uint64_t before = look(scene, "providers");
  assert_true(has(scene, FILE_POINT_NAME, "", "elsewhere.lua"));
  project_folder_write(folder, "elsewhere.lua", "22");
  assert_int_not_equal(look(scene, "providers"), before);
}

static void links_that_lead_nowhere_end(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  project_folder_link(folder, "a", "b");
  project_folder_link(folder, "b", "a");
  look(scene, "a");
  assert_true(has(scene, FILE_POINT_NAME, "", "a"));
  assert_true(has(scene, FILE_POINT_NAME, "", "b"));
  project_folder_link(folder, "providers/a", "../a");
  project_folder_link(folder, "providers/self", ".");
  project_folder_link(folder, "providers/root", "/");
  project_folder_link(folder, "providers/up", "..");
  look(scene, "providers");
  assert_false(scene->survey.is_cut);
}

/* Each change gives a signature that was not there before. */
static void any_change_changes_the_signature(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  uint64_t seen[16];
  size_t count = 0;
  seen[count++] = look(scene, "providers");
  assert_int_equal(look(scene, "providers"), seen[0]);
  project_folder_write(folder, "providers/acme.lua", "return { 1 }");
  seen[count++] = look(scene, "providers");
  project_folder_write(folder, "providers/b.lua", "");
  seen[count++] = look(scene, "providers");
  project_folder_move(folder, "providers/b.lua", "providers/c.lua");
  seen[count++] = look(scene, "providers");
  assert_int_equal(chmod(project_folder_path(folder, "providers/c.lua"), 0640), 0);
  seen[count++] = look(scene, "providers");
  project_folder_link(folder, "providers/d.lua", "c.lua");
  seen[count++] = look(scene, "providers");
  project_folder_remove(folder, "providers/c.lua");
  seen[count++] = look(scene, "providers");
  project_folder_make(folder, "providers/sub");
  seen[count++] = look(scene, "providers");
  project_folder_move(folder, "providers", "old");
  seen[count++] = look(scene, "providers");
  project_folder_write(folder, "providers", "");
  seen[count++] = look(scene, "providers");
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < i; j++) assert_int_not_equal(seen[i], seen[j]);
}

static void hidden_files_and_what_is_in_folders_inside_do_not_count(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  project_folder_make(folder, "providers/sub");
  uint64_t before = look(scene, "providers");
  project_folder_write(folder, "providers/.acme.lua.swp", "x");
  project_folder_write(folder, "providers/sub/x", "x");
  assert_int_equal(look(scene, "providers"), before);
  project_folder_link(folder, "providers/..data", "sub");
  assert_int_not_equal(look(scene, "providers"), before);
}

static void of_many_files_only_so_many_are_looked_at(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  char name[64];
  for (int i = 0; i < FILE_SURVEY_FILES_MAX + 10; i++) {
    snprintf(name, sizeof name, "providers/%d.lua", i);
    project_folder_write(folder, name, "");
  }
  uint64_t before = look(scene, "providers");
  assert_int_equal(look(scene, "providers"), before);
  project_folder_write(folder, "providers/more.lua", "");
  assert_int_not_equal(look(scene, "providers"), before);
}

static void so_many_places_are_watched_and_not_more(void **state) {
  struct scene *scene = *state;
  const struct project_folder *folder = &scene->folder;
  char name[64], target[64];
  for (int i = 0; i < FILE_SURVEY_FILES_MAX - 10; i++) {
    snprintf(name, sizeof name, "providers/%d.lua", i);
    snprintf(target, sizeof target, "../targets/%d/%d/x.lua", i, i);
    project_folder_link(folder, name, target);
  }
  look(scene, "providers");
  assert_false(scene->survey.is_cut);
  project_folder_make(folder, "targets");
  for (int i = 0; i < FILE_SURVEY_FILES_MAX - 10; i++) {
    snprintf(name, sizeof name, "targets/%d", i);
    project_folder_make(folder, name);
  }
  look(scene, "providers");
  assert_true(scene->survey.is_cut);
  assert_int_equal(scene->survey.count, FILE_SURVEY_POINTS_MAX);
}

static void strange_paths_do_no_harm(void **state) {
  struct scene *scene = *state;
  char longest[3 * PATH_MAX], deep[PATH_MAX], dots[PATH_MAX] = "/";
  memset(longest, 'n', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  for (size_t at = 1; at + 3 < sizeof dots; at += 2) memcpy(dots + at, "./", 3);
  const char *end = longest + sizeof longest - 1;
  const char *paths[] = {"/",
                         "..",
                         "../../../../../../..",
                         "//",
                         "/..",
                         ".",
                         dots,
                         longest,
                         end - PATH_MAX,
                         end - PATH_MAX + 1,
                         end - PATH_MAX + 2,
                         end - NAME_MAX - 1,
                         end - NAME_MAX};
  file_survey_take(&scene->survey, paths, sizeof paths / sizeof *paths);
  assert_false(scene->survey.is_out_of_memory);
  /* A link's text and the rest of the path together are too long; there are too many links. */
  project_folder_link(&scene->folder, "long", "./././././././././././././././.");
  snprintf(deep, sizeof deep, "%s/", scene->folder.path);
  for (size_t at = strlen(deep); at + 6 < sizeof deep; at += 5) memcpy(deep + at, "long/", 6);
  look_at(scene, deep);
}

static void on_wake(void *argument) {
  ++*(int *)argument;
}

static void a_job_gives_the_same_as_a_survey_on_this_thread(void **state) {
  struct scene *scene = *state;
  const char *paths[] = {project_folder_path(&scene->folder, "providers"),
                         project_folder_path(&scene->folder, "config.lua")};
  uv_loop_t loop;
  int wakes = 0;
  assert_int_equal(uv_loop_init(&loop), 0);
  struct file_survey_job *job = file_survey_job_start(&loop, paths, 2, on_wake, &wakes, NULL);
  struct file_survey_job *released = file_survey_job_start(&loop, paths, 2, on_wake, &wakes, NULL);
  assert_non_null(job);
  assert_null(file_survey_job_result(job));
  file_survey_job_release(released);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(wakes, 1);
  file_survey_take(&scene->survey, paths, 2);
  assert_int_equal(file_survey_job_result(job)->signature, scene->survey.signature);
  assert_int_equal(file_survey_job_result(job)->count, scene->survey.count);
  file_survey_job_release(job);
  assert_int_equal(uv_loop_close(&loop), 0);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE(a_file_is_watched_by_its_name_in_its_folder),
      SCENE(a_folder_is_watched_by_its_name_and_inside),
      SCENE(what_is_missing_is_watched_where_it_would_appear),
      SCENE(every_link_on_the_way_is_watched),
      SCENE(links_in_a_folder_are_followed),
      SCENE(links_that_lead_nowhere_end),
      SCENE(any_change_changes_the_signature),
      SCENE(hidden_files_and_what_is_in_folders_inside_do_not_count),
      SCENE(of_many_files_only_so_many_are_looked_at),
      SCENE(so_many_places_are_watched_and_not_more),
      SCENE(strange_paths_do_no_harm),
      SCENE(a_job_gives_the_same_as_a_survey_on_this_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
