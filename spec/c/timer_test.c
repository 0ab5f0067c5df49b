#include "base/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define TIMERS 300

struct scene {
  struct timer_heap heap;
  uint64_t now;
  int changes;
};

struct item {
  struct timer timer;
  struct scene *scene;
  int fired;
  bool restarts;
};

static uint64_t now_of(void *context) {
  return ((struct scene *)context)->now;
}

static void on_change(void *context) {
  ((struct scene *)context)->changes++;
}

static void open_scene(struct scene *scene) {
  *scene = (struct scene){0};
  timer_heap_init(&scene->heap, now_of, on_change, scene);
}

static void on_due(struct timer *timer) {
  struct item *item = (struct item *)timer;
  assert_false(timer_is_started(timer));
  assert_true(timer->due_ns <= item->scene->now);
  item->fired++;
  if (item->restarts) assert_int_equal(timer_start(&item->scene->heap, timer, 0, on_due), 0);
}

/* Reads the earliest due time; fails without one. */
static uint64_t earliest(struct scene *scene) {
  uint64_t due = 0;
  assert_true(timer_heap_next(&scene->heap, &due));
  return due;
}

static void random_starts_moves_and_stops_keep_the_order(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  struct scene scene;
  struct item items[TIMERS] = {0};
  open_scene(&scene);
  for (int step = 0; step < 20000; step++) {
    struct item *item = &items[(unsigned)rand_r(&seed) % TIMERS];
    item->scene = &scene;
    unsigned what = (unsigned)rand_r(&seed) % 10;
    if (what < 6)
      assert_int_equal(
          timer_start(&scene.heap, &item->timer, (unsigned)rand_r(&seed) % 1000, on_due), 0);
    else if (what < 9)
      timer_stop(&scene.heap, &item->timer);
    else
      timer_heap_run(&scene.heap, ++scene.now);
    uint64_t due, first = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
      if (timer_is_started(&items[i].timer) && items[i].timer.due_ns < first)
        first = items[i].timer.due_ns;
    assert_int_equal(timer_heap_next(&scene.heap, &due), first != UINT64_MAX);
    if (first != UINT64_MAX) assert_int_equal(due, first);
  }
  timer_heap_deinit(&scene.heap);
}

static void one_that_starts_itself_without_delay_lets_the_run_end(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  struct item again = {.scene = &scene, .restarts = true}, other = {.scene = &scene};
  assert_int_equal(timer_start(&scene.heap, &again.timer, 0, on_due), 0);
  assert_int_equal(timer_start(&scene.heap, &other.timer, 5, on_due), 0);
  timer_heap_run(&scene.heap, 0);
  assert_in_range(again.fired, 1, 2);
  assert_int_equal(other.fired, 0);
  scene.now = 5;
  for (int i = 0; i < 3; i++) timer_heap_run(&scene.heap, scene.now);
  assert_int_equal(other.fired, 1);
  timer_heap_deinit(&scene.heap);
}

static struct item *victim;

static void stop_the_victim(struct timer *timer) {
  struct item *item = (struct item *)timer;
  timer_stop(&item->scene->heap, &victim->timer);
}

static void one_may_stop_another_that_is_due(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  struct item first = {.scene = &scene}, second = {.scene = &scene};
  victim = &second;
  assert_int_equal(timer_start(&scene.heap, &first.timer, 1, stop_the_victim), 0);
  assert_int_equal(timer_start(&scene.heap, &second.timer, 2, on_due), 0);
  scene.now = 10;
  timer_heap_run(&scene.heap, scene.now);
  assert_int_equal(second.fired, 0);
  timer_heap_deinit(&scene.heap);
}

static void a_delay_past_the_end_of_time_is_the_end_of_time(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  struct item item = {.scene = &scene};
  scene.now = 1000;
  assert_int_equal(timer_start(&scene.heap, &item.timer, UINT64_MAX, on_due), 0);
  assert_int_equal(earliest(&scene), UINT64_MAX);
  timer_stop(&scene.heap, &item.timer);
  timer_stop(&scene.heap, &item.timer);
  timer_heap_deinit(&scene.heap);
}

static void the_driver_hears_of_a_new_earliest_time_alone(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  struct item early = {.scene = &scene}, late = {.scene = &scene};
  assert_int_equal(timer_start(&scene.heap, &early.timer, 10, on_due), 0);
  assert_int_equal(scene.changes, 1);
  assert_int_equal(timer_start(&scene.heap, &late.timer, 20, on_due), 0);
  assert_int_equal(scene.changes, 1);
  timer_stop(&scene.heap, &late.timer);
  assert_int_equal(scene.changes, 1);
  assert_int_equal(timer_start(&scene.heap, &early.timer, 30, on_due), 0);
  assert_true(scene.changes > 1);
  assert_int_equal(earliest(&scene), 30);
  timer_heap_deinit(&scene.heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_starts_moves_and_stops_keep_the_order),
      cmocka_unit_test(one_that_starts_itself_without_delay_lets_the_run_end),
      cmocka_unit_test(one_may_stop_another_that_is_due),
      cmocka_unit_test(a_delay_past_the_end_of_time_is_the_end_of_time),
      cmocka_unit_test(the_driver_hears_of_a_new_earliest_time_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
