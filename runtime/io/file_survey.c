#include "io/file_survey.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/hash.h"

#define LINKS_MAX 40 /* as the kernel */

/* Signatures are compared inside one process and nobody gains by a collision. */
static const struct hash_seed seed = {{1, 2}};

/* A path on its way: `done` has no links in it any more; "" is the root. */
struct walk {
  struct file_survey *survey;
  char done[PATH_MAX];
  char rest[PATH_MAX];
  int links;
};

bool file_survey_is_hidden(const char *name) {
  return name[0] == '.' && name[1] != '.';
}

/* --- the signature ------------------------------------------------------------------------ */

static uint64_t hash_text(const char *text) {
  return hash_bytes(&seed, text, strlen(text));
}

/* A sum, so that the order in which a folder gives its names does not matter. */
static void add_words(struct file_survey *survey, const uint64_t *words, size_t size) {
  survey->signature += hash_bytes(&seed, words, size);
}

static void add_text(struct file_survey *survey, const char *path, const char *text) {
  uint64_t words[2] = {hash_text(path), hash_text(text)};
  add_words(survey, words, sizeof words);
}

static void add_error(struct file_survey *survey, const char *path, int error) {
  uint64_t words[2] = {hash_text(path), (uint64_t)error};
  add_words(survey, words, sizeof words);
}

/* A folder is known by which it is: what is in it is looked at by itself, or not of interest. */
static void add_folder(struct file_survey *survey, const char *path, const struct stat *status) {
  uint64_t words[4] = {hash_text(path), status->st_dev, status->st_ino, status->st_mode};
  add_words(survey, words, sizeof words);
}

static void add_file(struct file_survey *survey, const char *path, const struct stat *status) {
  uint64_t words[9] = {
      hash_text(path),
      status->st_dev,
      status->st_ino,
      status->st_mode,
      (uint64_t)status->st_size,
      (uint64_t)status->st_mtim.tv_sec,
      (uint64_t)status->st_mtim.tv_nsec,
      (uint64_t)status->st_ctim.tv_sec,
      (uint64_t)status->st_ctim.tv_nsec,
  };
  add_words(survey, words, sizeof words);
}

/* --- points ------------------------------------------------------------------------------- */

static bool has_point(const struct file_survey *survey, uint64_t hash) {
  for (size_t i = 0; i < survey->count; i++)
    if (survey->points[i].hash == hash) return true;
  return false;
}

static int make_room(struct file_survey *survey) {
  if (survey->count < survey->capacity) return 0;
  size_t capacity = survey->capacity == 0 ? 32 : 2 * survey->capacity;
  struct file_point *points = realloc(survey->points, capacity * sizeof *points);
  if (points == NULL) return -1;
  survey->points = points;
  survey->capacity = capacity;
  return 0;
}

static int append_point(struct file_survey *survey, struct file_point point, const char *folder,
                        const char *name) {
  if (make_room(survey) != 0) return -1;
  point.folder = strdup(folder);
  point.name = name == NULL ? NULL : strdup(name);
  if (point.folder == NULL || (name != NULL && point.name == NULL)) {
    free(point.folder);
    free(point.name);
    return -1;
  }
  survey->points[survey->count++] = point;
  return 0;
}

static void add_point(struct file_survey *survey, enum file_point_kind kind, const char *folder,
                      const char *name) {
  const char *place = folder[0] == '\0' ? "/" : folder;
  uint64_t words[3] = {hash_text(place), name == NULL ? 0 : hash_text(name), kind};
  uint64_t hash = hash_bytes(&seed, words, sizeof words);
  if (has_point(survey, hash)) return;
  if (survey->count >= FILE_SURVEY_POINTS_MAX) {
    survey->is_cut = true;
    return;
  }
  if (append_point(survey, (struct file_point){.kind = kind, .hash = hash}, place, name) != 0)
    survey->is_out_of_memory = true;
}

/* --- walking ------------------------------------------------------------------------------ */

/* Takes the next name off the rest. False at its end. */
static bool take_name(struct walk *walk, char name[NAME_MAX + 1]) {
  const char *start = walk->rest + strspn(walk->rest, "/");
  size_t length = strcspn(start, "/");
  if (length == 0) return false;
  size_t kept = length > NAME_MAX ? NAME_MAX : length; /* no file has such a name */
  memcpy(name, start, kept);
  name[kept] = '\0';
  start += length;
  start += strspn(start, "/");
  memmove(walk->rest, start, strlen(start) + 1);
  return true;
}

/* `path` = folder/name; false when that is too long. */
static bool join(char path[PATH_MAX], const char *folder, const char *name) {
  int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
  return length > 0 && length < PATH_MAX;
}

/* Puts a link's text in front of the rest. False when that leads nowhere. */
static bool follow_link(struct walk *walk, const char *path) {
  char target[PATH_MAX], rest[PATH_MAX];
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length <= 0 || ++walk->links > LINKS_MAX) return false;
  target[length] = '\0';
  add_text(walk->survey, path, target);
  if (!join(rest, target, walk->rest)) return false;
  if (target[0] == '/') walk->done[0] = '\0';
  memcpy(walk->rest, rest, sizeof rest);
  return true;
}

static void step_up(struct walk *walk) {
  char *slash = strrchr(walk->done, '/');
  if (slash != NULL) *slash = '\0';
}

enum step { STEP_ON, STEP_MISSING, STEP_FOUND };

/* `status` is of what was found at the end of the path, `walk->done`. */
static enum step take_step(struct walk *walk, const char *name, struct stat *status) {
  char path[PATH_MAX];
  struct file_survey *survey = walk->survey;
  bool is_long = !join(path, walk->done, name);
  int error = is_long ? ENAMETOOLONG : lstat(path, status) != 0 ? errno : 0;
  bool is_last = walk->rest[0] == '\0';
  if (error == 0 && !is_last && !S_ISDIR(status->st_mode) && !S_ISLNK(status->st_mode))
    error = ENOTDIR;
  if (error != 0 || is_last || S_ISLNK(status->st_mode))
    add_point(survey, FILE_POINT_NAME, walk->done, name);
  if (error == 0 && S_ISLNK(status->st_mode)) {
    if (follow_link(walk, path)) return STEP_ON;
    error = ELOOP;
  }
  if (error != 0) {
    add_error(survey, is_long ? walk->done : path, error);
    return STEP_MISSING;
  }
  memcpy(walk->done, path, sizeof path);
  if (is_last) return STEP_FOUND;
  add_point(survey, FILE_POINT_SELF, path, NULL);
  return STEP_ON;
}

/* Whether the path leads to something: `walk->done`. */
static bool walk_on(struct walk *walk, struct stat *status) {
  char name[NAME_MAX + 1];
  while (take_name(walk, name)) {
    if (strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      step_up(walk);
      continue;
    }
    switch (take_step(walk, name, status)) {
      case STEP_FOUND:
        return true;
      case STEP_MISSING:
        return false;
      case STEP_ON:
        break;
    }
  }
  /* The path ended in "..", or in a link to such a one. */
  return stat(walk->done[0] == '\0' ? "/" : walk->done, status) == 0;
}

/* --- inside a folder ---------------------------------------------------------------------- */

static void look_behind_link(struct file_survey *survey, const char *folder, const char *name) {
  struct stat status;
  struct walk walk = {.survey = survey};
  memcpy(walk.done, folder, strlen(folder) + 1);
  memcpy(walk.rest, name, strlen(name) + 1);
  if (!walk_on(&walk, &status)) return;
  if (S_ISDIR(status.st_mode))
    add_folder(survey, walk.done, &status);
  else
    add_file(survey, walk.done, &status);
}

static void look_at_entry(struct file_survey *survey, const char *folder, const char *name) {
  struct stat status;
  char path[PATH_MAX];
  if (!join(path, folder, name)) return;
  if (lstat(path, &status) != 0)
    add_error(survey, path, errno);
  else if (S_ISDIR(status.st_mode))
    add_folder(survey, path, &status);
  else
    add_file(survey, path, &status);
  if (S_ISLNK(status.st_mode)) look_behind_link(survey, folder, name);
}

static void look_inside(struct file_survey *survey, const char *folder) {
  add_point(survey, FILE_POINT_INSIDE, folder, NULL);
  DIR *directory = opendir(folder[0] == '\0' ? "/" : folder);
  if (directory == NULL) {
    add_error(survey, folder, errno);
    return;
  }
  size_t count = 0;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    if (strcmp(entry->d_name, "..") == 0 || file_survey_is_hidden(entry->d_name)) continue;
    if (++count > FILE_SURVEY_NAMES_MAX) break;
    if (count <= FILE_SURVEY_FILES_MAX)
      look_at_entry(survey, folder, entry->d_name);
    else
      add_text(survey, folder, entry->d_name);
  }
  closedir(directory);
}

static void look_at(struct file_survey *survey, const char *path) {
  struct stat status;
  struct walk walk = {.survey = survey};
  if (path[0] != '/' && getcwd(walk.done, sizeof walk.done) == NULL) {
    add_error(survey, path, errno);
    survey->is_cut = true; /* nothing can be watched */
    return;
  }
  if (strcmp(walk.done, "/") == 0) walk.done[0] = '\0';
  int length = snprintf(walk.rest, sizeof walk.rest, "%s", path);
  if (length >= (int)sizeof walk.rest || !walk_on(&walk, &status)) return;
  if (!S_ISDIR(status.st_mode)) {
    add_file(survey, walk.done, &status);
    return;
  }
  add_folder(survey, walk.done, &status);
  look_inside(survey, walk.done);
}

/* --- where ---------------------------------------------------------------------------------- */

/* File systems where others make changes of which this kernel does not hear: by the numbers of
 * statfs(2). */
static bool is_remote(const char *folder) {
  static const unsigned remote[] = {
      0x6969,     /* NFS */
      0xff534d42, /* CIFS */
      0xfe534d42, /* SMB 2 */
      0x517b,     /* SMB */
      0x65735546, /* FUSE, virtiofs too */
      0x01021997, /* 9p */
      0x5346414f, /* AFS */
      0x6b414653, /* kAFS */
      0x00c36400, /* Ceph */
      0x73757245, /* Coda */
      0x0bd00bd0, /* Lustre */
      0x47504653, /* GPFS */
      0x01161970, /* GFS2 */
      0x7461636f, /* OCFS2 */
      0x786f4256, /* shared folders of VirtualBox */
      0x7c7c6673, /* … of Parallels */
      0xbacbacbc, /* … of VMware */
  };
  struct statfs status;
  if (statfs(folder, &status) != 0) return false;
  for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
    if ((unsigned)status.f_type == remote[i]) return true;
  return false;
}

void file_survey_take(struct file_survey *survey, const char *const *paths, size_t count) {
  *survey = (struct file_survey){0};
  for (size_t i = 0; i < count; i++) look_at(survey, paths[i]);
  for (size_t i = 0; i < survey->count; i++)
    survey->points[i].is_remote = is_remote(survey->points[i].folder);
}

void file_survey_deinit(struct file_survey *survey) {
  for (size_t i = 0; i < survey->count; i++) {
    free(survey->points[i].folder);
    free(survey->points[i].name);
  }
  free(survey->points);
  *survey = (struct file_survey){0};
}
