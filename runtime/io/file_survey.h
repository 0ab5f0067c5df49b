/* A look at paths: what they are now, as one number, and where the kernel must be asked to tell
 * of a change.
 *
 * A path is resolved step by step, as the kernel does it, through every link. A change of any step
 * changes what the path leads to, so each gives a point to watch; a step that is missing gives one
 * where it would appear. Blocks (a network file system may hang): run it on a thread of its own
 * (file_survey_job). Pure functions of the disk; any thread. */
#ifndef TIDEGATE_IO_FILE_SURVEY_H
#define TIDEGATE_IO_FILE_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_SURVEY_FILES_MAX 1000   /* looked at in a folder; of more, only the names */
#define FILE_SURVEY_NAMES_MAX 100000 /* … of so many */
#define FILE_SURVEY_POINTS_MAX 1024  /* beyond it the rest can only be looked at again */

enum file_point_kind {
  FILE_POINT_SELF,  /* the folder itself: whether it goes away */
  FILE_POINT_NAME,  /* one name in the folder */
  FILE_POINT_INSIDE /* every name in the folder that is not hidden */
};

struct file_point {
  enum file_point_kind kind;
  bool is_remote; /* on a file system that does not tell of changes made elsewhere */
  char *folder;   /* absolute, without links */
  char *name;     /* of FILE_POINT_NAME */
  uint64_t hash;
};

struct file_survey {
  uint64_t signature; /* another one: something changed */
  struct file_point *points;
  size_t count;
  size_t capacity;
  bool is_cut;           /* there are more points than these */
  bool is_out_of_memory; /* the survey is of no use */
};

/* Looks at files and folders, which may be missing; of a folder, at the files in it too. Fills
 * `survey`, to be freed with file_survey_deinit. A folder's file is known by name, inode, size,
 * times and mode, a link by its text and by what it leads to. */
void file_survey_take(struct file_survey *survey, const char *const *paths, size_t count);
void file_survey_deinit(struct file_survey *survey);

/* Editors' own files: ".acme.lua.swp", but not "..data", by which mounted folders are switched. */
bool file_survey_is_hidden(const char *name);

#endif
