#include "project_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS 16

void project_folder_open(struct project_folder *folder) {
  char made[] = "/tmp/tidegate_XXXXXX", real[PATH_MAX];
  assert_non_null(mkdtemp(made));
  assert_non_null(realpath(made, real));
  assert_in_range(snprintf(folder->path, sizeof folder->path, "%s", real), 1, 63);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status;
  (void)kind;
  (void)place;
  return remove(path);
}

void project_folder_close(struct project_folder *folder) {
  assert_int_equal(nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *project_folder_path(const struct project_folder *folder, const char *name) {
  static char paths[PATHS][PATH_MAX];
  static size_t next;
  char *path = paths[next++ % PATHS];
  snprintf(path, PATH_MAX, "%s/%s", folder->path, name);
  return path;
}

void project_folder_write(const struct project_folder *folder, const char *name, const char *text) {
  int descriptor = open(project_folder_path(folder, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(descriptor >= 0);
  assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
  close(descriptor);
}

void project_folder_make(const struct project_folder *folder, const char *name) {
  assert_int_equal(mkdir(project_folder_path(folder, name), 0700), 0);
}

void project_folder_link(const struct project_folder *folder, const char *name,
                         const char *target) {
  assert_int_equal(symlink(target, project_folder_path(folder, name)), 0);
}

void project_folder_move(const struct project_folder *folder, const char *from, const char *to) {
  assert_int_equal(rename(project_folder_path(folder, from), project_folder_path(folder, to)), 0);
}

void project_folder_remove(const struct project_folder *folder, const char *name) {
  assert_int_equal(remove(project_folder_path(folder, name)), 0);
}
