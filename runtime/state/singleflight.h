/* One computation per key over all threads: who comes first leads, the others wait for its
 * result. Knows nothing of tasks: a waiter is a callback.
 *
 * Thread-safe. A flight exists from the first join to its end; a leader that leaves without
 * a result hands over to the waiter that came next. */
#ifndef TIDEGATE_STATE_SINGLEFLIGHT_H
#define TIDEGATE_STATE_SINGLEFLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#define SINGLEFLIGHT_KEYS_MAX 10000
#define SINGLEFLIGHT_WAITERS_MAX 10000 /* of one key */
#define SINGLEFLIGHT_KEY_MAX 256

struct singleflight;
struct flight_member;

enum flight_role {
  FLIGHT_WAITS,
  FLIGHT_LEADS, /* at once, or after an earlier leader left */
  FLIGHT_ENDED, /* flight_result holds the result */
};

struct flight_result {
  bool ok;
  const char *bytes; /* the result, or the error's message */
  size_t length;
  const char *code; /* of the error, or NULL */
};

struct singleflight *singleflight_new(void);
void singleflight_free(struct singleflight *singleflight);

/* Joins the flight of `key`, or begins one. `notify(argument)` is called from any thread, at
 * most once each time the member's role changes from FLIGHT_WAITS, with the lock held: it must only
 * post; NULL when a bound is reached or memory ran out. */
struct flight_member *flight_join(struct singleflight *singleflight, const char *key,
                                  size_t key_length, void (*notify)(void *), void *argument);
enum flight_role flight_role_of(struct flight_member *member);
/* Whether another member has been in the flight too. */
bool flight_is_shared(struct flight_member *member);
/* The leader hands its result to all members, and the key is free again. The bytes are
 * copied; without memory the members get an error of code "internal". */
void flight_finish(struct flight_member *leader, const struct flight_result *result);
/* Valid for a member whose role is FLIGHT_ENDED, until it leaves. */
struct flight_result flight_result_of(struct flight_member *member);
/* Frees the member; after it returns `notify` is not called any more. */
void flight_leave(struct flight_member *member);

#endif
