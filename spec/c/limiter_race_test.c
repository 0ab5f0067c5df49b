/* Eight threads at one limiter and at one set of slots: for the thread sanitizer, and for what
 * must hold over all workers. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "state/bucket.h"
#include "state/slots.h"

#define THREADS 8
#define STEPS 3000
#define SLOTS 3
#define BURST 100
#define PER_MINUTE 600000 /* one every 100 µs */
#define MILLISECOND UINT64_C(1000000)

struct race {
  struct limiter *limiter;
  struct slots *slots;
  atomic_int granted, in_slots, wrong;
};

struct racer {
  struct race *race;
  unsigned seed;
  sem_t wake;
};

static void wake(void *argument) {
  struct racer *racer = argument;
  sem_post(&racer->wake);
}

/* Waits as a worker does: until it is notified, or for the instant that it was told. */
static void wait_in_line(struct racer *racer, struct limiter_waiter *waiter) {
  for (;;) {
    uint64_t look_at_ns, retry_after_ns;
    enum limiter_answer answer =
        limiter_look(waiter, clock_real_monotonic_ns(), &look_at_ns, &retry_after_ns);
    if (answer == LIMITER_GRANTED) atomic_fetch_add(&racer->race->granted, 1);
    if (answer != LIMITER_WAITS) return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t now_ns = clock_real_monotonic_ns();
    uint64_t delay_ns = look_at_ns == UINT64_MAX ? 1000 * MILLISECOND
                        : look_at_ns > now_ns    ? look_at_ns - now_ns
                                                 : 0;
    until.tv_nsec += (long)(delay_ns % (1000 * MILLISECOND));
    until.tv_sec += (time_t)(delay_ns / (1000 * MILLISECOND)) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    sem_timedwait(&racer->wake, &until);
  }
}

static void take(struct racer *racer) {
  struct race *race = racer->race;
  struct limiter_waiter *waiter;
  uint64_t retry_after_ns;
  uint64_t max_wait_ns = (uint64_t)(rand_r(&racer->seed) % 5) * MILLISECOND;
  enum limiter_answer answer = limiter_take(race->limiter, clock_real_monotonic_ns(), max_wait_ns,
                                            wake, racer, &waiter, &retry_after_ns);
  if (answer == LIMITER_GRANTED) atomic_fetch_add(&race->granted, 1);
  if (answer != LIMITER_WAITS) return;
  if (rand_r(&racer->seed) % 4 > 0) wait_in_line(racer, waiter);
  limiter_leave(waiter, clock_real_monotonic_ns());
}

static void enter(struct racer *racer) {
  struct race *race = racer->race;
  if (!slots_try(race->slots)) {
    struct slot_waiter *waiter = slots_wait(race->slots, wake, racer);
    if (waiter == NULL) return;
    bool patient = rand_r(&racer->seed) % 2 == 0;
    while (patient && !slot_waiter_is_in(waiter)) sem_wait(&racer->wake);
    slot_waiter_leave(waiter, patient);
    if (!patient) return;
  }
  if (atomic_fetch_add(&race->in_slots, 1) >= SLOTS) atomic_fetch_add(&race->wrong, 1);
  atomic_fetch_sub(&race->in_slots, 1);
  slots_leave(race->slots);
}

static void *run(void *argument) {
  struct racer *racer = argument;
  for (int i = 0; i < STEPS; i++) {
    enter(racer);
    take(racer);
    if (rand_r(&racer->seed) % 500 == 0)
      limiter_pause(racer->race->limiter, clock_real_monotonic_ns(), MILLISECOND, MILLISECOND);
    if (rand_r(&racer->seed) % 100 == 0)
      limiter_read(racer->race->limiter, clock_real_monotonic_ns());
  }
  return NULL;
}

static void eight_threads_take_no_more_than_there_is(void **unused) {
  (void)unused;
  struct limiters *limiters = limiters_new();
  struct name_table *table = slots_table_new();
  struct race race = {.limiter = limiters_cell(limiters, "race"),
                      .slots = slots_cell(table, "race")};
  const struct limiter_settings settings = {
      .per_minute = PER_MINUTE, .per_hour = LIMITER_NO_LIMIT, .burst = BURST, .queue_max = THREADS};
  uint64_t began_ns = clock_real_monotonic_ns();
  limiter_configure(race.limiter, &settings, began_ns);
  slots_configure(race.slots, SLOTS, THREADS);
  struct racer racers[THREADS];
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    racers[i] = (struct racer){.race = &race, .seed = i + 1};
    sem_init(&racers[i].wake, 0, 0);
    assert_int_equal(pthread_create(&threads[i], NULL, run, &racers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  double seconds = (double)(clock_real_monotonic_ns() - began_ns) / 1e9;
  assert_true(atomic_load(&race.granted) <= BURST + 1 + seconds * PER_MINUTE / 60);
  assert_int_equal(atomic_load(&race.wrong), 0);
  assert_int_equal(limiter_read(race.limiter, clock_real_monotonic_ns()).waiting, 0);
  struct slots_state state = slots_read(race.slots);
  assert_int_equal(state.used, 0);
  assert_int_equal(state.waiting, 0);
  for (unsigned i = 0; i < THREADS; i++) sem_destroy(&racers[i].wake);
  name_table_free(table);
  limiters_free(limiters);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eight_threads_take_no_more_than_there_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
