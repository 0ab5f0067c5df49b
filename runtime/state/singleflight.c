#include "state/singleflight.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

/* Freed with its last member. */
struct flight {
  struct flight *next; /* in its bucket, while it can be joined */
  struct flight_member *first, *last;
  size_t members;
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

struct singleflight {
  pthread_mutex_t mutex;
  size_t keys;
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

static struct flight *find(struct singleflight *singleflight, const char *key, size_t length) {
  struct flight *flight = *bucket_of(singleflight, key, length);
  while (flight != NULL && (flight->key_length != length || memcmp(flight->key, key, length) != 0))
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
  singleflight->keys++;
  return flight;
}

/* The key is free again; who is in the flight keeps it. */
static void detach(struct singleflight *singleflight, struct flight *flight) {
  struct flight **link = bucket_of(singleflight, flight->key, flight->key_length);
  while (*link != flight) link = &(*link)->next;
  *link = flight->next;
  singleflight->keys--;
}

static void append(struct flight *flight, struct flight_member *member) {
  member->flight = flight;
  member->previous = flight->last;
  member->role = flight->first == NULL ? FLIGHT_LEADS : FLIGHT_WAITS;
  if (flight->last != NULL) flight->last->next = member;
  if (flight->first == NULL) flight->first = member;
  flight->last = member;
  flight->members++;
  if (flight->members > 1) flight->shared = true;
}

struct flight_member *flight_join(struct singleflight *singleflight, const char *key,
                                  size_t key_length, void (*notify)(void *), void *argument) {
  if (key_length > SINGLEFLIGHT_KEY_MAX) return NULL;
  struct flight_member *member = calloc(1, sizeof *member);
  if (member == NULL) return NULL;
  member->singleflight = singleflight;
  member->notify = notify;
  member->argument = argument;
  pthread_mutex_lock(&singleflight->mutex);
  struct flight *flight = find(singleflight, key, key_length);
  if (flight == NULL) flight = begin(singleflight, key, key_length);
  bool joined = flight != NULL && flight->members < SINGLEFLIGHT_WAITERS_MAX;
  if (joined) append(flight, member);
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

/* The leader's alone until the flight has ended, so that no lock is held while it copies. */
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
void flight_finish(struct flight_member *leader, const struct flight_result *result) {
  struct singleflight *singleflight = leader->singleflight;
  struct flight *flight = leader->flight;
  keep_result(flight, result);
  pthread_mutex_lock(&singleflight->mutex);
  flight->ended = true;
  detach(singleflight, flight);
  leader->role = FLIGHT_ENDED;
  for (struct flight_member *member = flight->first; member != NULL; member = member->next) {
    if (member->role != FLIGHT_WAITS) continue;
    member->role = FLIGHT_ENDED;
    member->notify(member->argument);
  }
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

void flight_leave(struct flight_member *member) {
  struct singleflight *singleflight = member->singleflight;
  struct flight *flight = member->flight;
  pthread_mutex_lock(&singleflight->mutex);
  unlink_member(flight, member);
  bool last = flight->members == 0;
  if (last && !flight->ended) detach(singleflight, flight);
  if (!last && member->role == FLIGHT_LEADS) promote(flight);
  pthread_mutex_unlock(&singleflight->mutex);
  free(member);
  if (!last) return;
  free(flight->bytes);
  free(flight);
}
