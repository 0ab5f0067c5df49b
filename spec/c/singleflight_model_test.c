/* Random sequences of both kinds of flights, beside a model that is plain to see. */
#include "state/singleflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define STEPS 1000000
#define KEYS 3
#define SEATS 24
#define FLIGHTS (2 * SEATS) /* each has a seat or a runner */
#define NOBODY (-1)

struct model_flight {
  bool used, joinable, ended, shared, with_runner;
  int key, result;
  int leader; /* a seat */
  int seats[SEATS], count;
  double deadline;
  struct flight_runner *runner;
  int abandoned; /* notices that all have left */
};

struct model_seat {
  struct flight_member *member; /* NULL: free */
  struct model_flight *flight;
  int notices, expected;
};

struct model {
  struct singleflight *singleflight;
  struct model_flight flights[FLIGHTS];
  struct model_seat seats[SEATS];
  unsigned seed;
};

static int pick(struct model *model, int below) {
  return (int)((unsigned)rand_r(&model->seed) % (unsigned)below);
}

static void count_up(void *argument) {
  ++*(int *)argument;
}

/* --- what must be true of a flight at any time --- */

static enum flight_role expected_role(const struct model_flight *flight, int seat) {
  if (flight->ended) return FLIGHT_ENDED;
  return flight->leader == seat ? FLIGHT_LEADS : FLIGHT_WAITS;
}

static void check_result(const struct model_flight *flight, struct flight_member *member) {
  char text[16];
  struct flight_result result = flight_result_of(member);
  int length = snprintf(text, sizeof text, "%d", flight->result);
  assert_int_equal(result.length, length);
  assert_memory_equal(result.bytes, text, length);
  assert_int_equal(result.ok, flight->result % 2 == 0);
  if (!result.ok) assert_string_equal(result.code, "timeout");
}

static void check_flight(struct model *model, const struct model_flight *flight) {
  for (int at = 0; at < flight->count; at++) {
    const struct model_seat *seat = &model->seats[flight->seats[at]];
    assert_int_equal(flight_role_of(seat->member), expected_role(flight, flight->seats[at]));
    assert_int_equal(flight_is_shared(seat->member), flight->shared);
    assert_int_equal(seat->notices, seat->expected);
    if (flight->ended) check_result(flight, seat->member);
  }
  if (flight->runner == NULL) return;
  assert_int_equal(flight_waiters(flight->runner), flight->count);
  assert_true(flight_deadline(flight->runner) == flight->deadline);
  assert_int_equal(flight->abandoned, flight->count == 0);
}

static void check(struct model *model) {
  size_t used = 0;
  for (int index = 0; index < FLIGHTS; index++) {
    if (!model->flights[index].used) continue;
    used++;
    check_flight(model, &model->flights[index]);
  }
  assert_int_equal(singleflight_count(model->singleflight), used);
}

/* --- steps --- */

static struct model_flight *find_joinable(struct model *model, int key, bool with_runner) {
  for (int index = 0; index < FLIGHTS; index++) {
    struct model_flight *flight = &model->flights[index];
    if (flight->joinable && flight->key == key && flight->with_runner == with_runner) return flight;
  }
  return NULL;
}

static struct model_flight *begin(struct model *model, int key, bool with_runner) {
  struct model_flight *flight = model->flights;
  while (flight->used) flight++;
  *flight = (struct model_flight){.used = true,
                                  .joinable = true,
                                  .key = key,
                                  .with_runner = with_runner,
                                  .leader = NOBODY,
                                  .deadline = -1};
  return flight;
}

static void enter(struct model_flight *flight, struct model *model, int index) {
  model->seats[index].flight = flight;
  flight->seats[flight->count++] = index;
  if (flight->count > 1) flight->shared = true;
}

static void join(struct model *model, int index, int key) {
  struct model_seat *seat = &model->seats[index];
  char name = (char)('a' + key);
  seat->member = flight_join(model->singleflight, &name, 1, count_up, &seat->notices);
  assert_non_null(seat->member);
  struct model_flight *flight = find_joinable(model, key, false);
  if (flight == NULL) {
    flight = begin(model, key, false);
    flight->leader = index;
  }
  enter(flight, model, index);
}

static void share(struct model *model, int index, int key) {
  struct model_seat *seat = &model->seats[index];
  char name = (char)('a' + key);
  double deadline = pick(model, 1000);
  struct flight_runner *runner;
  seat->member =
      flight_share(model->singleflight, &name, 1, deadline, count_up, &seat->notices, &runner);
  assert_non_null(seat->member);
  struct model_flight *flight = find_joinable(model, key, true);
  assert_int_equal(runner != NULL, flight == NULL);
  if (flight == NULL) {
    flight = begin(model, key, true);
    flight->runner = runner;
    flight_watch(runner, count_up, &flight->abandoned);
  }
  if (deadline > flight->deadline) flight->deadline = deadline;
  enter(flight, model, index);
}

static void forget_if_empty(struct model_flight *flight) {
  if (flight->count == 0) flight->joinable = false;
  if (flight->count == 0 && flight->runner == NULL) flight->used = false;
}

static void hand_over(struct model *model, struct model_flight *flight) {
  flight->leader = flight->count > 0 ? flight->seats[0] : NOBODY;
  if (flight->leader != NOBODY) model->seats[flight->leader].expected++;
}

static void leave(struct model *model, int index) {
  struct model_flight *flight = model->seats[index].flight;
  int at = 0;
  while (flight->seats[at] != index) at++;
  flight->count--;
  memmove(&flight->seats[at], &flight->seats[at + 1], (size_t)(flight->count - at) * sizeof(int));
  flight_leave(model->seats[index].member);
  if (flight->leader == index && !flight->ended) hand_over(model, flight);
  model->seats[index] = (struct model_seat){0};
  forget_if_empty(flight);
}

static void finish(struct model *model, struct model_flight *flight) {
  char text[16];
  flight->result = pick(model, 1000);
  bool ok = flight->result % 2 == 0;
  size_t length = (size_t)snprintf(text, sizeof text, "%d", flight->result);
  struct flight_result result = {ok, text, length, ok ? NULL : "timeout"};
  for (int at = 0; at < flight->count; at++)
    if (flight->seats[at] != flight->leader) model->seats[flight->seats[at]].expected++;
  flight->ended = true;
  flight->joinable = false;
  if (flight->with_runner)
    flight_land(flight->runner, &result);
  else
    flight_finish(model->seats[flight->leader].member, &result);
  flight->runner = NULL;
  forget_if_empty(flight);
}

/* A seat that is free is taken; one that is taken is left, or its flight ends. */
static void step(struct model *model) {
  int index = pick(model, SEATS);
  struct model_seat *seat = &model->seats[index];
  if (seat->member == NULL) {
    (pick(model, 2) == 0 ? join : share)(model, index, pick(model, KEYS));
  } else if (seat->flight->ended || pick(model, 3) != 0) {
    leave(model, index);
  } else {
    finish(model, seat->flight);
  }
}

/* Runners whom all have left end some time later. */
static void end_abandoned(struct model *model) {
  struct model_flight *flight = &model->flights[pick(model, FLIGHTS)];
  if (flight->used && flight->runner != NULL && flight->count == 0) finish(model, flight);
}

static bool has_room(const struct model *model) {
  int used = 0;
  for (int index = 0; index < FLIGHTS; index++) used += model->flights[index].used;
  return used < FLIGHTS;
}

static void empty(struct model *model) {
  for (int index = 0; index < SEATS; index++)
    if (model->seats[index].member != NULL) leave(model, index);
  for (int index = 0; index < FLIGHTS; index++)
    if (model->flights[index].used) finish(model, &model->flights[index]);
  check(model);
  assert_int_equal(singleflight_count(model->singleflight), 0);
}

static void random_sequences_agree_with_the_model(void **state) {
  (void)state;
  struct model *model = calloc(1, sizeof *model);
  assert_non_null(model);
  model->singleflight = singleflight_new();
  model->seed = (unsigned)time(NULL);
  printf("seed %u\n", model->seed);
  for (int count = 0; count < STEPS; count++) {
    end_abandoned(model);
    if (has_room(model)) step(model);
    check(model);
  }
  empty(model);
  singleflight_free(model->singleflight);
  free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_sequences_agree_with_the_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
