#include "state/trial.h"

#include <pthread.h>
#include <string.h>

struct trial {
  pthread_mutex_t mutex;
  struct trial_state state;
  struct trial_limits limits;
};

static void open_cell(void *cell, const char *name, void *context) {
  (void)name, (void)context;
  struct trial *trial = cell;
  pthread_mutex_init(&trial->mutex, NULL);
}

static void close_cell(void *cell) {
  struct trial *trial = cell;
  pthread_mutex_destroy(&trial->mutex);
}

struct name_table *trial_table_new(void) {
  return name_table_new(&(struct name_table_kind){
      .cell_size = sizeof(struct trial), .open = open_cell, .close = close_cell});
}

struct trial *trial_cell(struct name_table *table, const char *name) {
  return name_table_cell(table, name);
}

static bool is_of(const struct trial *trial, const char *version) {
  return strcmp(trial->state.version, version) == 0;
}

bool trial_begin(struct trial *trial, const char *version, struct trial_limits limits) {
  size_t length = strlen(version);
  if (length == 0 || length > TRIAL_VERSION_MAX || limits.calls == 0 || limits.errors == 0)
    return false;
  pthread_mutex_lock(&trial->mutex);
  if (!is_of(trial, version)) {
    trial->state = (struct trial_state){.is_on = true};
    memcpy(trial->state.version, version, length);
    trial->limits = limits;
  }
  pthread_mutex_unlock(&trial->mutex);
  return true;
}

/* The mutex is held. */
static bool note(struct trial *trial, bool failed) {
  struct trial_state *state = &trial->state;
  state->calls++;
  if (failed) state->errors++;
  bool fails = state->errors >= trial->limits.errors;
  state->is_on = !fails && state->calls < trial->limits.calls;
  return fails;
}

bool trial_note(struct trial *trial, const char *version, bool failed) {
  pthread_mutex_lock(&trial->mutex);
  bool fails = trial->state.is_on && is_of(trial, version) && note(trial, failed);
  pthread_mutex_unlock(&trial->mutex);
  return fails;
}

void trial_stop(struct trial *trial) {
  pthread_mutex_lock(&trial->mutex);
  trial->state = (struct trial_state){0};
  pthread_mutex_unlock(&trial->mutex);
}

struct trial_state trial_read(struct trial *trial) {
  pthread_mutex_lock(&trial->mutex);
  struct trial_state state = trial->state;
  pthread_mutex_unlock(&trial->mutex);
  return state;
}
