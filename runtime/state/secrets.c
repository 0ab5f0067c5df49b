#include "state/secrets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "state/pattern_set.h"
#include "state/secret_forms.h"
#include "state/secret_scan.h"

struct entry {
  char owner[SECRET_NAME_MAX + 1];
  struct secret_info info;
  unsigned char *value;
  size_t length;
};

/* The patterns of all values at one time; shared by those who search it. */
struct snapshot {
  atomic_int references;
  struct pattern_set *set; /* NULL: nothing to look for */
};

struct secrets {
  pthread_mutex_t mutex;
  struct entry **entries;
  size_t count, capacity;
  size_t bytes; /* of all values */
  uint64_t last_version;
  _Atomic uint64_t changes;
  struct snapshot *snapshot; /* NULL: a value has changed since it was made */
};

struct secrets *secrets_new(void) {
  struct secrets *secrets = calloc(1, sizeof *secrets);
  if (secrets != NULL) pthread_mutex_init(&secrets->mutex, NULL);
  return secrets;
}

static void free_value(struct entry *entry) {
  if (entry->value != NULL) explicit_bzero(entry->value, entry->length);
  free(entry->value);
}

static void free_entry(struct entry *entry) {
  free_value(entry);
  free(entry);
}

static void release(struct snapshot *snapshot) {
  if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1) return;
  pattern_set_free(snapshot->set);
  free(snapshot);
}

void secrets_free(struct secrets *secrets) {
  if (secrets == NULL) return;
  for (size_t i = 0; i < secrets->count; i++) free_entry(secrets->entries[i]);
  free(secrets->entries);
  release(secrets->snapshot);
  pthread_mutex_destroy(&secrets->mutex);
  free(secrets);
}

/* --- the table; the mutex is held --- */

static size_t find(const struct secrets *secrets, const char *owner, const char *name) {
  for (size_t i = 0; i < secrets->count; i++)
    if (strcmp(secrets->entries[i]->info.name, name) == 0 &&
        strcmp(secrets->entries[i]->owner, owner) == 0)
      return i;
  return secrets->count;
}

/* Room for `more` entries. */
static bool grow(struct secrets *secrets, size_t more) {
  if (secrets->count + more > SECRETS_MAX) return false;
  if (secrets->count + more <= secrets->capacity) return true;
  size_t capacity = secrets->capacity ? secrets->capacity * 2 : 64;
  struct entry **entries = realloc(secrets->entries, capacity * sizeof *entries);
  if (entries == NULL) return false;
  secrets->entries = entries;
  secrets->capacity = capacity;
  return true;
}

static struct entry *new_entry(const char *owner, const char *name) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (entry == NULL) return NULL;
  memcpy(entry->owner, owner, strlen(owner) + 1);
  memcpy(entry->info.name, name, strlen(name) + 1);
  return entry;
}

static void changed(struct secrets *secrets) {
  release(secrets->snapshot);
  secrets->snapshot = NULL;
}

/* After the change: who reads the number first and the table then, never keeps what is old under a
 * number that is new. */
static void count_change(struct secrets *secrets) {
  atomic_fetch_add_explicit(&secrets->changes, 1, memory_order_release);
}

uint64_t secrets_changes(const struct secrets *secrets) {
  return atomic_load_explicit(&secrets->changes, memory_order_acquire);
}

static bool is_same(const struct entry *entry, const void *value, size_t length) {
  return entry->value != NULL && entry->length == length &&
         memcmp(entry->value, value, length) == 0;
}

/* A setting with the memory that it takes: after this nothing can fail. */
struct prepared {
  struct entry *entry; /* NULL: there is none to remove */
  bool is_new;
  unsigned char *copy; /* NULL: the value stays */
};

static void discard(struct prepared *prepared, const struct secret_setting *setting) {
  if (prepared->copy != NULL) explicit_bzero(prepared->copy, setting->length);
  free(prepared->copy);
  if (prepared->is_new) free_entry(prepared->entry);
}

static bool prepare(const struct secrets *secrets, const char *owner,
                    const struct secret_setting *setting, struct prepared *prepared) {
  size_t at = find(secrets, owner, setting->name);
  *prepared = (struct prepared){.entry = at < secrets->count ? secrets->entries[at] : NULL};
  if (setting->value == NULL) return true;
  if (prepared->entry != NULL && is_same(prepared->entry, setting->value, setting->length))
    return true;
  if (prepared->entry == NULL) {
    prepared->entry = new_entry(owner, setting->name);
    prepared->is_new = prepared->entry != NULL;
  }
  prepared->copy = malloc(setting->length + 1);
  if (prepared->entry == NULL || prepared->copy == NULL) return false;
  memcpy(prepared->copy, setting->value, setting->length);
  return true;
}

static bool fits(struct secrets *secrets, const struct secret_setting *settings,
                 const struct prepared *prepared, size_t count) {
  size_t bytes = secrets->bytes;
  size_t more = 0;
  for (size_t i = 0; i < count; i++) {
    if (settings[i].value != NULL) bytes += settings[i].length;
    if (prepared[i].is_new) more++;
  }
  for (size_t i = 0; i < count; i++)
    if (prepared[i].entry != NULL) bytes -= prepared[i].entry->length;
  return bytes <= SECRETS_BYTES_MAX && grow(secrets, more);
}

static void remove_entry(struct secrets *secrets, struct entry *entry) {
  size_t at = find(secrets, entry->owner, entry->info.name);
  secrets->bytes -= entry->length;
  free_entry(entry);
  secrets->entries[at] = secrets->entries[--secrets->count];
  changed(secrets);
}

/* Takes the copy over. */
static void replace(struct secrets *secrets, struct entry *entry, unsigned char *copy,
                    size_t length) {
  secrets->bytes = secrets->bytes - entry->length + length;
  free_value(entry);
  entry->value = copy;
  entry->length = length;
  entry->info.version = ++secrets->last_version;
  changed(secrets);
}

static void carry_out(struct secrets *secrets, const struct secret_setting *setting,
                      struct prepared *prepared) {
  if (setting->value == NULL) {
    if (prepared->entry != NULL) remove_entry(secrets, prepared->entry);
    return;
  }
  if (prepared->is_new) secrets->entries[secrets->count++] = prepared->entry;
  if (prepared->copy != NULL) replace(secrets, prepared->entry, prepared->copy, setting->length);
  prepared->entry->info.source = setting->source;
  prepared->entry->info.expires_at = setting->expires_at;
}

static bool set(struct secrets *secrets, const char *owner, const struct secret_setting *settings,
                size_t count) {
  struct prepared prepared[SECRETS_SET_MAX] = {0};
  bool ready = true;
  for (size_t i = 0; i < count && ready; i++)
    ready = prepare(secrets, owner, &settings[i], &prepared[i]);
  ready = ready && fits(secrets, settings, prepared, count);
  for (size_t i = 0; i < count; i++) {
    if (ready)
      carry_out(secrets, &settings[i], &prepared[i]);
    else
      discard(&prepared[i], &settings[i]);
  }
  if (ready) count_change(secrets);
  return ready;
}

static bool are_sound(const char *owner, const struct secret_setting *settings, size_t count) {
  bool sound = count <= SECRETS_SET_MAX && strlen(owner) <= SECRET_NAME_MAX;
  for (size_t i = 0; i < count && sound; i++)
    sound = strlen(settings[i].name) <= SECRET_NAME_MAX && settings[i].length <= SECRET_VALUE_MAX;
  return sound;
}

bool secrets_set(struct secrets *secrets, const char *owner, const struct secret_setting *settings,
                 size_t count) {
  if (!are_sound(owner, settings, count)) return false;
  pthread_mutex_lock(&secrets->mutex);
  bool done = set(secrets, owner, settings, count);
  pthread_mutex_unlock(&secrets->mutex);
  return done;
}

uint64_t secrets_put(struct secrets *secrets, const char *owner, const char *name,
                     const void *value, size_t length, enum secret_source source,
                     double expires_at) {
  const struct secret_setting setting = {name, value, length, source, expires_at};
  if (!are_sound(owner, &setting, 1)) return 0;
  pthread_mutex_lock(&secrets->mutex);
  uint64_t version = set(secrets, owner, &setting, 1)
                         ? secrets->entries[find(secrets, owner, name)]->info.version
                         : 0;
  pthread_mutex_unlock(&secrets->mutex);
  return version;
}

bool secrets_get(struct secrets *secrets, const char *owner, const char *name, struct buf *value,
                 struct secret_info *info) {
  bool found = false;
  pthread_mutex_lock(&secrets->mutex);
  size_t at = find(secrets, owner, name);
  if (at < secrets->count) {
    const struct entry *entry = secrets->entries[at];
    found = buf_append(value, entry->value, entry->length) == 0;
    *info = entry->info;
  }
  pthread_mutex_unlock(&secrets->mutex);
  return found;
}

bool secrets_remove(struct secrets *secrets, const char *owner, const char *name,
                    uint64_t version) {
  bool removed = false;
  pthread_mutex_lock(&secrets->mutex);
  size_t at = find(secrets, owner, name);
  if (at < secrets->count && (version == 0 || secrets->entries[at]->info.version == version)) {
    remove_entry(secrets, secrets->entries[at]);
    count_change(secrets);
    removed = true;
  }
  pthread_mutex_unlock(&secrets->mutex);
  return removed;
}

size_t secrets_list(struct secrets *secrets, const char *owner, struct secret_info *infos,
                    size_t capacity) {
  size_t count = 0;
  pthread_mutex_lock(&secrets->mutex);
  for (size_t i = 0; i < secrets->count; i++) {
    if (strcmp(secrets->entries[i]->owner, owner) != 0) continue;
    if (count < capacity) infos[count] = secrets->entries[i]->info;
    count++;
  }
  pthread_mutex_unlock(&secrets->mutex);
  return count;
}

void secrets_usage(struct secrets *secrets, size_t *count, size_t *bytes) {
  pthread_mutex_lock(&secrets->mutex);
  *count = secrets->count;
  *bytes = secrets->bytes;
  pthread_mutex_unlock(&secrets->mutex);
}

/* --- the snapshot --- */

struct collected {
  struct pattern *patterns;
  size_t count, capacity;
};

static int collect(void *context, const unsigned char *bytes, size_t length) {
  struct collected *collected = context;
  if (collected->count == collected->capacity) {
    size_t capacity = collected->capacity ? collected->capacity * 2 : 64;
    struct pattern *patterns = realloc(collected->patterns, capacity * sizeof *patterns);
    if (patterns == NULL) return -1;
    collected->patterns = patterns;
    collected->capacity = capacity;
  }
  unsigned char *copy = malloc(length);
  if (copy == NULL) return -1;
  memcpy(copy, bytes, length);
  collected->patterns[collected->count++] = (struct pattern){copy, length};
  return 0;
}

static void free_collected(struct collected *collected) {
  for (size_t i = 0; i < collected->count; i++) {
    unsigned char *bytes = (unsigned char *)collected->patterns[i].bytes;
    explicit_bzero(bytes, collected->patterns[i].length);
    free(bytes);
  }
  free(collected->patterns);
}

static struct snapshot *make_snapshot(const struct secrets *secrets) {
  struct collected collected = {0};
  struct snapshot *snapshot = calloc(1, sizeof *snapshot);
  bool complete = snapshot != NULL;
  for (size_t i = 0; i < secrets->count && complete; i++)
    complete = secret_forms(secrets->entries[i]->value, secrets->entries[i]->length, collect,
                            &collected) == 0;
  if (complete && collected.count > 0) {
    snapshot->set = pattern_set_new(collected.patterns, collected.count);
    complete = snapshot->set != NULL;
  }
  free_collected(&collected);
  if (complete) {
    atomic_init(&snapshot->references, 1);
    return snapshot;
  }
  free(snapshot);
  return NULL;
}

/* A reference, or NULL without memory. Made at the first search after a change, so that many
 * values put one after another cost one build. */
static struct snapshot *take_snapshot(struct secrets *secrets) {
  pthread_mutex_lock(&secrets->mutex);
  if (secrets->snapshot == NULL) secrets->snapshot = make_snapshot(secrets);
  struct snapshot *snapshot = secrets->snapshot;
  if (snapshot != NULL) atomic_fetch_add(&snapshot->references, 1);
  pthread_mutex_unlock(&secrets->mutex);
  return snapshot;
}

/* --- searching --- */

bool secrets_occur(struct secrets *secrets, const char *text, size_t length) {
  struct snapshot *snapshot = take_snapshot(secrets);
  if (snapshot == NULL) return true; /* unknown is treated as if it did */
  bool found = snapshot->set != NULL && secret_scan_occurs(snapshot->set, text, length);
  release(snapshot);
  return found;
}

int secrets_redact(struct secrets *secrets, const char *text, size_t length, struct buf *result) {
  struct snapshot *snapshot = take_snapshot(secrets);
  if (snapshot == NULL) return -1;
  int status = snapshot->set != NULL ? secret_scan_mask(snapshot->set, text, length, result)
                                     : buf_append(result, text, length);
  release(snapshot);
  return status;
}
