#include "io/sqlite_fence.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* In the order of strcmp. */
static const char *const functions[] = {"->",
                                        "->>",
                                        "abs",
                                        "acos",
                                        "acosh",
                                        "asin",
                                        "asinh",
                                        "atan",
                                        "atan2",
                                        "atanh",
                                        "avg",
                                        "bm25",
                                        "ceil",
                                        "ceiling",
                                        "changes",
                                        "char",
                                        "coalesce",
                                        "concat",
                                        "concat_ws",
                                        "cos",
                                        "cosh",
                                        "count",
                                        "cume_dist",
                                        "current_date",
                                        "current_time",
                                        "current_timestamp",
                                        "date",
                                        "datetime",
                                        "degrees",
                                        "dense_rank",
                                        "exp",
                                        "first_value",
                                        "floor",
                                        "format",
                                        "glob",
                                        "group_concat",
                                        "hex",
                                        "highlight",
                                        "ifnull",
                                        "iif",
                                        "instr",
                                        "json",
                                        "json_array",
                                        "json_array_length",
                                        "json_extract",
                                        "json_group_array",
                                        "json_group_object",
                                        "json_insert",
                                        "json_object",
                                        "json_patch",
                                        "json_quote",
                                        "json_remove",
                                        "json_replace",
                                        "json_set",
                                        "json_type",
                                        "json_valid",
                                        "julianday",
                                        "lag",
                                        "last_insert_rowid",
                                        "last_value",
                                        "lead",
                                        "length",
                                        "like",
                                        "likelihood",
                                        "likely",
                                        "ln",
                                        "log",
                                        "log10",
                                        "log2",
                                        "lower",
                                        "ltrim",
                                        "match",
                                        "max",
                                        "min",
                                        "mod",
                                        "nth_value",
                                        "ntile",
                                        "nullif",
                                        "octet_length",
                                        "percent_rank",
                                        "pi",
                                        "pow",
                                        "power",
                                        "printf",
                                        "quote",
                                        "radians",
                                        "random",
                                        "randomblob",
                                        "rank",
                                        "replace",
                                        "round",
                                        "row_number",
                                        "rtrim",
                                        "sign",
                                        "sin",
                                        "sinh",
                                        "snippet",
                                        "soundex",
                                        "sqrt",
                                        "strftime",
                                        "string_agg",
                                        "substr",
                                        "substring",
                                        "sum",
                                        "tan",
                                        "tanh",
                                        "time",
                                        "timediff",
                                        "total",
                                        "total_changes",
                                        "trim",
                                        "trunc",
                                        "typeof",
                                        "unhex",
                                        "unicode",
                                        "unixepoch",
                                        "unlikely",
                                        "upper",
                                        "zeroblob"};

/* Tables that SQLite makes up, which show what is none of a script's business. */
static const char *const made_up_tables[] = {"bytecode", "dbstat", "fts3tokenize", "tables_used"};

static const char use_migrations[] = "tables are made and changed by migrations/NNN_name.sql";

static int compare_names(const void *name, const void *entry) {
  return strcmp(name, *(const char *const *)entry);
}

static bool is_listed(const char *name) {
  return bsearch(name, functions, sizeof functions / sizeof functions[0], sizeof functions[0],
                 compare_names) != NULL;
}

static bool begins(const char *name, const char *prefix) {
  return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_framework_table(const char *name) {
  return name != NULL && (begins(name, "tidegate_") || strcasecmp(name, "schema_migrations") == 0);
}

static bool is_reserved_table(const char *name) {
  if (name == NULL) return true;
  if (is_framework_table(name) || begins(name, "sqlite_") || begins(name, "pragma_")) return true;
  for (size_t i = 0; i < sizeof made_up_tables / sizeof made_up_tables[0]; i++)
    if (strcasecmp(name, made_up_tables[i]) == 0) return true;
  return false;
}

static bool deny_table(const char *name, struct err *denial) {
  err_set(denial, "sql", "the table %s is not one of the project's", name ? name : "");
  return false;
}

static bool deny(struct err *denial, const char *message) {
  err_set(denial, "sql", "%s", message);
  return false;
}

/* fts5 and rtree ask for them inside. */
static bool is_harmless_pragma(const char *name, const char *argument) {
  if (name == NULL || argument != NULL) return false;
  return strcasecmp(name, "data_version") == 0 || strcasecmp(name, "page_size") == 0;
}

static bool is_schema_table(const char *name) {
  return name != NULL &&
         (strcasecmp(name, "sqlite_master") == 0 || strcasecmp(name, "sqlite_temp_master") == 0);
}

/* What SQLite asks of its own tables: statistics, and when it first meets a virtual table. A
 * script's own UPDATE is refused by the connection's defensive mode. */
static bool is_internal_use(int action, const char *table, const char *column) {
  if (table == NULL) return false;
  if (action == SQLITE_READ && begins(table, "sqlite_stat")) return true;
  if (!is_schema_table(table)) return false;
  return action == SQLITE_UPDATE ||
         (action == SQLITE_READ && column != NULL && strcmp(column, "ROWID") == 0);
}

static bool store_allows(int action) {
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_PRAGMA:
    case SQLITE_ATTACH: /* VACUUM too */
    case SQLITE_DETACH:
      return false;
    default:
      return true;
  }
}

static bool project_allows(int action, const char *first, const char *second, struct err *denial) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
      return true;
    case SQLITE_READ:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      if (!is_reserved_table(first) || is_internal_use(action, first, second)) return true;
      if (action != SQLITE_READ && is_schema_table(first)) return deny(denial, use_migrations);
      return deny_table(first, denial);
    case SQLITE_FUNCTION:
      return second != NULL && is_listed(second);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return deny(denial, "a transaction is begun with ctx.db.transaction(fn)");
    case SQLITE_PRAGMA:
      if (is_harmless_pragma(first, second)) return true;
      return deny(denial, "PRAGMA is not for scripts");
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      return deny(denial, "ATTACH, DETACH and VACUUM are not for scripts");
    default:
      return deny(denial, use_migrations);
  }
}

static bool is_temporary(int action) {
  switch (action) {
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
      return true;
    default:
      return false;
  }
}

static bool is_module(const char *name) {
  return name != NULL && (strcasecmp(name, "fts5") == 0 || strcasecmp(name, "rtree") == 0);
}

/* Which of the authorizer's names is that of a table that the action changes or looks at. */
static const char *table_of(int action, const char *first, const char *second) {
  switch (action) {
    case SQLITE_CREATE_INDEX:
    case SQLITE_DROP_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_ALTER_TABLE: /* first is the database */
      return second;
    default:
      return first;
  }
}

static bool migration_allows(int action, const char *first, const char *second,
                             struct err *denial) {
  if (action == SQLITE_FUNCTION) return second != NULL && strcmp(second, "load_extension") != 0;
  if (action == SQLITE_PRAGMA && is_harmless_pragma(first, second)) return true;
  if (!store_allows(action))
    return deny(denial, "a migration is one transaction, without PRAGMA, ATTACH and VACUUM");
  if (is_temporary(action)) return deny(denial, "what is temporary would stay on one connection");
  if (action == SQLITE_CREATE_VTABLE && !is_module(second))
    return deny(denial, "virtual tables are those of fts5 and rtree");
  if (action == SQLITE_ANALYZE || action == SQLITE_REINDEX) return true;
  const char *table = table_of(action, first, second);
  return is_framework_table(table) ? deny_table(table, denial) : true;
}

bool sqlite_fence_allows(enum sqlite_fence fence, int action, const char *first, const char *second,
                         struct err *denial) {
  switch (fence) {
    case SQLITE_FENCE_PROJECT:
      return project_allows(action, first, second, denial);
    case SQLITE_FENCE_MIGRATION:
      return migration_allows(action, first, second, denial);
    case SQLITE_FENCE_STORE:
      break;
  }
  return store_allows(action);
}
