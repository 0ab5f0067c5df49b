#include "bind/host_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "bind/assets.h"
#include "bind/operation.h"

#define READ_BYTES_DEFAULT (16 * 1024 * 1024)
#define LIST_NAMES_MAX 100000

static int fail_errno(lua_State *L, const char *what, const char *path) {
  struct err err;
  const char *code = errno == ENOENT ? "not_found" : "io";
  err_set(&err, code, "cannot %s %s: %s", what, path, strerror(errno));
  return bind_fail(L, &err);
}

/* --- reading --- */

/* Reads to the end into a Lua string, which nothing can leak. False past `max_bytes`. */
static bool push_stream(lua_State *L, FILE *stream, size_t max_bytes) {
  luaL_Buffer buffer;
  size_t total = 0;
  luaL_buffinit(L, &buffer);
  for (;;) {
    char *room = luaL_prepbuffer(&buffer);
    size_t count = fread(room, 1, LUAL_BUFFERSIZE, stream);
    total += count;
    luaL_addsize(&buffer, count);
    if (count == 0 || total > max_bytes) break;
  }
  luaL_pushresult(&buffer);
  return total <= max_bytes;
}

static void close_stream(void *stream) {
  fclose(stream);
}

static int push_file(lua_State *L, const char *path, size_t max_bytes) {
  struct operation *operation = operation_open(L, close_stream);
  FILE *stream = fopen(path, "re");
  if (stream == NULL) return fail_errno(L, "open", path);
  operation_hold(L, operation, stream);
  bool whole = push_stream(L, stream, max_bytes);
  if (ferror(stream)) return fail_errno(L, "read", path);
  if (whole) return 1;
  struct err err;
  err_set(&err, "too_large", "%s is larger than %zu bytes", path, max_bytes);
  return bind_fail(L, &err);
}

static int l_read_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer max_bytes = luaL_optinteger(L, 2, READ_BYTES_DEFAULT);
  luaL_argcheck(L, max_bytes > 0, 2, "must be positive");
  return push_file(L, path, (size_t)max_bytes);
}

static int l_read_input(lua_State *L) {
  lua_Integer max_bytes = luaL_optinteger(L, 1, READ_BYTES_DEFAULT);
  luaL_argcheck(L, max_bytes > 0, 1, "must be positive");
  if (push_stream(L, stdin, (size_t)max_bytes)) return 1;
  struct err err;
  err_set(&err, "too_large", "standard input is larger than %d bytes", (int)max_bytes);
  return bind_fail(L, &err);
}

/* --- writing --- */

static int write_all(int descriptor, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(descriptor, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    bytes += count;
    length -= (size_t)count;
  }
  return 0;
}

static int write_and_sync(const char *path, const char *bytes, size_t length, mode_t mode) {
  int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) return -1;
  int status = write_all(descriptor, bytes, length);
  if (status == 0) status = fsync(descriptor);
  if (close(descriptor) != 0) status = -1;
  return status;
}

static int l_write_file(lua_State *L) {
  size_t length;
  const char *path = luaL_checkstring(L, 1);
  const char *bytes = luaL_checklstring(L, 2, &length);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0600);
  const char *temporary = lua_pushfstring(L, "%s.%d.tmp", path, (int)getpid());
  unlink(temporary);
  if (write_and_sync(temporary, bytes, length, mode) != 0 || rename(temporary, path) != 0) {
    int status = fail_errno(L, "write", path);
    unlink(temporary);
    return status;
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int l_remove(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  if (remove(path) != 0) return fail_errno(L, "remove", path);
  lua_pushboolean(L, 1);
  return 1;
}

static int make_one(const char *path, mode_t mode) {
  return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -1;
}

static int l_make_directory(lua_State *L) {
  size_t length;
  const char *path = luaL_checklstring(L, 1, &length);
  mode_t mode = (mode_t)luaL_optinteger(L, 2, 0700);
  char partial[PATH_MAX];
  luaL_argcheck(L, length > 0 && length < sizeof partial, 1, "path empty or too long");
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(partial, path, i);
    partial[i] = '\0';
    if (make_one(partial, i == length ? mode : 0755) != 0) return fail_errno(L, "make", partial);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int l_write(lua_State *L) {
  static const char *const names[] = {"stdout", "stderr", NULL};
  size_t length;
  int descriptor = luaL_checkoption(L, 1, NULL, names) + 1;
  const char *bytes = luaL_checklstring(L, 2, &length);
  lua_pushboolean(L, write_all(descriptor, bytes, length) == 0);
  return 1;
}

static int l_is_terminal(lua_State *L) {
  static const char *const names[] = {"stdin", "stdout", "stderr", NULL};
  lua_pushboolean(L, isatty(luaL_checkoption(L, 1, NULL, names)));
  return 1;
}

/* --- looking --- */

static void close_directory(void *directory) {
  closedir(directory);
}

static void sort_names(lua_State *L, int names) {
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_pushvalue(L, names);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
}

static int l_list(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  struct operation *operation = operation_open(L, close_directory);
  DIR *directory = opendir(path);
  if (directory == NULL) return fail_errno(L, "list", path);
  operation_hold(L, operation, directory);
  lua_newtable(L);
  struct dirent *entry = readdir(directory);
  for (lua_Integer count = 0; entry != NULL; entry = readdir(directory)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (++count > LIST_NAMES_MAX)
      return luaL_error(L, "more than %d names in %s", LIST_NAMES_MAX, path);
    lua_pushstring(L, entry->d_name);
    lua_seti(L, 3, count);
  }
  sort_names(L, 3);
  return 1;
}

static int l_stat(lua_State *L) {
  struct stat status;
  char absolute[PATH_MAX];
  const char *path = luaL_checkstring(L, 1);
  if (stat(path, &status) != 0) return 0;
  if (realpath(path, absolute) == NULL) return 0;
  lua_pushstring(L, S_ISDIR(status.st_mode)   ? "directory"
                    : S_ISREG(status.st_mode) ? "file"
                                              : "other");
  lua_pushstring(L, absolute);
  return 2;
}

/* What an ordinary user may still write, and the size of the whole. */
static int l_disk_space(lua_State *L) {
  struct statvfs status;
  const char *path = luaL_checkstring(L, 1);
  if (statvfs(path, &status) != 0) return fail_errno(L, "look at the disk of", path);
  lua_pushnumber(L, (double)status.f_bavail * (double)status.f_frsize);
  lua_pushnumber(L, (double)status.f_blocks * (double)status.f_frsize);
  return 2;
}

static int l_working_directory(lua_State *L) {
  char path[PATH_MAX];
  if (getcwd(path, sizeof path) == NULL) return fail_errno(L, "find", "the working directory");
  lua_pushstring(L, path);
  return 1;
}

static int l_getenv(lua_State *L) {
  lua_pushstring(L, getenv(luaL_checkstring(L, 1)));
  return 1;
}

/* --- assets --- */

#ifdef TIDEGATE_SOURCE_DIR
static bool push_source(lua_State *L, const char *name) {
  const char *path = lua_pushfstring(L, "%s/%s", TIDEGATE_SOURCE_DIR, name);
  FILE *stream = fopen(path, "re");
  if (stream == NULL) {
    lua_pop(L, 1);
    return false;
  }
  bool whole = push_stream(L, stream, READ_BYTES_DEFAULT);
  fclose(stream);
  lua_remove(L, -2);
  if (!whole) lua_pop(L, 1);
  return whole;
}
#else
static bool push_source(lua_State *L, const char *name) {
  (void)L;
  (void)name;
  return false;
}
#endif

bool host_files_push_asset(lua_State *L, const char *name) {
  if (strstr(name, "..") != NULL) return false;
  if (push_source(L, name)) return true;
  const struct asset *asset = asset_find(name);
  if (asset == NULL) return false;
  lua_pushlstring(L, (const char *)asset->data, asset->length);
  return true;
}

static int l_asset(lua_State *L) {
  return host_files_push_asset(L, luaL_checkstring(L, 1)) ? 1 : 0;
}

static int l_assets(lua_State *L) {
  size_t length;
  const char *prefix = luaL_checklstring(L, 1, &length);
  lua_Integer count = 0;
  lua_newtable(L);
  for (size_t i = 0; i < asset_count(); i++) {
    const char *name = asset_at(i)->name;
    if (strncmp(name, prefix, length) != 0) continue;
    lua_pushstring(L, name);
    lua_seti(L, -2, ++count);
  }
  return 1;
}

static const luaL_Reg functions[] = {
    {"read_file", l_read_file},
    {"write_file", l_write_file},
    {"remove", l_remove},
    {"list", l_list},
    {"make_directory", l_make_directory},
    {"getenv", l_getenv},
    {"stat", l_stat},
    {"disk_space", l_disk_space},
    {"working_directory", l_working_directory},
    {"read_input", l_read_input},
    {"write", l_write},
    {"is_terminal", l_is_terminal},
    {"asset", l_asset},
    {"assets", l_assets},
    {NULL, NULL},
};

void host_files_register(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
