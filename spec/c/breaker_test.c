#include "state/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state/breaker_changes.h"

#define SECOND UINT64_C(1000000000)

static const struct breaker_settings usual = {
    .enabled = true, .failure_threshold = 3, .timeout_ns = 60 * SECOND, .half_open_calls = 1};

static int new_breakers(void **state) {
  *state = breakers_new();
  return *state == NULL ? -1 : 0;
}

static int free_breakers(void **state) {
  breakers_free(*state);
  return 0;
}

/* --- words for what the tests do --- */

static struct breaker *with(void **state, const struct breaker_settings *settings) {
  struct breaker *breaker = breakers_cell(*state, "acme");
  assert_non_null(breaker);
  breaker_configure(breaker, settings, 0);
  return breaker;
}

static struct breaker_permit take(struct breaker *breaker, uint64_t now_ns) {
  struct breaker_permit permit;
  uint64_t retry_after_ns;
  assert_true(breaker_take(breaker, now_ns, 5 * SECOND, &permit, &retry_after_ns));
  assert_int_equal(retry_after_ns, 0);
  return permit;
}

/* For how long it is refused. */
static uint64_t refused(struct breaker *breaker, uint64_t now_ns) {
  struct breaker_permit permit;
  uint64_t retry_after_ns;
  assert_false(breaker_take(breaker, now_ns, 5 * SECOND, &permit, &retry_after_ns));
  assert_null(permit.breaker);
  return retry_after_ns;
}

static void fails(struct breaker *breaker, uint64_t now_ns) {
  struct breaker_permit permit = take(breaker, now_ns);
  breaker_fail(&permit, now_ns, 0);
}

static void succeeds(struct breaker *breaker, uint64_t now_ns, uint64_t duration_ns) {
  struct breaker_permit permit = take(breaker, now_ns);
  breaker_succeed(&permit, now_ns, duration_ns);
}

static void open(struct breaker *breaker, uint64_t now_ns) {
  for (int i = 0; i < 3; i++) fails(breaker, now_ns);
  assert_int_equal(breaker_state_of(breaker, now_ns), BREAKER_OPEN);
}

static void assert_change(void **state, enum breaker_state from, enum breaker_state to,
                          enum breaker_reason reason) {
  struct breaker_change change;
  assert_true(breaker_changes_take(breakers_changes(*state), &change));
  assert_string_equal(change.name, "acme");
  assert_int_equal(change.from, from);
  assert_int_equal(change.to, to);
  assert_int_equal(change.reason, reason);
}

static void assert_no_change(void **state) {
  struct breaker_change change;
  assert_false(breaker_changes_take(breakers_changes(*state), &change));
}

/* --- closed --- */

static void a_new_cell_is_closed_and_works_before_it_is_configured(void **state) {
  struct breaker *breaker = breakers_cell(*state, "acme");
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  for (int i = 0; i < 5; i++) fails(breaker, 0);
  assert_int_equal(refused(breaker, 0), 60 * SECOND);
}

static void failures_in_a_row_open_it(void **state) {
  struct breaker *breaker = with(state, &usual);
  fails(breaker, 1);
  fails(breaker, 2);
  succeeds(breaker, 3, 0);
  fails(breaker, 4);
  fails(breaker, 5);
  assert_int_equal(breaker_state_of(breaker, 6), BREAKER_CLOSED);
  fails(breaker, 7);
  assert_int_equal(breaker_state_of(breaker, 7), BREAKER_OPEN);
  assert_int_equal(refused(breaker, 7), 60 * SECOND);
  assert_int_equal(refused(breaker, 7 + 59 * SECOND), SECOND);
  struct breaker_info info = breaker_read(breaker, 8);
  assert_int_equal(info.opened_total, 1);
  assert_int_equal(info.refused_total, 2);
  assert_int_equal(info.consecutive_failures, 3);
  assert_change(state, BREAKER_CLOSED, BREAKER_OPEN, BREAKER_BY_FAILURES);
}

static void a_release_says_nothing_and_a_permit_ends_once(void **state) {
  struct breaker *breaker = with(state, &usual);
  fails(breaker, 0);
  fails(breaker, 0);
  struct breaker_permit permit = take(breaker, 0);
  breaker_give_back(&permit, 0);
  breaker_fail(&permit, 0, 0);
  assert_int_equal(breaker_read(breaker, 0).consecutive_failures, 2);
  permit = take(breaker, 0);
  breaker_succeed(&permit, 0, 0);
  breaker_fail(&permit, 0, 0);
  breaker_give_back(&permit, 0);
  assert_int_equal(breaker_read(breaker, 0).consecutive_failures, 0);
}

static void blocks_says_what_a_permit_would_be_told(void **state) {
  struct breaker *breaker = with(state, &usual);
  enum breaker_state shown;
  uint64_t retry_after_ns;
  assert_false(breaker_blocks(breaker, 0, &shown, &retry_after_ns));
  open(breaker, 0);
  assert_true(breaker_blocks(breaker, SECOND, &shown, &retry_after_ns));
  assert_int_equal(shown, BREAKER_OPEN);
  assert_int_equal(retry_after_ns, 59 * SECOND);
  assert_false(breaker_blocks(breaker, 60 * SECOND, &shown, &retry_after_ns));
  assert_int_equal(shown, BREAKER_HALF_OPEN);
  take(breaker, 60 * SECOND);
  assert_true(breaker_blocks(breaker, 61 * SECOND, &shown, &retry_after_ns));
  assert_int_equal(retry_after_ns, 4 * SECOND);
}

/* --- the window --- */

static const struct breaker_settings rated = {.enabled = true,
                                              .failure_threshold = 1000,
                                              .timeout_ns = 60 * SECOND,
                                              .half_open_calls = 1,
                                              .window_ns = 100 * SECOND,
                                              .failure_rate = 0.5,
                                              .slow_ns = SECOND};

static void a_rate_weighs_from_ten_verdicts_on(void **state) {
  struct breaker *breaker = with(state, &rated);
  for (int i = 0; i < 9; i++) fails(breaker, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  succeeds(breaker, 0, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_OPEN);
  assert_change(state, BREAKER_CLOSED, BREAKER_OPEN, BREAKER_BY_FAILURE_RATE);
}

static void a_rate_below_the_limit_leaves_it_closed(void **state) {
  struct breaker *breaker = with(state, &rated);
  for (int i = 0; i < 100; i++) {
    succeeds(breaker, 0, 0);
    succeeds(breaker, 0, 0);
    fails(breaker, 0);
  }
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  struct breaker_info info = breaker_read(breaker, 0);
  assert_int_equal(info.calls, 300);
  assert_int_equal(info.failures, 100);
}

static void slow_calls_open_it_too(void **state) {
  struct breaker *breaker = with(state, &rated);
  for (int i = 0; i < 5; i++) succeeds(breaker, 0, SECOND);
  for (int i = 0; i < 5; i++) succeeds(breaker, 0, SECOND + 1);
  assert_change(state, BREAKER_CLOSED, BREAKER_OPEN, BREAKER_BY_SLOW_RATE);
}

static void the_window_slides(void **state) {
  struct breaker *breaker = with(state, &rated);
  for (int i = 0; i < 9; i++) fails(breaker, (uint64_t)i * 10 * SECOND);
  assert_int_equal(breaker_read(breaker, 99 * SECOND).failures, 9);
  assert_int_equal(breaker_read(breaker, 100 * SECOND).failures, 8);
  assert_int_equal(breaker_read(breaker, 125 * SECOND).failures, 6);
  succeeds(breaker, 125 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 125 * SECOND), BREAKER_CLOSED);
  assert_int_equal(breaker_read(breaker, 1000 * SECOND).calls, 0);
}

static void configuring_it_again_keeps_what_was_counted(void **state) {
  struct breaker *breaker = with(state, &rated);
  for (int i = 0; i < 9; i++) fails(breaker, 0);
  struct breaker_settings other = rated;
  other.failure_threshold = 10;
  breaker_configure(breaker, &other, 0);
  assert_int_equal(breaker_read(breaker, 0).failures, 9);
  fails(breaker, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_OPEN);
  other.timeout_ns = 7 * SECOND;
  breaker_configure(breaker, &other, 0);
  assert_int_equal(refused(breaker, 0), 7 * SECOND);
}

/* --- half-open --- */

static void when_its_time_is_over_one_probe_closes_it_or_opens_it_anew(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  assert_int_equal(refused(breaker, 60 * SECOND - 1), 1);
  struct breaker_permit probe = take(breaker, 60 * SECOND);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
  refused(breaker, 60 * SECOND);
  breaker_fail(&probe, 61 * SECOND, 0);
  assert_int_equal(refused(breaker, 61 * SECOND), 60 * SECOND);
  probe = take(breaker, 121 * SECOND);
  breaker_succeed(&probe, 121 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 121 * SECOND), BREAKER_CLOSED);
  assert_int_equal(breaker_read(breaker, 121 * SECOND).consecutive_failures, 0);
  assert_change(state, BREAKER_CLOSED, BREAKER_OPEN, BREAKER_BY_FAILURES);
  assert_change(state, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_BY_TIME);
  assert_change(state, BREAKER_HALF_OPEN, BREAKER_OPEN, BREAKER_BY_PROBE);
  assert_change(state, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_BY_TIME);
  assert_change(state, BREAKER_HALF_OPEN, BREAKER_CLOSED, BREAKER_BY_SUCCESS);
  assert_no_change(state);
}

static void as_many_probes_as_configured_are_out_at_once_and_must_succeed(void **state) {
  struct breaker_settings settings = usual;
  settings.half_open_calls = 3;
  struct breaker *breaker = with(state, &settings);
  open(breaker, 0);
  struct breaker_permit probes[3];
  for (int i = 0; i < 3; i++) probes[i] = take(breaker, 60 * SECOND);
  refused(breaker, 60 * SECOND);
  assert_int_equal(breaker_read(breaker, 60 * SECOND).probes_out, 3);
  breaker_succeed(&probes[0], 60 * SECOND, 0);
  breaker_give_back(&probes[1], 60 * SECOND);
  probes[0] = take(breaker, 60 * SECOND);
  probes[1] = take(breaker, 60 * SECOND);
  refused(breaker, 60 * SECOND);
  breaker_succeed(&probes[2], 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
  breaker_succeed(&probes[1], 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_CLOSED);
  breaker_fail(&probes[0], 60 * SECOND, 0);
  assert_int_equal(breaker_read(breaker, 60 * SECOND).consecutive_failures, 0);
}

static void a_probe_that_never_comes_back_is_a_failure(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  struct breaker_permit lost = take(breaker, 60 * SECOND);
  assert_int_equal(breaker_state_of(breaker, 65 * SECOND - 1), BREAKER_HALF_OPEN);
  assert_int_equal(breaker_state_of(breaker, 65 * SECOND), BREAKER_OPEN);
  breaker_succeed(&lost, 65 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 65 * SECOND), BREAKER_OPEN);
  take(breaker, 125 * SECOND);
}

static void it_is_open_from_when_the_probe_was_lost_not_from_when_that_is_seen(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  take(breaker, 60 * SECOND);
  assert_int_equal(refused(breaker, 100 * SECOND), 25 * SECOND);
  take(breaker, 125 * SECOND);
  take(breaker, 1000 * SECOND); /* lost at 130, over at 190 */
}

static void a_lease_can_be_extended_but_not_when_it_is_lost(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  struct breaker_permit probe = take(breaker, 60 * SECOND);
  breaker_extend(&probe, 64 * SECOND, 10 * SECOND);
  breaker_extend(&probe, 64 * SECOND, SECOND);
  assert_int_equal(breaker_state_of(breaker, 73 * SECOND), BREAKER_HALF_OPEN);
  breaker_extend(&probe, 74 * SECOND, 10 * SECOND);
  assert_int_equal(breaker_state_of(breaker, 74 * SECOND), BREAKER_OPEN);
}

static void probes_are_at_least_one_and_at_most_as_many_as_there_is_room_for(void **state) {
  struct breaker_settings settings = usual;
  settings.half_open_calls = 0;
  struct breaker *breaker = with(state, &settings);
  open(breaker, 0);
  struct breaker_permit probe = take(breaker, 60 * SECOND);
  refused(breaker, 60 * SECOND);
  breaker_give_back(&probe, 60 * SECOND);
  settings.half_open_calls = UINT32_MAX;
  breaker_configure(breaker, &settings, 60 * SECOND);
  for (int i = 0; i < BREAKER_PROBES_MAX; i++) probe = take(breaker, 60 * SECOND);
  assert_int_equal(refused(breaker, 60 * SECOND), 5 * SECOND);
  assert_int_equal(breaker_read(breaker, 60 * SECOND).probes_out, BREAKER_PROBES_MAX);
  breaker_give_back(&probe, 60 * SECOND);
  take(breaker, 60 * SECOND);
}

static void a_lease_of_no_time_is_out_until_time_has_passed(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  struct breaker_permit probe;
  uint64_t retry_after_ns;
  assert_true(breaker_take(breaker, 60 * SECOND, 0, &probe, &retry_after_ns));
  assert_int_equal(refused(breaker, 60 * SECOND), 1);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND + 1), BREAKER_OPEN);
}

static void without_a_time_out_a_lost_probe_makes_room_for_the_next(void **state) {
  struct breaker_settings settings = usual;
  settings.timeout_ns = 0;
  struct breaker *breaker = with(state, &settings);
  for (int i = 0; i < 3; i++) fails(breaker, 0);
  take(breaker, 0);
  refused(breaker, 5 * SECOND - 1);
  struct breaker_permit probe = take(breaker, 5 * SECOND);
  breaker_succeed(&probe, 5 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 5 * SECOND), BREAKER_CLOSED);
}

static void a_verdict_from_before_the_last_change_means_nothing(void **state) {
  struct breaker *breaker = with(state, &usual);
  struct breaker_permit early[2] = {take(breaker, 0), take(breaker, 0)};
  open(breaker, 0);
  struct breaker_permit probe = take(breaker, 60 * SECOND);
  breaker_succeed(&early[0], 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
  breaker_fail(&early[1], 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
  assert_int_equal(breaker_read(breaker, 60 * SECOND).probes_out, 1);
  breaker_succeed(&probe, 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_CLOSED);
}

/* --- modes and settings --- */

static void held_open_it_refuses_whatever_happens(void **state) {
  struct breaker *breaker = with(state, &usual);
  struct breaker_permit before = take(breaker, 0);
  breaker_set_mode(breaker, BREAKER_HELD_OPEN, 0);
  assert_change(state, BREAKER_CLOSED, BREAKER_OPEN, BREAKER_BY_MODE);
  breaker_succeed(&before, 0, 0);
  assert_int_equal(refused(breaker, 1000 * SECOND), 60 * SECOND);
  struct breaker_settings off = usual;
  off.enabled = false;
  breaker_configure(breaker, &off, 1000 * SECOND);
  refused(breaker, 1000 * SECOND);
  assert_no_change(state);
  breaker_set_mode(breaker, BREAKER_AUTO, 1000 * SECOND);
  take(breaker, 1000 * SECOND);
}

static void held_closed_it_grants_everything_and_only_counts(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  breaker_set_mode(breaker, BREAKER_HELD_CLOSED, 0);
  for (int i = 0; i < 20; i++) fails(breaker, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  assert_int_equal(breaker_read(breaker, 0).consecutive_failures, 20);
  breaker_set_mode(breaker, BREAKER_AUTO, 0);
  assert_int_equal(breaker_read(breaker, 0).consecutive_failures, 0);
}

static void observing_shows_what_would_be_and_refuses_nothing(void **state) {
  struct breaker *breaker = with(state, &usual);
  breaker_set_mode(breaker, BREAKER_OBSERVE, 0);
  open(breaker, 0);
  fails(breaker, SECOND); /* would not have gone out */
  assert_int_equal(breaker_read(breaker, SECOND).consecutive_failures, 3);
  struct breaker_permit probe = take(breaker, 60 * SECOND);
  struct breaker_permit other = take(breaker, 60 * SECOND);
  breaker_fail(&other, 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
  breaker_succeed(&probe, 60 * SECOND, 0);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_CLOSED);
  assert_int_equal(breaker_read(breaker, 60 * SECOND).refused_total, 0);
}

static void observing_goes_on_from_the_state_that_it_is_in(void **state) {
  struct breaker *breaker = with(state, &usual);
  fails(breaker, 0);
  breaker_set_mode(breaker, BREAKER_OBSERVE, 0);
  assert_change(state, BREAKER_CLOSED, BREAKER_CLOSED, BREAKER_BY_MODE);
  assert_int_equal(breaker_read(breaker, 0).consecutive_failures, 1);
  breaker_set_mode(breaker, BREAKER_OBSERVE, 0);
  assert_no_change(state);
  breaker_set_mode(breaker, BREAKER_HELD_OPEN, 0);
  breaker_set_mode(breaker, BREAKER_OBSERVE, SECOND);
  take(breaker, SECOND);
  assert_int_equal(breaker_state_of(breaker, 59 * SECOND), BREAKER_OPEN);
  assert_int_equal(breaker_state_of(breaker, 60 * SECOND), BREAKER_HALF_OPEN);
}

static void auto_resets_it_even_when_it_is_auto_already(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  breaker_set_mode(breaker, BREAKER_AUTO, SECOND);
  assert_int_equal(breaker_state_of(breaker, SECOND), BREAKER_CLOSED);
  fails(breaker, SECOND);
  struct breaker_permit before = take(breaker, SECOND);
  breaker_set_mode(breaker, BREAKER_AUTO, SECOND);
  breaker_fail(&before, SECOND, 0);
  assert_int_equal(breaker_read(breaker, SECOND).consecutive_failures, 0);
}

static void switched_off_it_closes_and_grants_everything(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 0);
  struct breaker_settings off = usual;
  off.enabled = false;
  breaker_configure(breaker, &off, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  for (int i = 0; i < 20; i++) fails(breaker, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
  breaker_set_mode(breaker, BREAKER_HELD_OPEN, 0);
  breaker_set_mode(breaker, BREAKER_OBSERVE, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
}

static void time_never_goes_back(void **state) {
  struct breaker *breaker = with(state, &usual);
  open(breaker, 100 * SECOND);
  assert_int_equal(refused(breaker, 0), 60 * SECOND);
  take(breaker, 160 * SECOND);
  assert_int_equal(refused(breaker, 0), 5 * SECOND);
}

/* --- surviving a restart --- */

static struct breaker *restored(void **state, struct breaker *from, uint64_t saved_ns,
                                uint64_t elapsed_ns, uint64_t now_ns) {
  struct breaker_memory memory = breaker_save(from, saved_ns);
  struct breaker *breaker = breakers_cell(*state, "after the restart");
  breaker_restore(breaker, &memory, elapsed_ns, now_ns);
  return breaker;
}

static void what_is_left_of_the_open_time_survives_a_restart(void **state) {
  struct breaker *before = with(state, &usual);
  open(before, 500 * SECOND);
  struct breaker *breaker = restored(state, before, 510 * SECOND, 20 * SECOND, 3 * SECOND);
  assert_int_equal(refused(breaker, 3 * SECOND), 30 * SECOND);
  assert_int_equal(breaker_read(breaker, 3 * SECOND).opened_ago_ns, 30 * SECOND);
  struct breaker_settings shorter = usual;
  shorter.timeout_ns = 31 * SECOND;
  breaker_configure(breaker, &shorter, 3 * SECOND);
  assert_int_equal(refused(breaker, 3 * SECOND), SECOND);
  take(breaker, 4 * SECOND);
}

static void a_restored_breaker_is_open_for_at_most_the_configured_time(void **state) {
  struct breaker *before = with(state, &usual);
  open(before, 0);
  struct breaker *breaker = restored(state, before, 0, 0, 1);
  assert_int_equal(refused(breaker, 1), 60 * SECOND);
  struct breaker_memory ancient = {
      .state = BREAKER_OPEN, .has_opened = true, .opened_ago_ns = UINT64_C(1) << 60};
  breaker_restore(breaker, &ancient, UINT64_C(1) << 60, 1);
  take(breaker, 1);
}

static void one_that_was_open_since_nobody_knows_when_opens_when_it_is_restored(void **state) {
  struct breaker *breaker = with(state, &usual);
  struct breaker_memory memory = {.state = BREAKER_OPEN};
  breaker_restore(breaker, &memory, 0, 10 * SECOND);
  assert_int_equal(refused(breaker, 10 * SECOND), 60 * SECOND);
  memory = breaker_save(breaker, 30 * SECOND);
  assert_true(memory.has_opened);
  assert_int_equal(memory.opened_ago_ns, 20 * SECOND);
}

static void a_half_open_one_comes_back_waiting_for_probes(void **state) {
  struct breaker *before = with(state, &usual);
  open(before, 0);
  take(before, 60 * SECOND);
  struct breaker *breaker = restored(state, before, 61 * SECOND, 0, 1);
  assert_int_equal(breaker_state_of(breaker, 1), BREAKER_HALF_OPEN);
  struct breaker_permit probe = take(breaker, 1);
  breaker_succeed(&probe, 2, 0);
  assert_int_equal(breaker_state_of(breaker, 2), BREAKER_CLOSED);
}

static void modes_and_counts_survive_a_restart(void **state) {
  struct breaker *before = with(state, &usual);
  fails(before, 0);
  fails(before, 0);
  struct breaker *breaker = restored(state, before, 0, SECOND, 0);
  breaker_configure(breaker, &usual, 0);
  fails(breaker, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_OPEN);
  breaker_set_mode(before, BREAKER_HELD_OPEN, 0);
  breaker = restored(state, before, 0, 1000 * SECOND, 0);
  assert_int_equal(breaker_read(breaker, 0).mode, BREAKER_HELD_OPEN);
  refused(breaker, 0);
  breaker_set_mode(before, BREAKER_HELD_CLOSED, 0);
  breaker = restored(state, before, 0, 0, 0);
  assert_int_equal(breaker_state_of(breaker, 0), BREAKER_CLOSED);
}

/* --- the registry --- */

static void a_name_has_one_cell_and_names_are_bounded(void **state) {
  char name[NAME_TABLE_NAME_MAX + 2];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_null(breakers_cell(*state, name));
  assert_null(breakers_cell(*state, ""));
  name[NAME_TABLE_NAME_MAX] = '\0';
  assert_ptr_equal(breakers_cell(*state, name), breakers_cell(*state, name));
  struct breaker *first = breakers_cell(*state, "cell 1");
  for (int i = 0; i < NAME_TABLE_CELLS_MAX - 1; i++) {
    snprintf(name, sizeof name, "cell %d", i);
    assert_string_equal(breaker_name(breakers_cell(*state, name)), name);
  }
  assert_null(breakers_cell(*state, "one more"));
  assert_ptr_equal(breakers_cell(*state, "cell 1"), first);
}

static void count_notice(void *argument) {
  ++*(int *)argument;
}

static void changes_are_bounded_and_for_one_listener(void **state) {
  struct breaker_changes *changes = breakers_changes(*state);
  int notices = 0, none = 0;
  assert_true(breaker_changes_listen(changes, count_notice, &notices));
  assert_false(breaker_changes_listen(changes, count_notice, &none));
  struct breaker *breaker = with(state, &usual);
  for (int i = 0; i < BREAKER_CHANGES_MAX + 10; i++)
    breaker_set_mode(breaker, BREAKER_AUTO, (uint64_t)i);
  assert_int_equal(notices, BREAKER_CHANGES_MAX + 10);
  assert_int_equal(breaker_changes_dropped(changes), 10);
  struct breaker_change change;
  for (uint64_t i = 0; i < BREAKER_CHANGES_MAX; i++) {
    assert_true(breaker_changes_take(changes, &change));
    assert_int_equal(change.at_ns, i);
  }
  assert_no_change(state);
  breaker_changes_leave(changes);
  breaker_set_mode(breaker, BREAKER_AUTO, 0);
  assert_int_equal(notices, BREAKER_CHANGES_MAX + 10);
  assert_true(breaker_changes_listen(changes, count_notice, &none));
}

#define SENTENCE(name) cmocka_unit_test_setup_teardown(name, new_breakers, free_breakers)

int main(void) {
  const struct CMUnitTest tests[] = {
      SENTENCE(a_new_cell_is_closed_and_works_before_it_is_configured),
      SENTENCE(failures_in_a_row_open_it),
      SENTENCE(a_release_says_nothing_and_a_permit_ends_once),
      SENTENCE(blocks_says_what_a_permit_would_be_told),
      SENTENCE(a_rate_weighs_from_ten_verdicts_on),
      SENTENCE(a_rate_below_the_limit_leaves_it_closed),
      SENTENCE(slow_calls_open_it_too),
      SENTENCE(the_window_slides),
      SENTENCE(configuring_it_again_keeps_what_was_counted),
      SENTENCE(when_its_time_is_over_one_probe_closes_it_or_opens_it_anew),
      SENTENCE(as_many_probes_as_configured_are_out_at_once_and_must_succeed),
      SENTENCE(a_probe_that_never_comes_back_is_a_failure),
      SENTENCE(it_is_open_from_when_the_probe_was_lost_not_from_when_that_is_seen),
      SENTENCE(a_lease_can_be_extended_but_not_when_it_is_lost),
      SENTENCE(probes_are_at_least_one_and_at_most_as_many_as_there_is_room_for),
      SENTENCE(a_lease_of_no_time_is_out_until_time_has_passed),
      SENTENCE(without_a_time_out_a_lost_probe_makes_room_for_the_next),
      SENTENCE(a_verdict_from_before_the_last_change_means_nothing),
      SENTENCE(held_open_it_refuses_whatever_happens),
      SENTENCE(held_closed_it_grants_everything_and_only_counts),
      SENTENCE(observing_shows_what_would_be_and_refuses_nothing),
      SENTENCE(observing_goes_on_from_the_state_that_it_is_in),
      SENTENCE(auto_resets_it_even_when_it_is_auto_already),
      SENTENCE(switched_off_it_closes_and_grants_everything),
      SENTENCE(time_never_goes_back),
      SENTENCE(what_is_left_of_the_open_time_survives_a_restart),
      SENTENCE(a_restored_breaker_is_open_for_at_most_the_configured_time),
      SENTENCE(one_that_was_open_since_nobody_knows_when_opens_when_it_is_restored),
      SENTENCE(a_half_open_one_comes_back_waiting_for_probes),
      SENTENCE(modes_and_counts_survive_a_restart),
      SENTENCE(a_name_has_one_cell_and_names_are_bounded),
      SENTENCE(changes_are_bounded_and_for_one_listener),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
