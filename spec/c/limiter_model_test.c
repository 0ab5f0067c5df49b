/* Random sequences of everything that can happen to a limiter, beside a model that keeps its
 * tokens as fractions of its own and its line as a list: no token is invented or lost, the line
 * is served in order, and nobody stays in it past the limit of their wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "state/bucket.h"

#define STEPS 1000000
#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (3600 * SECOND)
#define LINE_MAX 64

/* Tokens times the period, so that a rate flows in whole numbers. */
struct fraction {
  int64_t rate; /* below 0: no limit */
  int64_t size;
  uint64_t period;
  __int128 level;
};

struct person {
  struct limiter_waiter *waiter;
  uint64_t give_up, look_at;
  bool is_notified;
};

struct model {
  struct limiters *limiters;
  struct limiter *limiter;
  unsigned seed;
  uint64_t now, paused_until;
  struct fraction minute, hour;
  struct person *line[LINE_MAX];
  size_t waiting;
  uint64_t granted, refused, left;
};

static unsigned below(struct model *model, unsigned bound) {
  return (unsigned)rand_r(&model->seed) % bound;
}

static void notified(void *argument) {
  struct person *person = argument;
  person->is_notified = true;
}

/* --- the model's own tokens --- */

static void flow(struct fraction *fraction, uint64_t nanoseconds) {
  if (fraction->rate < 0) return;
  fraction->level += (__int128)fraction->rate * nanoseconds;
  __int128 full = (__int128)fraction->size * fraction->period;
  if (fraction->level > full) fraction->level = full;
}

static bool has_one(const struct fraction *fraction) {
  return fraction->rate < 0 || fraction->level >= fraction->period;
}

static void change(struct fraction *fraction, int64_t amount) {
  if (fraction->rate < 0) return;
  fraction->level += (__int128)amount * fraction->period;
  __int128 full = (__int128)fraction->size * fraction->period;
  if (fraction->level > full) fraction->level = full;
}

static void set_rate(struct fraction *fraction, int64_t rate, int64_t size) {
  bool was_free = fraction->rate < 0;
  fraction->rate = rate;
  fraction->size = size;
  __int128 full = (__int128)size * fraction->period;
  if (rate >= 0 && (was_free || fraction->level > full)) fraction->level = full;
}

static bool can_serve(const struct model *model) {
  return model->now >= model->paused_until && has_one(&model->minute) && has_one(&model->hour);
}

static void grant(struct model *model) {
  assert_true(can_serve(model));
  change(&model->minute, -1);
  change(&model->hour, -1);
  model->granted++;
}

static void agree(struct model *model) {
  struct limiter_state state = limiter_read(model->limiter, model->now);
  assert_int_equal(state.waiting, model->waiting);
  if (model->minute.rate >= 0)
    assert_true(state.minute_tokens == (double)model->minute.level / (double)model->minute.period);
  if (model->hour.rate >= 0)
    assert_true(state.hour_tokens == (double)model->hour.level / (double)model->hour.period);
  assert_int_equal(state.granted_total, model->granted);
  assert_int_equal(state.refused_total, model->refused);
}

/* --- the line --- */

static void take_out(struct model *model, size_t place) {
  struct person *person = model->line[place];
  limiter_leave(person->waiter, model->now);
  free(person);
  for (size_t i = place + 1; i < model->waiting; i++) model->line[i - 1] = model->line[i];
  model->waiting--;
}

/* What a worker does for one of its own who was notified, or whose time has come. */
static void look(struct model *model, size_t place) {
  struct person *person = model->line[place];
  uint64_t retry_after;
  bool could = place == 0 && can_serve(model);
  person->is_notified = false;
  switch (limiter_look(person->waiter, model->now, &person->look_at, &retry_after)) {
    case LIMITER_GRANTED:
      assert_true(could);
      grant(model);
      take_out(model, place);
      break;
    case LIMITER_WAITS:
      assert_false(could);
      assert_true(person->look_at > model->now);
      assert_true(place == 0 ? person->look_at <= person->give_up
                             : person->look_at == person->give_up + 1);
      break;
    default:
      assert_false(could);
      assert_true(retry_after > 0);
      model->refused++;
      take_out(model, place);
  }
}

static bool look_at_one(struct model *model) {
  for (size_t i = 0; i < model->waiting; i++)
    if (model->line[i]->is_notified || model->line[i]->look_at <= model->now) {
      look(model, i);
      return true;
    }
  return false;
}

static void settle(struct model *model) {
  while (look_at_one(model)) continue;
  for (size_t i = 0; i < model->waiting; i++) assert_true(model->line[i]->give_up >= model->now);
}

/* --- what can happen --- */

static void pass(struct model *model, uint64_t until) {
  while (model->now < until) {
    uint64_t next = until;
    if (model->waiting > 0 && model->line[0]->look_at < next) next = model->line[0]->look_at;
    flow(&model->minute, next - model->now);
    flow(&model->hour, next - model->now);
    model->now = next;
    settle(model);
  }
}

static void take(struct model *model) {
  struct person *person = calloc(1, sizeof *person);
  uint64_t max_wait = below(model, 4) == 0 ? 0 : below(model, 90) * SECOND, retry_after;
  bool could = model->waiting == 0 && can_serve(model);
  assert_non_null(person);
  enum limiter_answer answer = limiter_take(model->limiter, model->now, max_wait, notified, person,
                                            &person->waiter, &retry_after);
  assert_true((answer == LIMITER_GRANTED) == could);
  if (answer == LIMITER_WAITS) {
    person->give_up = model->now + max_wait;
    person->is_notified = true;
    model->line[model->waiting++] = person;
    return;
  }
  assert_null(person->waiter);
  free(person);
  if (answer == LIMITER_GRANTED) {
    grant(model);
  } else {
    assert_true(retry_after > 0);
    bool never = model->minute.rate == 0 || model->hour.rate == 0;
    assert_true(answer == LIMITER_REFUSED_QUEUE || retry_after > max_wait || never);
    model->refused++;
  }
}

static void configure(struct model *model) {
  static const int64_t rates[] = {-1, 0, 1, 7, 60, 600};
  int64_t per_minute = rates[below(model, 6)], per_hour = rates[below(model, 6)];
  if (per_hour > 0) per_hour *= 40;
  int64_t burst = below(model, 3) == 0 ? 1 + (int64_t)below(model, 100) : 0;
  struct limiter_settings settings = {
      .per_minute = per_minute, .per_hour = per_hour, .burst = burst, .queue_max = LINE_MAX};
  limiter_configure(model->limiter, &settings, model->now);
  set_rate(&model->minute, per_minute, per_minute == 0 ? 0 : burst > 0 ? burst : per_minute);
  set_rate(&model->hour, per_hour, per_hour);
}

static void pause_all(struct model *model) {
  uint64_t pause = below(model, 20) * SECOND + below(model, 2), most = below(model, 30) * SECOND;
  limiter_pause(model->limiter, model->now, pause, most);
  pause = (pause + 999999) / 1000000 * 1000000;
  if (pause > most) pause = most;
  if (model->now + pause > model->paused_until) model->paused_until = model->now + pause;
}

static void step(struct model *model) {
  unsigned kind = below(model, 1000);
  if (kind < 550)
    take(model);
  else if (kind < 800)
    pass(model, model->now + below(model, 2000) * (SECOND / 1000) + below(model, 3));
  else if (kind < 900 && model->waiting > 0)
    take_out(model, below(model, (unsigned)model->waiting));
  else if (kind < 940) {
    limiter_give_back(model->limiter, model->now);
    change(&model->minute, 1);
    change(&model->hour, 1);
  } else if (kind < 980) {
    bool could = model->waiting == 0 && can_serve(model);
    assert_int_equal(limiter_try(model->limiter, model->now), could);
    if (could) grant(model);
  } else if (kind < 985) {
    pause_all(model);
  } else if (kind < 988) {
    configure(model);
  } else if (kind == 988) {
    pass(model, model->now + below(model, 7200) * SECOND);
  }
}

static void a_million_random_steps_agree_with_the_model(void **unused) {
  (void)unused;
  struct model model = {.seed = (unsigned)time(NULL), .now = HOUR};
  printf("seed %u\n", model.seed);
  model.minute = (struct fraction){.rate = -1, .period = MINUTE};
  model.hour = (struct fraction){.rate = -1, .period = HOUR};
  model.limiters = limiters_new();
  model.limiter = limiters_cell(model.limiters, "model");
  configure(&model);
  for (int i = 0; i < STEPS; i++) {
    step(&model);
    settle(&model);
    if (i % 16 == 0) agree(&model);
  }
  pass(&model, model.now + 2 * HOUR);
  assert_int_equal(model.waiting, 0);
  assert_true(model.granted > STEPS / 100);
  limiters_free(model.limiters);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_million_random_steps_agree_with_the_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
