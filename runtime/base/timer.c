#include "base/timer.h"

#include <stdlib.h>

#define TIMER_HEAP_FIRST_CAPACITY 64

void timer_heap_init(struct timer_heap *heap, uint64_t (*now)(void *), void (*on_change)(void *),
                     void *context) {
  *heap = (struct timer_heap){.now = now, .on_change = on_change, .context = context};
}

void timer_heap_deinit(struct timer_heap *heap) {
  free(heap->items);
  heap->items = NULL;
  heap->count = heap->capacity = 0;
}

static void place(struct timer_heap *heap, size_t at, struct timer *timer) {
  heap->items[at] = timer;
  timer->index = at + 1;
}

static void sift_up(struct timer_heap *heap, size_t at, struct timer *timer) {
  while (at > 0) {
    size_t parent = (at - 1) / 2;
    if (heap->items[parent]->due_ns <= timer->due_ns) break;
    place(heap, at, heap->items[parent]);
    at = parent;
  }
  place(heap, at, timer);
}

static void sift_down(struct timer_heap *heap, size_t at, struct timer *timer) {
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap->count) break;
    if (child + 1 < heap->count && heap->items[child + 1]->due_ns < heap->items[child]->due_ns)
      child++;
    if (timer->due_ns <= heap->items[child]->due_ns) break;
    place(heap, at, heap->items[child]);
    at = child;
  }
  place(heap, at, timer);
}

static void resift(struct timer_heap *heap, size_t at, struct timer *timer) {
  sift_down(heap, at, timer);
  sift_up(heap, timer->index - 1, timer);
}

static int grow(struct timer_heap *heap) {
  if (heap->count < heap->capacity) return 0;
  size_t capacity = heap->capacity ? heap->capacity * 2 : TIMER_HEAP_FIRST_CAPACITY;
  struct timer **items = realloc(heap->items, capacity * sizeof *items);
  if (items == NULL) return -1;
  heap->items = items;
  heap->capacity = capacity;
  return 0;
}

static void changed(struct timer_heap *heap, const struct timer *first) {
  const struct timer *now_first = heap->count > 0 ? heap->items[0] : NULL;
  bool same = now_first == first;
  if (heap->on_change != NULL && !same) heap->on_change(heap->context);
}

static const struct timer *first_of(const struct timer_heap *heap) {
  return heap->count > 0 ? heap->items[0] : NULL;
}

int timer_start(struct timer_heap *heap, struct timer *timer, uint64_t delay_ns, timer_fn on_due) {
  timer_stop(heap, timer);
  if (grow(heap) != 0) return -1;
  const struct timer *first = first_of(heap);
  uint64_t now = heap->now(heap->context);
  timer->due_ns = delay_ns > UINT64_MAX - now ? UINT64_MAX : now + delay_ns;
  timer->on_due = on_due;
  sift_up(heap, heap->count++, timer);
  changed(heap, first);
  return 0;
}

void timer_stop(struct timer_heap *heap, struct timer *timer) {
  if (timer->index == 0) return;
  const struct timer *first = first_of(heap);
  size_t at = timer->index - 1;
  struct timer *last = heap->items[--heap->count];
  timer->index = 0;
  if (last != timer) resift(heap, at, last);
  changed(heap, first);
}

bool timer_is_started(const struct timer *timer) {
  return timer->index != 0;
}

bool timer_heap_next(const struct timer_heap *heap, uint64_t *due_ns) {
  if (heap->count == 0) return false;
  *due_ns = heap->items[0]->due_ns;
  return true;
}

void timer_heap_run(struct timer_heap *heap, uint64_t now_ns) {
  /* Bounded by the number at the start: a callback that starts a timer of no delay must not
   * keep this loop from returning to the poll. */
  for (size_t left = heap->count; left > 0 && heap->count > 0; left--) {
    struct timer *timer = heap->items[0];
    if (timer->due_ns > now_ns) return;
    timer_stop(heap, timer);
    timer->on_due(timer);
  }
}
