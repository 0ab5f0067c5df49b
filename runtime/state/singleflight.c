#include "state/singleflight.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

/* Freed with its last member, or its runner if that stays longer. */
struct flight {
  struct flight *next; /* in its bucket, while it can be joined */
  struct flight_member *first, *last;
  struct flight_runner *runner; /* NULL when a member leads */
  size_t members;
  double deadline;
  bool has_key; /* can be joined */
  bool ended, shared, ok;
  char *bytes;
  size_t length;
  char code[64];
  size_t key_length;
  char key[SINGLEFLIGHT_KEY_MAX];
};

struct flight_member {
  struct singleflight *singleflight;
  struct flight *flight;
  struct flight_member *previous, *next;
  enum flight_role role;
  void (*notify)(void *);
  void *argument;
};

struct flight_runner {
  struct singleflight *singleflight;
  struct flight *flight;
  void (*notify)(void *); /* NULL until it watches */
  void *argument;
};

struct singleflight {
  pthread_mutex_t mutex;
  size_t keys;
  size_t flights; /* also those that have no key any more */
  struct flight *buckets[BUCKETS];
};

struct singleflight *singleflight_new(void) {
  struct singleflight *singleflight = calloc(1, sizeof *singleflight);
  if (singleflight != NULL) pthread_mutex_init(&singleflight->mutex, NULL);
  return singleflight;
}

void singleflight_free(struct singleflight *singleflight) {
  if (singleflight == NULL) return;
  pthread_mutex_destroy(&singleflight->mutex);
  free(singleflight);
}

/* FNV-1a: keys are ours, not an attacker's. */
static struct flight **bucket_of(struct singleflight *singleflight, const char *key,
                                 size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)key[i]) * 16777619u;
  return &singleflight->buckets[hash % BUCKETS];
}

static bool has_key(const struct flight *flight, const char *key, size_t length) {
  return flight->key_length == length && memcmp(flight->key, key, length) == 0;
}

/* Flights with a runner and those that a member leads have keys of their own. */
static struct flight *find(struct singleflight *singleflight, const char *key, size_t length,
                           bool with_runner) {
  struct flight *flight = *bucket_of(singleflight, key, length);
  while (flight != NULL &&
         ((flight->runner != NULL) != with_runner || !has_key(flight, key, length)))
    flight = flight->next;
  return flight;
}

static struct flight *begin(struct singleflight *singleflight, const char *key, size_t length) {
  if (singleflight->keys == SINGLEFLIGHT_KEYS_MAX) return NULL;
  struct flight *flight = calloc(1, sizeof *flight);
  if (flight == NULL) return NULL;
  struct flight **bucket = bucket_of(singleflight, key, length);
  memcpy(flight->key, key, length);
  flight->key_length = length;
  flight->next = *bucket;
  *bucket = flight;
  flight->has_key = true;
  singleflight->keys++;
  singleflight->flights++;
  return flight;
}

/* The key is free again; who is in the flight keeps it. */
static void free_key(struct singleflight *singleflight, struct flight *flight) {
  if (!flight->has_key) return;
  flight->has_key = false;
  struct flight **link = bucket_of(singleflight, flight->key, flight->key_length);
  while (*link != flight) link = &(*link)->next;
  *link = flight->next;
  singleflight->keys--;
}

static void append(struct flight *flight, struct flight_member *member) {
  bool leads = flight->first == NULL && flight->runner == NULL;
  member->flight = flight;
  member->previous = flight->last;
  member->role = leads ? FLIGHT_LEADS : FLIGHT_WAITS;
  if (flight->last != NULL) flight->last->next = member;
  if (flight->first == NULL) flight->first = member;
  flight->last = member;
  flight->members++;
  if (flight->members > 1) flight->shared = true;
}

static struct flight_member *new_member(struct singleflight *singleflight, void (*notify)(void *),
                                        void *argument) {
  struct flight_member *member = calloc(1, sizeof *member);
  if (member == NULL) return NULL;
  member->singleflight = singleflight;
  member->notify = notify;
  member->argument = argument;
  return member;
}

static bool board(struct flight *flight, struct flight_member *member) {
  if (flight == NULL || flight->members == SINGLEFLIGHT_WAITERS_MAX) return false;
  append(flight, member);
  return true;
}

struct flight_member *flight_join(struct singleflight *singleflight, const char *key,
                                  size_t key_length, void (*notify)(void *), void *argument) {
  if (key_length > SINGLEFLIGHT_KEY_MAX) return NULL;
  struct flight_member *member = new_member(singleflight, notify, argument);
  if (member == NULL) return NULL;
  pthread_mutex_lock(&singleflight->mutex);
  struct flight *flight = find(singleflight, key, key_length, false);
  if (flight == NULL) flight = begin(singleflight, key, key_length);
  bool joined = board(flight, member);
  pthread_mutex_unlock(&singleflight->mutex);
  if (joined) return member;
  free(member);
  return NULL;
}

static struct flight *begin_with_runner(struct singleflight *singleflight, const char *key,
                                        size_t length) {
  struct flight_runner *runner = calloc(1, sizeof *runner);
  if (runner == NULL) return NULL;
  struct flight *flight = begin(singleflight, key, length);
  if (flight == NULL) {
    free(runner);
    return NULL;
  }
  *runner = (struct flight_runner){.singleflight = singleflight, .flight = flight};
  flight->runner = runner;
  flight->deadline = -INFINITY;
  return flight;
}

struct flight_member *flight_share(struct singleflight *singleflight, const char *key,
                                   size_t key_length, double deadline, void (*notify)(void *),
                                   void *argument, struct flight_runner **runner) {
  *runner = NULL;
  if (key_length > SINGLEFLIGHT_KEY_MAX) return NULL;
  struct flight_member *member = new_member(singleflight, notify, argument);
  if (member == NULL) return NULL;
  pthread_mutex_lock(&singleflight->mutex);
  struct flight *flight = find(singleflight, key, key_length, true);
  if (flight == NULL) {
    flight = begin_with_runner(singleflight, key, key_length);
    if (flight != NULL) *runner = flight->runner;
  }
  bool joined = board(flight, member);
  if (joined && deadline > flight->deadline) flight->deadline = deadline;
  pthread_mutex_unlock(&singleflight->mutex);
  if (joined) return member;
  free(member);
  return NULL;
}

enum flight_role flight_role_of(struct flight_member *member) {
  pthread_mutex_lock(&member->singleflight->mutex);
  enum flight_role role = member->role;
  pthread_mutex_unlock(&member->singleflight->mutex);
  return role;
}

bool flight_is_shared(struct flight_member *member) {
  pthread_mutex_lock(&member->singleflight->mutex);
  bool shared = member->flight->shared;
  pthread_mutex_unlock(&member->singleflight->mutex);
  return shared;
}

/* The text is the leader's or the runner's alone until the flight has ended, so that no lock is
 * held while it copies. */
static void keep_result(struct flight *flight, const struct flight_result *result) {
  flight->ok = result->ok;
  flight->bytes = malloc(result->length + 1);
  if (flight->bytes == NULL) {
    flight->ok = false;
    memcpy(flight->code, "internal", sizeof "internal");
    return;
  }
  memcpy(flight->bytes, result->bytes, result->length);
  flight->length = result->length;
  if (result->code == NULL) return;
  size_t length = strnlen(result->code, sizeof flight->code - 1);
  memcpy(flight->code, result->code, length);
}

/* The mutex is held while the waiters are told: that is what lets a member leave safely. */
static void end(struct singleflight *singleflight, struct flight *flight) {
  flight->ended = true;
  free_key(singleflight, flight);
  for (struct flight_member *member = flight->first; member != NULL; member = member->next) {
    if (member->role != FLIGHT_WAITS) continue;
    member->role = FLIGHT_ENDED;
    member->notify(member->argument);
  }
}

void flight_finish(struct flight_member *leader, const struct flight_result *result) {
  struct singleflight *singleflight = leader->singleflight;
  struct flight *flight = leader->flight;
  keep_result(flight, result);
  pthread_mutex_lock(&singleflight->mutex);
  leader->role = FLIGHT_ENDED;
  end(singleflight, flight);
  pthread_mutex_unlock(&singleflight->mutex);
}

struct flight_result flight_result_of(struct flight_member *member) {
  const struct flight *flight = member->flight;
  return (struct flight_result){
      .ok = flight->ok,
      .bytes = flight->bytes != NULL ? flight->bytes : "",
      .length = flight->length,
      .code = flight->code[0] != '\0' ? flight->code : NULL,
  };
}

static void unlink_member(struct flight *flight, struct flight_member *member) {
  if (member->previous != NULL) member->previous->next = member->next;
  if (member->next != NULL) member->next->previous = member->previous;
  if (flight->first == member) flight->first = member->next;
  if (flight->last == member) flight->last = member->previous;
  flight->members--;
}

static void promote(struct flight *flight) {
  struct flight_member *next = flight->first;
  next->role = FLIGHT_LEADS;
  next->notify(next->argument);
}

/* Nobody waits any more: whoever asks for the key now begins a flight of its own. */
static void abandon(struct singleflight *singleflight, struct flight *flight) {
  free_key(singleflight, flight);
  struct flight_runner *runner = flight->runner;
  if (runner != NULL && runner->notify != NULL) runner->notify(runner->argument);
}

/* Under the lock: whether the flight is now the caller's to free. */
static bool forget_if_deserted(struct singleflight *singleflight, const struct flight *flight) {
  if (flight->members > 0 || flight->runner != NULL) return false;
  singleflight->flights--;
  return true;
}

static void free_flight(struct flight *flight) {
  free(flight->bytes);
  free(flight);
}

void flight_leave(struct flight_member *member) {
  struct singleflight *singleflight = member->singleflight;
  struct flight *flight = member->flight;
  pthread_mutex_lock(&singleflight->mutex);
  unlink_member(flight, member);
  if (flight->members == 0 && !flight->ended) abandon(singleflight, flight);
  if (flight->members > 0 && member->role == FLIGHT_LEADS) promote(flight);
  bool deserted = forget_if_deserted(singleflight, flight);
  pthread_mutex_unlock(&singleflight->mutex);
  free(member);
  if (deserted) free_flight(flight);
}

/* --- the runner --- */

void flight_watch(struct flight_runner *runner, void (*notify)(void *), void *argument) {
  pthread_mutex_lock(&runner->singleflight->mutex);
  runner->notify = notify;
  runner->argument = argument;
  pthread_mutex_unlock(&runner->singleflight->mutex);
}

double flight_deadline(struct flight_runner *runner) {
  pthread_mutex_lock(&runner->singleflight->mutex);
  double deadline = runner->flight->deadline;
  pthread_mutex_unlock(&runner->singleflight->mutex);
  return deadline;
}

size_t flight_waiters(struct flight_runner *runner) {
  pthread_mutex_lock(&runner->singleflight->mutex);
  size_t waiters = runner->flight->members;
  pthread_mutex_unlock(&runner->singleflight->mutex);
  return waiters;
}

void flight_land(struct flight_runner *runner, const struct flight_result *result) {
  struct singleflight *singleflight = runner->singleflight;
  struct flight *flight = runner->flight;
  keep_result(flight, result);
  pthread_mutex_lock(&singleflight->mutex);
  end(singleflight, flight);
  flight->runner = NULL;
  bool deserted = forget_if_deserted(singleflight, flight);
  pthread_mutex_unlock(&singleflight->mutex);
  free(runner);
  if (deserted) free_flight(flight);
}

size_t singleflight_count(struct singleflight *singleflight) {
  pthread_mutex_lock(&singleflight->mutex);
  size_t flights = singleflight->flights;
  pthread_mutex_unlock(&singleflight->mutex);
  return flights;
}
