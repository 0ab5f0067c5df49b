#include "state/singleflight.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int new_singleflight(void **state) {
  *state = singleflight_new();
  return *state == NULL ? -1 : 0;
}

static int free_singleflight(void **state) {
  singleflight_free(*state);
  return 0;
}

static void count_notice(void *argument) {
  atomic_fetch_add((atomic_int *)argument, 1);
}

static struct flight_member *join(struct singleflight *singleflight, const char *key,
                                  atomic_int *notices) {
  return flight_join(singleflight, key, strlen(key), count_notice, notices);
}

static void finish(struct flight_member *leader, const char *text) {
  flight_finish(leader, &(struct flight_result){true, text, strlen(text), NULL});
}

static void the_first_leads_and_the_others_get_its_result(void **state) {
  atomic_int notices = 0;
  struct flight_member *one = join(*state, "key", &notices);
  struct flight_member *two = join(*state, "key", &notices);
  struct flight_member *other = join(*state, "other key", &notices);
  assert_int_equal(flight_role_of(one), FLIGHT_LEADS);
  assert_int_equal(flight_role_of(two), FLIGHT_WAITS);
  assert_int_equal(flight_role_of(other), FLIGHT_LEADS);
  assert_false(flight_is_shared(other));
  finish(one, "a\nresult");
  assert_int_equal(atomic_load(&notices), 1);
  assert_int_equal(flight_role_of(two), FLIGHT_ENDED);
  flight_leave(one);
  struct flight_result result = flight_result_of(two);
  assert_true(result.ok);
  assert_int_equal(result.length, 8);
  assert_memory_equal(result.bytes, "a\nresult", 8);
  assert_true(flight_is_shared(two));
  flight_leave(two);
  flight_leave(other);
}

static void failures_are_shared_too(void **state) {
  atomic_int notices = 0;
  struct flight_member *one = join(*state, "key", &notices);
  struct flight_member *two = join(*state, "key", &notices);
  flight_finish(one, &(struct flight_result){false, "no route", 8, "network_error"});
  struct flight_result result = flight_result_of(two);
  assert_false(result.ok);
  assert_memory_equal(result.bytes, "no route", 8);
  assert_string_equal(result.code, "network_error");
  flight_leave(two);
  flight_leave(one);
}

static void the_key_is_free_again_once_there_is_a_result(void **state) {
  atomic_int notices = 0;
  struct flight_member *one = join(*state, "key", &notices);
  finish(one, "old");
  struct flight_member *two = join(*state, "key", &notices);
  assert_int_equal(flight_role_of(two), FLIGHT_LEADS);
  assert_memory_equal(flight_result_of(one).bytes, "old", 3);
  flight_leave(one);
  flight_leave(two);
}

static void a_leader_that_leaves_hands_over_to_the_one_that_came_next(void **state) {
  atomic_int first = 0, second = 0, third = 0;
  struct flight_member *one = join(*state, "key", &first);
  struct flight_member *two = join(*state, "key", &second);
  struct flight_member *three = join(*state, "key", &third);
  flight_leave(one);
  assert_int_equal(flight_role_of(two), FLIGHT_LEADS);
  assert_int_equal(flight_role_of(three), FLIGHT_WAITS);
  assert_int_equal(atomic_load(&second), 1);
  assert_int_equal(atomic_load(&third), 0);
  flight_leave(two);
  assert_int_equal(flight_role_of(three), FLIGHT_LEADS);
  finish(three, "done");
  assert_int_equal(atomic_load(&third), 1);
  flight_leave(three);
}

static void a_waiter_that_leaves_is_not_told(void **state) {
  atomic_int leads = 0, waits = 0;
  struct flight_member *one = join(*state, "key", &leads);
  flight_leave(join(*state, "key", &waits));
  finish(one, "done");
  assert_int_equal(atomic_load(&waits), 0);
  flight_leave(one);
}

static void keys_waiters_and_the_length_of_keys_are_bounded(void **state) {
  atomic_int notices = 0;
  struct flight_member **members = calloc(SINGLEFLIGHT_KEYS_MAX, sizeof *members);
  char key[SINGLEFLIGHT_KEY_MAX + 2];
  memset(key, 'k', sizeof key - 1);
  key[sizeof key - 1] = '\0';
  assert_null(join(*state, key, &notices));
  for (int index = 0; index < SINGLEFLIGHT_KEYS_MAX; index++) {
    snprintf(key, sizeof key, "key %d", index);
    members[index] = join(*state, key, &notices);
    assert_non_null(members[index]);
  }
  assert_null(join(*state, "one more", &notices));
  for (int index = 0; index < SINGLEFLIGHT_KEYS_MAX; index++) flight_leave(members[index]);
  for (int index = 0; index < SINGLEFLIGHT_WAITERS_MAX; index++) {
    members[index] = join(*state, "key", &notices);
    assert_non_null(members[index]);
  }
  assert_null(join(*state, "key", &notices));
  for (int index = SINGLEFLIGHT_WAITERS_MAX - 1; index >= 0; index--) flight_leave(members[index]);
  free(members);
}

/* --- shared flights --- */

static struct flight_member *share(struct singleflight *singleflight, double deadline,
                                   atomic_int *notices, struct flight_runner **runner) {
  return flight_share(singleflight, "key", 3, deadline, count_notice, notices, runner);
}

static void land(struct flight_runner *runner, const char *text) {
  flight_land(runner, &(struct flight_result){true, text, strlen(text), NULL});
}

static void all_who_share_wait_for_the_runner(void **state) {
  atomic_int notices = 0;
  struct flight_runner *runner, *none;
  struct flight_member *one = share(*state, 5, &notices, &runner);
  struct flight_member *two = share(*state, 9, &notices, &none);
  assert_non_null(runner);
  assert_null(none);
  assert_int_equal(flight_role_of(one), FLIGHT_WAITS);
  assert_int_equal(flight_waiters(runner), 2);
  flight_leave(one);
  assert_int_equal(flight_role_of(two), FLIGHT_WAITS);
  assert_int_equal(flight_waiters(runner), 1);
  land(runner, "result");
  assert_int_equal(atomic_load(&notices), 1);
  assert_int_equal(flight_role_of(two), FLIGHT_ENDED);
  assert_memory_equal(flight_result_of(two).bytes, "result", 6);
  assert_true(flight_is_shared(two));
  flight_leave(two);
  assert_int_equal(singleflight_count(*state), 0);
}

static void the_deadline_of_a_shared_flight_only_rises(void **state) {
  atomic_int notices = 0;
  struct flight_runner *runner, *none;
  struct flight_member *one = share(*state, -5, &notices, &runner);
  assert_true(flight_deadline(runner) == -5);
  struct flight_member *two = share(*state, 9, &notices, &none);
  struct flight_member *three = share(*state, 7, &notices, &none);
  flight_leave(two);
  assert_true(flight_deadline(runner) == 9);
  flight_leave(one);
  flight_leave(three);
  land(runner, "");
}

static void a_runner_whom_all_have_left_is_told_and_its_key_is_free(void **state) {
  atomic_int notices = 0, abandoned = 0;
  struct flight_runner *runner, *second;
  struct flight_member *one = share(*state, 0, &notices, &runner);
  flight_watch(runner, count_notice, &abandoned);
  flight_leave(one);
  assert_int_equal(atomic_load(&abandoned), 1);
  struct flight_member *two = share(*state, 0, &notices, &second);
  assert_non_null(second);
  assert_int_equal(singleflight_count(*state), 2);
  land(runner, "too late");
  assert_int_equal(flight_role_of(two), FLIGHT_WAITS);
  struct flight_runner *none;
  struct flight_member *three = share(*state, 0, &notices, &none);
  assert_null(none);
  land(second, "new");
  assert_memory_equal(flight_result_of(three).bytes, "new", 3);
  flight_leave(two);
  flight_leave(three);
  assert_int_equal(atomic_load(&abandoned), 1);
}

static void a_flight_that_is_shared_and_one_that_is_joined_have_keys_of_their_own(void **state) {
  atomic_int notices = 0;
  struct flight_runner *runner;
  struct flight_member *one = join(*state, "key", &notices);
  struct flight_member *two = share(*state, 0, &notices, &runner);
  assert_non_null(runner);
  assert_false(flight_is_shared(one));
  finish(one, "led");
  assert_int_equal(flight_role_of(two), FLIGHT_WAITS);
  land(runner, "shared");
  flight_leave(one);
  flight_leave(two);
}

#define THREADS 8
#define ROUNDS 500

struct racer {
  struct singleflight *singleflight;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool noticed;
  int computed, received;
};

static void on_notice(void *argument) {
  struct racer *racer = argument;
  pthread_mutex_lock(&racer->mutex);
  racer->noticed = true;
  pthread_cond_signal(&racer->changed);
  pthread_mutex_unlock(&racer->mutex);
}

static void wait_for_notice(struct racer *racer) {
  pthread_mutex_lock(&racer->mutex);
  while (!racer->noticed) pthread_cond_wait(&racer->changed, &racer->mutex);
  racer->noticed = false;
  pthread_mutex_unlock(&racer->mutex);
}

/* Every third leader leaves without a result. */
static void fly(struct racer *racer, int round) {
  struct flight_member *member = flight_join(racer->singleflight, "key", 3, on_notice, racer);
  while (flight_role_of(member) == FLIGHT_WAITS) wait_for_notice(racer);
  if (flight_role_of(member) == FLIGHT_LEADS && round % 3 != 0) {
    racer->computed++;
    finish(member, "shared result");
  }
  if (flight_role_of(member) == FLIGHT_ENDED &&
      memcmp(flight_result_of(member).bytes, "shared result", 13) == 0)
    racer->received++;
  flight_leave(member);
  racer->noticed = false;
}

/* Every third does not stay for the result; who has the runner computes either way. */
static void fly_apart(struct racer *racer, int round) {
  struct flight_runner *runner;
  atomic_int abandoned = 0;
  struct flight_member *member =
      flight_share(racer->singleflight, "key", 3, round, on_notice, racer, &runner);
  bool stays = round % 3 != 0;
  if (runner != NULL) {
    flight_watch(runner, count_notice, &abandoned);
    assert_true(flight_deadline(runner) >= round);
    assert_true(flight_waiters(runner) >= 1);
  }
  if (!stays) flight_leave(member);
  if (runner != NULL) {
    racer->computed += stays;
    land(runner, "shared result");
  }
  while (stays && flight_role_of(member) == FLIGHT_WAITS) wait_for_notice(racer);
  if (stays && memcmp(flight_result_of(member).bytes, "shared result", 13) == 0) racer->received++;
  if (stays) flight_leave(member);
  racer->noticed = false;
}

static void *race(void *argument) {
  for (int round = 0; round < ROUNDS; round++) fly(argument, round);
  return NULL;
}

static void *race_apart(void *argument) {
  for (int round = 0; round < ROUNDS; round++) fly_apart(argument, round);
  return NULL;
}

static void run_threads(struct singleflight *singleflight, void *(*body)(void *)) {
  pthread_t threads[THREADS];
  struct racer racers[THREADS];
  for (int index = 0; index < THREADS; index++) {
    racers[index] = (struct racer){.singleflight = singleflight};
    pthread_mutex_init(&racers[index].mutex, NULL);
    pthread_cond_init(&racers[index].changed, NULL);
    pthread_create(&threads[index], NULL, body, &racers[index]);
  }
  for (int index = 0; index < THREADS; index++) {
    pthread_join(threads[index], NULL);
    assert_true(racers[index].received >= racers[index].computed);
    assert_true(racers[index].received >= ROUNDS * 2 / 3 - 1);
    pthread_mutex_destroy(&racers[index].mutex);
    pthread_cond_destroy(&racers[index].changed);
  }
  assert_int_equal(singleflight_count(singleflight), 0);
}

static void threads_join_flights_and_nobody_waits_for_ever(void **state) {
  run_threads(*state, race);
}

static void threads_share_flights_and_nobody_waits_for_ever(void **state) {
  run_threads(*state, race_apart);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_singleflight, free_singleflight)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(the_first_leads_and_the_others_get_its_result),
      CASE(failures_are_shared_too),
      CASE(the_key_is_free_again_once_there_is_a_result),
      CASE(a_leader_that_leaves_hands_over_to_the_one_that_came_next),
      CASE(a_waiter_that_leaves_is_not_told),
      CASE(keys_waiters_and_the_length_of_keys_are_bounded),
      CASE(all_who_share_wait_for_the_runner),
      CASE(the_deadline_of_a_shared_flight_only_rises),
      CASE(a_runner_whom_all_have_left_is_told_and_its_key_is_free),
      CASE(a_flight_that_is_shared_and_one_that_is_joined_have_keys_of_their_own),
      CASE(threads_join_flights_and_nobody_waits_for_ever),
      CASE(threads_share_flights_and_nobody_waits_for_ever),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
