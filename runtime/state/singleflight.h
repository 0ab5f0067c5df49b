/* One computation per key over all threads. Knows nothing of tasks: a waiter is a callback.
 *
 * Two kinds of flights, with keys of their own: in one that is joined, who comes first leads, the
 * others wait for its result, and a leader that leaves without one hands over to the waiter that
 * came next. In one that is shared all wait, and somebody apart computes: the runner, whom the
 * first to come has to find.
 *
 * Thread-safe. A flight can be joined from its first member to its result, or to when its last
 * member has left. */
#ifndef TIDEGATE_STATE_SINGLEFLIGHT_H
#define TIDEGATE_STATE_SINGLEFLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#define SINGLEFLIGHT_KEYS_MAX 10000
#define SINGLEFLIGHT_WAITERS_MAX 10000 /* of one key */
#define SINGLEFLIGHT_KEY_MAX 256

struct singleflight;
struct flight_member;
struct flight_runner;

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

/* Waits in the shared flight of `key`, whose deadline becomes at least `deadline`; the rest as
 * flight_join. Who begins the flight is given its runner too, and sees to it that flight_land is
 * called; else *runner is NULL. The member is never its leader. */
struct flight_member *flight_share(struct singleflight *singleflight, const char *key,
                                   size_t key_length, double deadline, void (*notify)(void *),
                                   void *argument, struct flight_runner **runner);
/* `notify(argument)` is called when the last member has left before the result, in the same way
 * as a member's: the key is free by then, and nobody will see the result. At most once, and not
 * after flight_land. To be called before the member that came with the runner can leave. */
void flight_watch(struct flight_runner *runner, void (*notify)(void *), void *argument);
/* The latest deadline of all who have ever waited, and how many wait now. */
double flight_deadline(struct flight_runner *runner);
size_t flight_waiters(struct flight_runner *runner);
/* Hands the result to who still waits, as flight_finish does, and frees the runner. */
void flight_land(struct flight_runner *runner, const struct flight_result *result);

/* Flights of both kinds that somebody is in, whether or not they can still be joined. */
size_t singleflight_count(struct singleflight *singleflight);

#endif
