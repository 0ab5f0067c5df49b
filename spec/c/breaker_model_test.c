/* Random sequences of everything that can happen to a breaker, beside a model that is plain to
 * see: it keeps every verdict and every lease in a list of its own. */
#include "state/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "state/breaker_changes.h"

#define STEPS 1000000
#define SECOND UINT64_C(1000000000)
#define LEASE_MAX (10 * SECOND)
#define HOLDERS 16
#define LEASES 1024
#define VERDICTS 4096
#define EXPECTED 8

struct model_lease {
  uint64_t deadline;
};

struct model_holder {
  bool holds;
  struct breaker_permit permit;
  int epoch;
  struct model_lease *lease; /* NULL: no probe */
};

struct model_verdict {
  uint64_t at;
  bool failed, slow;
};

struct model {
  struct breakers *breakers;
  struct breaker *breaker;
  unsigned seed;
  uint64_t clock;
  uint64_t now; /* the latest that the cell was told */
  struct breaker_settings settings;
  enum breaker_state state;
  enum breaker_mode mode;
  int epoch;
  bool has_opened;
  int64_t opened;
  uint64_t failures_in_a_row, probe_successes, opened_total, refused_total;
  struct model_lease leases[LEASES]; /* deadline 0: not out */
  struct model_verdict verdicts[VERDICTS];
  int verdict_count;
  struct model_holder holders[HOLDERS];
  enum breaker_state entered[EXPECTED]; /* by the changes that must have been told */
  int entered_count;
};

static unsigned pick(struct model *model, unsigned below) {
  return (unsigned)rand_r(&model->seed) % below;
}

/* The time that the cell is told; it takes no step back. */
static uint64_t tell(struct model *model, uint64_t time) {
  if (time > model->now) model->now = time;
  return time;
}

static uint64_t now_of(struct model *model) {
  return tell(model, model->clock);
}

/* Sometimes from a worker whose clock is behind. */
static uint64_t time_of(struct model *model) {
  bool is_behind = pick(model, 8) == 0 && model->clock > 3 * SECOND;
  return tell(model, is_behind ? model->clock - pick(model, 3) * SECOND : model->clock);
}

/* --- what should happen --- */

static bool moves(const struct model *model) {
  return model->settings.enabled && (model->mode == BREAKER_AUTO || model->mode == BREAKER_OBSERVE);
}

static void enter_state(struct model *model, enum breaker_state state) {
  model->state = state;
  model->epoch++;
  model->probe_successes = 0;
  memset(model->leases, 0, sizeof model->leases);
  if (state == BREAKER_CLOSED) {
    model->failures_in_a_row = 0;
    model->verdict_count = 0;
  }
}

static void expect_change(struct model *model) {
  assert_true(model->entered_count < EXPECTED);
  model->entered[model->entered_count++] = model->state;
}

static void go(struct model *model, enum breaker_state state, uint64_t since) {
  enter_state(model, state);
  if (state == BREAKER_OPEN) {
    model->has_opened = true;
    model->opened = (int64_t)since;
    model->opened_total++;
  }
  expect_change(model);
}

static uint64_t earliest(const struct model *model) {
  uint64_t first = UINT64_MAX;
  for (int i = 0; i < LEASES; i++)
    if (model->leases[i].deadline != 0 && model->leases[i].deadline < first)
      first = model->leases[i].deadline;
  return first;
}

static uint32_t out(const struct model *model) {
  uint32_t count = 0;
  for (int i = 0; i < LEASES; i++) count += model->leases[i].deadline != 0;
  return count;
}

static int64_t open_until(const struct model *model) {
  return model->opened + (int64_t)model->settings.timeout_ns;
}

static void pass_time(struct model *model) {
  if (!moves(model)) return;
  if (model->state == BREAKER_HALF_OPEN && earliest(model) <= model->now)
    go(model, BREAKER_OPEN, earliest(model));
  if (model->state == BREAKER_OPEN && open_until(model) <= (int64_t)model->now)
    go(model, BREAKER_HALF_OPEN, 0);
}

static bool passes(const struct model *model) {
  if (model->mode == BREAKER_HELD_OPEN) return false;
  if (model->mode == BREAKER_OBSERVE || model->state == BREAKER_CLOSED) return true;
  return model->state == BREAKER_HALF_OPEN && out(model) < model->settings.half_open_calls;
}

/* By tenths of the window, each forgotten as a whole. */
static struct breaker_info window_of(const struct model *model) {
  struct breaker_info info = {.calls = 0};
  uint64_t part = model->settings.window_ns / 10;
  for (int i = 0; part > 0 && i < model->verdict_count; i++) {
    if (model->verdicts[i].at / part + 10 <= model->now / part) continue;
    info.calls++;
    info.failures += model->verdicts[i].failed;
    info.slow += model->verdicts[i].slow;
  }
  return info;
}

static void forget_old_verdicts(struct model *model) {
  uint64_t keep = model->settings.window_ns + model->settings.window_ns / 5;
  int kept = 0;
  for (int i = 0; i < model->verdict_count; i++)
    if (model->verdicts[i].at + keep > model->now) model->verdicts[kept++] = model->verdicts[i];
  model->verdict_count = kept;
}

static void weigh(struct model *model) {
  if (!moves(model)) return;
  struct breaker_info window = window_of(model);
  double limit = model->settings.failure_rate * (double)window.calls;
  bool weighs = model->settings.failure_rate > 0 && window.calls >= 10;
  bool opens = model->failures_in_a_row >= model->settings.failure_threshold ||
               (weighs && (double)window.failures >= limit) ||
               (weighs && (double)window.slow >= limit);
  if (opens) go(model, BREAKER_OPEN, model->now);
}

static void hear(struct model *model, struct model_holder *holder, bool failed, uint64_t duration) {
  if (holder->epoch != model->epoch) return;
  bool probes = holder->lease != NULL;
  if (!probes && model->state != BREAKER_CLOSED) return;
  if (probes) holder->lease->deadline = 0;
  model->failures_in_a_row = failed ? model->failures_in_a_row + 1 : 0;
  if (model->verdict_count == VERDICTS) forget_old_verdicts(model);
  assert_true(model->verdict_count < VERDICTS);
  bool slow = model->settings.slow_ns > 0 && duration > model->settings.slow_ns;
  model->verdicts[model->verdict_count++] = (struct model_verdict){model->now, failed, slow};
  if (!probes)
    weigh(model);
  else if (failed)
    go(model, BREAKER_OPEN, model->now);
  else if (++model->probe_successes >= model->settings.half_open_calls)
    go(model, BREAKER_CLOSED, 0);
}

/* --- comparing --- */

static void check_changes(struct model *model) {
  struct breaker_change change;
  for (int i = 0; i < model->entered_count; i++) {
    assert_true(breaker_changes_take(breakers_changes(model->breakers), &change));
    assert_int_equal(change.to, model->entered[i]);
  }
  assert_false(breaker_changes_take(breakers_changes(model->breakers), &change));
  model->entered_count = 0;
}

static void look(struct model *model) {
  struct breaker_info info = breaker_read(model->breaker, now_of(model));
  pass_time(model);
  struct breaker_info window = window_of(model);
  assert_int_equal(info.state, model->state);
  assert_int_equal(info.mode, model->mode);
  assert_int_equal(info.probes_out, out(model));
  assert_int_equal(info.consecutive_failures, model->failures_in_a_row);
  assert_int_equal(info.calls, window.calls);
  assert_int_equal(info.failures, window.failures);
  assert_int_equal(info.slow, window.slow);
  assert_int_equal(info.opened_total, model->opened_total);
  assert_int_equal(info.refused_total, model->refused_total);
  assert_int_equal(info.has_opened, model->has_opened);
  if (model->has_opened)
    assert_int_equal(info.opened_ago_ns, (uint64_t)((int64_t)model->now - model->opened));
  assert_int_equal(info.retry_after_ns == 0, passes(model));
  assert_int_equal(breaker_state_of(model->breaker, now_of(model)), model->state);
}

/* --- steps --- */

static void take(struct model *model, struct model_holder *holder) {
  uint64_t lease = (1 + pick(model, 10)) * SECOND, retry_after;
  bool granted = breaker_take(model->breaker, time_of(model), lease, &holder->permit, &retry_after);
  pass_time(model);
  assert_int_equal(granted, passes(model));
  assert_int_equal(granted, retry_after == 0);
  holder->holds = granted;
  holder->epoch = model->epoch;
  holder->lease = NULL;
  model->refused_total += !granted;
  if (!granted || model->state != BREAKER_HALF_OPEN ||
      out(model) >= model->settings.half_open_calls)
    return;
  holder->lease = model->leases;
  while (holder->lease->deadline != 0) holder->lease++;
  holder->lease->deadline = model->now + lease;
  assert_true(out(model) <= model->settings.half_open_calls);
}

static void judge(struct model *model, struct model_holder *holder, bool failed) {
  uint64_t duration = pick(model, 4) * SECOND;
  (failed ? breaker_fail : breaker_succeed)(&holder->permit, time_of(model), duration);
  pass_time(model);
  hear(model, holder, failed, duration);
  /* It has ended: nothing that follows has an effect. */
  breaker_fail(&holder->permit, model->now, 0);
  breaker_give_back(&holder->permit, model->now);
  holder->holds = false;
}

static void release(struct model *model, struct model_holder *holder) {
  holder->holds = false;
  if (holder->lease == NULL) {
    breaker_give_back(&holder->permit, model->clock);
    return;
  }
  breaker_give_back(&holder->permit, time_of(model));
  pass_time(model);
  if (holder->epoch == model->epoch) holder->lease->deadline = 0;
}

static void extend(struct model *model, struct model_holder *holder) {
  uint64_t lease = (1 + pick(model, 10)) * SECOND;
  if (holder->lease == NULL) {
    breaker_extend(&holder->permit, model->clock, lease);
    return;
  }
  breaker_extend(&holder->permit, now_of(model), lease);
  pass_time(model);
  if (holder->epoch == model->epoch && holder->lease->deadline < model->now + lease)
    holder->lease->deadline = model->now + lease;
}

static void use(struct model *model) {
  struct model_holder *holder = &model->holders[pick(model, HOLDERS)];
  unsigned what = pick(model, 20);
  if (!holder->holds)
    take(model, holder);
  else if (what < 9)
    judge(model, holder, pick(model, 3) == 0);
  else if (what < 14)
    judge(model, holder, true);
  else if (what < 17)
    release(model, holder);
  else if (what < 18)
    extend(model, holder);
  else
    holder->holds = false; /* forgotten: it never comes back */
}

static enum breaker_state settle(const struct model *model, enum breaker_state state) {
  if (model->mode == BREAKER_HELD_OPEN) return BREAKER_OPEN;
  return moves(model) ? state : BREAKER_CLOSED;
}

static void configure(struct model *model) {
  struct breaker_settings settings = {
      .enabled = pick(model, 10) != 0,
      .failure_threshold = 1 + pick(model, 8),
      .timeout_ns = pick(model, 30) * SECOND,
      .half_open_calls = 1 + pick(model, 4),
      .window_ns = pick(model, 3) * 50 * SECOND,
      .failure_rate = pick(model, 3) * 0.4,
      .slow_ns = pick(model, 3) * SECOND,
  };
  breaker_configure(model->breaker, &settings, now_of(model));
  if (settings.window_ns != model->settings.window_ns) model->verdict_count = 0;
  model->settings = settings;
  enum breaker_state state = settle(model, model->state);
  if (state != model->state) go(model, state, model->now);
}

static void set_mode(struct model *model, enum breaker_mode mode) {
  breaker_set_mode(model->breaker, mode, now_of(model));
  bool is_new = mode != model->mode;
  model->mode = mode;
  enum breaker_state state = mode == BREAKER_AUTO ? BREAKER_CLOSED : settle(model, model->state);
  if (mode == BREAKER_AUTO || state != model->state)
    go(model, state, model->now);
  else if (is_new)
    expect_change(model);
}

static void restart(struct model *model) {
  struct breaker_memory memory = breaker_save(model->breaker, now_of(model));
  pass_time(model);
  uint64_t elapsed = pick(model, 40) * SECOND;
  breaker_restore(model->breaker, &memory, elapsed, now_of(model));
  uint64_t failures = model->failures_in_a_row;
  enter_state(model, model->state);
  model->failures_in_a_row = failures;
  model->opened -= (int64_t)elapsed;
}

/* However it stands and whoever forgot what: when the leases and the time-out are over, it lets
 * one through, without anybody having looked in between. */
static void does_not_stick(struct model *model) {
  if (model->mode == BREAKER_HELD_OPEN) return;
  model->clock += model->settings.timeout_ns + LEASE_MAX + 3 * SECOND;
  struct model_holder *holder = &model->holders[pick(model, HOLDERS)];
  holder->holds = false;
  take(model, holder);
  assert_true(holder->holds);
}

static void seldom(struct model *model) {
  switch (pick(model, 8)) {
    case 0:
    case 1:
      configure(model);
      break;
    case 2:
      set_mode(model, BREAKER_AUTO);
      break;
    case 3:
      set_mode(model, (enum breaker_mode)pick(model, 4));
      break;
    case 4:
      restart(model);
      break;
    default:
      does_not_stick(model);
  }
}

static void step(struct model *model) {
  unsigned what = pick(model, 200);
  if (what < 2)
    seldom(model);
  else if (what < 60)
    model->clock += pick(model, 1000) * (SECOND / 1000);
  else if (what < 62)
    model->clock += pick(model, 60) * SECOND;
  else
    use(model);
}

static void random_sequences_agree_with_the_model(void **state) {
  (void)state;
  struct model *model = calloc(1, sizeof *model);
  assert_non_null(model);
  model->breakers = breakers_new();
  model->breaker = breakers_cell(model->breakers, "model");
  model->seed = (unsigned)time(NULL);
  printf("seed %u\n", model->seed);
  uint64_t states[3] = {0};
  configure(model);
  for (int count = 0; count < STEPS; count++) {
    step(model);
    states[model->state]++;
    if (pick(model, 4) == 0) look(model);
    check_changes(model);
  }
  /* The sequences went everywhere. */
  for (int i = 0; i < 3; i++) assert_true(states[i] > STEPS / 50);
  breakers_free(model->breakers);
  free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_sequences_agree_with_the_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
