/* What a limiter promises to those who stand in its line, one sentence at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state/bucket.h"

#define SECOND UINT64_C(1000000000)
#define BEGAN SECOND
#define FREE LIMITER_NO_LIMIT

struct line {
  struct limiters *limiters;
  struct limiter *limiter;
  uint64_t look_at_ns, retry_after_ns;
};

static void ignore(void *argument) {
  (void)argument;
}

static void configure(struct line *line, int64_t per_minute, int64_t per_hour, int64_t burst) {
  const struct limiter_settings settings = {
      .per_minute = per_minute, .per_hour = per_hour, .burst = burst, .queue_max = 10};
  limiter_configure(line->limiter, &settings, BEGAN);
}

/* One token a second, none of them there. */
static int open_line(void **state) {
  static struct line line;
  line.limiters = limiters_new();
  line.limiter = limiters_cell(line.limiters, "line");
  configure(&line, 60, FREE, 1);
  assert_true(limiter_try(line.limiter, BEGAN));
  *state = &line;
  return 0;
}

static int close_line(void **state) {
  struct line *line = *state;
  limiters_free(line->limiters);
  return 0;
}

static enum limiter_answer take(struct line *line, uint64_t max_wait_ns,
                                struct limiter_waiter **waiter) {
  return limiter_take(line->limiter, BEGAN, max_wait_ns, ignore, NULL, waiter,
                      &line->retry_after_ns);
}

static struct limiter_waiter *wait_in(struct line *line, uint64_t max_wait_ns) {
  struct limiter_waiter *waiter;
  assert_int_equal(take(line, max_wait_ns, &waiter), LIMITER_WAITS);
  return waiter;
}

static enum limiter_answer look(struct line *line, struct limiter_waiter *waiter, uint64_t now_ns) {
  return limiter_look(waiter, now_ns, &line->look_at_ns, &line->retry_after_ns);
}

static void the_first_looks_again_when_its_token_is_there(void **state) {
  struct line *line = *state;
  struct limiter_waiter *first = wait_in(line, 5 * SECOND);
  assert_int_equal(look(line, first, BEGAN), LIMITER_WAITS);
  assert_int_equal(line->look_at_ns, BEGAN + SECOND);
  assert_int_equal(look(line, first, BEGAN + SECOND), LIMITER_GRANTED);
  limiter_leave(first, BEGAN + SECOND);
}

static void who_is_behind_one_that_is_late_leaves_at_the_end_of_its_own_wait(void **state) {
  struct line *line = *state;
  struct limiter_waiter *late = wait_in(line, 9 * SECOND), *behind = wait_in(line, 3 * SECOND);
  assert_int_equal(look(line, behind, BEGAN), LIMITER_WAITS);
  assert_int_equal(line->look_at_ns, BEGAN + 3 * SECOND + 1);
  assert_int_equal(look(line, behind, line->look_at_ns), LIMITER_REFUSED_RATE);
  assert_true(line->retry_after_ns > 0);
  limiter_leave(behind, BEGAN + 4 * SECOND);
  assert_int_equal(look(line, late, BEGAN + 4 * SECOND), LIMITER_GRANTED);
  limiter_leave(late, BEGAN + 4 * SECOND);
}

/* A burst of two: by the time that anybody looks there is a token for the second too. */
static void whose_turn_was_missed_is_told(void **state) {
  struct line *line = *state;
  configure(line, 60, FREE, 2);
  struct limiter_waiter *late = wait_in(line, 9 * SECOND), *missed = wait_in(line, 3 * SECOND);
  assert_int_equal(look(line, late, BEGAN), LIMITER_WAITS);
  assert_int_equal(look(line, missed, BEGAN + 5 * SECOND), LIMITER_REFUSED_RATE);
  assert_true(line->retry_after_ns > 0);
  limiter_leave(missed, BEGAN + 5 * SECOND);
  limiter_leave(late, BEGAN + 5 * SECOND);
}

static void after_a_pause_the_line_is_served_at_the_rate_and_foreseen_so(void **state) {
  struct line *line = *state;
  struct limiter_waiter *first, *second;
  limiter_pause(line->limiter, BEGAN, 10 * SECOND, 100 * SECOND);
  first = wait_in(line, 10 * SECOND);
  assert_int_equal(take(line, 10 * SECOND, &second), LIMITER_REFUSED_PAUSE);
  assert_int_equal(line->retry_after_ns, 11 * SECOND);
  limiter_leave(first, BEGAN);
}

static void a_wait_that_is_mostly_for_tokens_is_refused_for_the_rate(void **state) {
  struct line *line = *state;
  struct limiter_waiter *waiter;
  configure(line, FREE, 1, 0);
  assert_true(limiter_try(line->limiter, BEGAN));
  limiter_pause(line->limiter, BEGAN, 10 * SECOND, 100 * SECOND);
  assert_int_equal(take(line, 20 * SECOND, &waiter), LIMITER_REFUSED_RATE);
  assert_int_equal(line->retry_after_ns, 3600 * SECOND);
}

static void one_who_cannot_wait_makes_room_for_one_who_can(void **state) {
  struct line *line = *state;
  struct limiter_waiter *hasty = wait_in(line, SECOND), *patient = wait_in(line, 5 * SECOND / 2);
  configure(line, 30, FREE, 1);
  assert_int_equal(look(line, patient, BEGAN), LIMITER_WAITS);
  assert_int_equal(line->look_at_ns, BEGAN + 2 * SECOND);
  assert_int_equal(look(line, hasty, BEGAN), LIMITER_REFUSED_RATE);
  assert_int_equal(line->retry_after_ns, 2 * SECOND);
  limiter_leave(hasty, BEGAN);
  limiter_leave(patient, BEGAN);
}

static void nobody_waits_where_no_calls_are_allowed(void **state) {
  struct line *line = *state;
  struct limiter_waiter *waiter;
  configure(line, 0, FREE, 0);
  assert_int_equal(take(line, UINT64_MAX, &waiter), LIMITER_REFUSED_RATE);
  assert_int_equal(line->retry_after_ns, 60 * SECOND);
  configure(line, 0, 0, 0);
  assert_int_equal(take(line, UINT64_MAX, &waiter), LIMITER_REFUSED_RATE);
  assert_int_equal(line->retry_after_ns, 3600 * SECOND);
  limiter_pause(line->limiter, BEGAN, 7200 * SECOND, 7200 * SECOND);
  assert_int_equal(take(line, UINT64_MAX, &waiter), LIMITER_REFUSED_RATE);
  assert_int_equal(line->retry_after_ns, 7200 * SECOND);
}

static void restoring_never_shortens_a_pause_that_is_on(void **state) {
  struct line *line = *state;
  const struct limiter_memory memory = {
      .minute_tokens = 0, .hour_tokens = -1, .pause_ns = 5 * SECOND};
  limiter_pause(line->limiter, BEGAN, 100 * SECOND, 1000 * SECOND);
  limiter_restore(line->limiter, &memory, 0, BEGAN);
  assert_int_equal(limiter_read(line->limiter, BEGAN).pause_ns, 100 * SECOND);
}

static void a_restored_pause_is_shorter_by_the_time_that_has_passed(void **state) {
  struct line *line = *state;
  const struct limiter_memory memory = {
      .minute_tokens = 0, .hour_tokens = -1, .pause_ns = 9 * SECOND};
  limiter_restore(line->limiter, &memory, 4 * SECOND, BEGAN);
  assert_int_equal(limiter_read(line->limiter, BEGAN).pause_ns, 5 * SECOND);
}

#define IN_LINE(test) cmocka_unit_test_setup_teardown(test, open_line, close_line)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_LINE(the_first_looks_again_when_its_token_is_there),
      IN_LINE(who_is_behind_one_that_is_late_leaves_at_the_end_of_its_own_wait),
      IN_LINE(whose_turn_was_missed_is_told),
      IN_LINE(after_a_pause_the_line_is_served_at_the_rate_and_foreseen_so),
      IN_LINE(a_wait_that_is_mostly_for_tokens_is_refused_for_the_rate),
      IN_LINE(one_who_cannot_wait_makes_room_for_one_who_can),
      IN_LINE(nobody_waits_where_no_calls_are_allowed),
      IN_LINE(restoring_never_shortens_a_pause_that_is_on),
      IN_LINE(a_restored_pause_is_shorter_by_the_time_that_has_passed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
