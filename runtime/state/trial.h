/* The first calls of a new version of an integration: whether too many of them fail.
 *
 * One cell for each name, thread-safe. A trial is over when so many calls have ended, when it was
 * found to fail, or when it is stopped. */
#ifndef TIDEGATE_STATE_TRIAL_H
#define TIDEGATE_STATE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "state/name_table.h"

#define TRIAL_VERSION_MAX 127
#define TRIAL_CALLS_DEFAULT 20
#define TRIAL_ERRORS_DEFAULT 5

struct trial;

struct trial_limits {
  uint32_t calls;  /* how many are looked at; at least 1 */
  uint32_t errors; /* with so many among them the version fails; at least 1 */
};

struct trial_state {
  char version[TRIAL_VERSION_MAX + 1]; /* "": there has been none */
  uint32_t calls, errors;
  bool is_on;
};

/* A table of trials, to be freed with name_table_free; NULL without memory. */
struct name_table *trial_table_new(void);
/* The cell of a name of 1 to NAME_TABLE_NAME_MAX bytes. Owned by the table. NULL when there are
 * NAME_TABLE_CELLS_MAX or memory ran out. */
struct trial *trial_cell(struct name_table *table, const char *name);

/* Begins the trial of a version, in place of any other. That of the same version goes on, or stays
 * over: each worker may begin it. False when the text has none or more than TRIAL_VERSION_MAX
 * bytes, or a limit is 0. */
bool trial_begin(struct trial *trial, const char *version, struct trial_limits limits);
/* A call of `version` has ended. True for one call in the life of a trial: that whose error was one
 * too many. Calls of other versions are not counted, nor any when no trial is on. */
bool trial_note(struct trial *trial, const char *version, bool failed);
/* Forgets the trial: the same version could begin one anew. */
void trial_stop(struct trial *trial);
struct trial_state trial_read(struct trial *trial);

#endif
