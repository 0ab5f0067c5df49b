#include "state/bucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MINUTE UINT64_C(60000000000)
#define NS_PER_HOUR UINT64_C(3600000000000)
#define NS_PER_MS UINT64_C(1000000)

/* A token is `period_ns` units; `rate` units flow in each nanosecond. */
typedef unsigned __int128 units;

struct bucket {
  int64_t rate; /* LIMITER_NO_LIMIT: always full */
  int64_t size; /* tokens */
  uint64_t period_ns;
  units level;
};

struct limiter_waiter {
  struct limiter *limiter;
  struct limiter_waiter *previous, *next;
  void (*notify)(void *);
  void *argument;
  uint64_t give_up_ns;
  bool is_out;              /* of the line: served, or refused */
  uint64_t refused_wait_ns; /* refused in the line: the wait that was too long; else 0 */
};

/* What is foreseen: the buckets as they will be when everybody in line has been served. */
struct outlook {
  struct bucket minute, hour;
  uint64_t at_ns;
  bool is_valid;
};

struct limiter {
  struct limiters *owner;
  pthread_mutex_t mutex;
  struct bucket minute, hour;
  size_t queue_max;
  uint64_t now_ns; /* to which the buckets are filled */
  uint64_t paused_until_ns;
  struct limiter_waiter *first, *last;
  size_t waiting;
  struct outlook outlook;
  uint64_t granted_total, refused_total, waited_total;
  bool is_touched;       /* since it was last saved */
  bool is_paused_unsaid; /* under the owner's pauses_mutex */
  const char *name;      /* the table's */
};

struct limiters {
  struct name_table *cells;
  pthread_mutex_t pauses_mutex; /* taken with a cell's mutex held, never the other way */
  size_t unsaid;
  void (*notify)(void *);
  void *argument;
};

/* --- the registry --- */

static void open_cell(void *cell, const char *name, void *context) {
  struct limiter *limiter = cell;
  limiter->name = name;
  limiter->owner = context;
  pthread_mutex_init(&limiter->mutex, NULL);
  limiter->minute = (struct bucket){.rate = LIMITER_NO_LIMIT, .period_ns = NS_PER_MINUTE};
  limiter->hour = (struct bucket){.rate = LIMITER_NO_LIMIT, .period_ns = NS_PER_HOUR};
}

static void close_cell(void *cell) {
  struct limiter *limiter = cell;
  pthread_mutex_destroy(&limiter->mutex);
}

struct limiters *limiters_new(void) {
  struct limiters *limiters = calloc(1, sizeof *limiters);
  if (limiters == NULL) return NULL;
  limiters->cells = name_table_new(&(struct name_table_kind){.cell_size = sizeof(struct limiter),
                                                             .open = open_cell,
                                                             .close = close_cell,
                                                             .context = limiters});
  if (limiters->cells == NULL) {
    free(limiters);
    return NULL;
  }
  pthread_mutex_init(&limiters->pauses_mutex, NULL);
  return limiters;
}

void limiters_free(struct limiters *limiters) {
  if (limiters == NULL) return;
  name_table_free(limiters->cells);
  pthread_mutex_destroy(&limiters->pauses_mutex);
  free(limiters);
}

struct limiter *limiters_cell(struct limiters *limiters, const char *name) {
  return name_table_cell(limiters->cells, name);
}

/* Whether its pause has not been told; then it is. */
static int take_pause(void *cell, void *argument) {
  struct limiter *limiter = cell;
  struct limiters *limiters = argument;
  if (!limiter->is_paused_unsaid) return 0;
  limiter->is_paused_unsaid = false;
  limiters->unsaid--;
  return 1;
}

const char *limiters_take_paused(struct limiters *limiters) {
  pthread_mutex_lock(&limiters->pauses_mutex);
  const struct limiter *limiter =
      limiters->unsaid > 0 ? name_table_find(limiters->cells, take_pause, limiters) : NULL;
  pthread_mutex_unlock(&limiters->pauses_mutex);
  return limiter != NULL ? limiter->name : NULL;
}

bool limiters_listen(struct limiters *limiters, void (*notify)(void *), void *argument) {
  pthread_mutex_lock(&limiters->pauses_mutex);
  bool is_free = notify == NULL || limiters->notify == NULL;
  if (is_free) {
    limiters->notify = notify;
    limiters->argument = argument;
  }
  pthread_mutex_unlock(&limiters->pauses_mutex);
  return is_free;
}

static void tell_pause(struct limiter *limiter) {
  struct limiters *owner = limiter->owner;
  pthread_mutex_lock(&owner->pauses_mutex);
  if (!limiter->is_paused_unsaid) owner->unsaid++;
  limiter->is_paused_unsaid = true;
  if (owner->notify != NULL) owner->notify(owner->argument);
  pthread_mutex_unlock(&owner->pauses_mutex);
}

/* --- one bucket --- */

static bool is_limited(const struct bucket *bucket) {
  return bucket->rate != LIMITER_NO_LIMIT;
}

static units full(const struct bucket *bucket) {
  return (units)bucket->size * bucket->period_ns;
}

static void fill(struct bucket *bucket, uint64_t elapsed_ns) {
  if (!is_limited(bucket)) return;
  bucket->level += (units)bucket->rate * elapsed_ns;
  if (bucket->level > full(bucket)) bucket->level = full(bucket);
}

static bool has_token(const struct bucket *bucket) {
  return !is_limited(bucket) || bucket->level >= bucket->period_ns;
}

static void take_token(struct bucket *bucket) {
  if (is_limited(bucket)) bucket->level -= bucket->period_ns;
}

static void return_token(struct bucket *bucket) {
  if (!is_limited(bucket)) return;
  bucket->level += bucket->period_ns;
  if (bucket->level > full(bucket)) bucket->level = full(bucket);
}

/* Nanoseconds until there is a token; UINT64_MAX when that is never. */
static uint64_t wait_for(const struct bucket *bucket) {
  if (has_token(bucket)) return 0;
  if (bucket->rate == 0) return UINT64_MAX;
  units missing = bucket->period_ns - bucket->level; /* less than a period, so 64 bits */
  return ((uint64_t)missing + (uint64_t)bucket->rate - 1) / (uint64_t)bucket->rate;
}

static void set_rate(struct bucket *bucket, int64_t rate, int64_t size) {
  bool was_limited = is_limited(bucket);
  bucket->rate = rate;
  bucket->size = rate == LIMITER_NO_LIMIT ? 0 : size;
  if (!was_limited || bucket->level > full(bucket)) bucket->level = full(bucket);
}

static double tokens_of(const struct bucket *bucket) {
  return is_limited(bucket) ? (double)bucket->level / (double)bucket->period_ns : -1;
}

static void set_tokens(struct bucket *bucket, double tokens) {
  if (!is_limited(bucket) || tokens < 0) return;
  if (tokens > (double)bucket->size) tokens = (double)bucket->size;
  bucket->level = (units)(tokens * (double)bucket->period_ns);
}

/* --- a limiter; its mutex is held --- */

static void lock(struct limiter *limiter, uint64_t now_ns) {
  pthread_mutex_lock(&limiter->mutex);
  if (now_ns <= limiter->now_ns) return;
  uint64_t elapsed_ns = now_ns - limiter->now_ns;
  limiter->now_ns = now_ns;
  fill(&limiter->minute, elapsed_ns);
  fill(&limiter->hour, elapsed_ns);
}

static void unlock(struct limiter *limiter) {
  pthread_mutex_unlock(&limiter->mutex);
}

static uint64_t pause_left(const struct limiter *limiter) {
  return limiter->paused_until_ns > limiter->now_ns ? limiter->paused_until_ns - limiter->now_ns
                                                    : 0;
}

static void remove_waiter(struct limiter *limiter, struct limiter_waiter *waiter);

/* With nobody in line: as it will be when a pause is over. */
static struct outlook outlook_of(const struct limiter *limiter) {
  uint64_t pause_ns = pause_left(limiter);
  struct outlook outlook = {.minute = limiter->minute, .hour = limiter->hour, .is_valid = true};
  outlook.at_ns = limiter->now_ns + pause_ns;
  fill(&outlook.minute, pause_ns);
  fill(&outlook.hour, pause_ns);
  return outlook;
}

/* Serves one more; false when that will never be. */
static bool foresee(struct outlook *outlook) {
  uint64_t minute = wait_for(&outlook->minute), hour = wait_for(&outlook->hour);
  uint64_t wait_ns = minute > hour ? minute : hour;
  if (wait_ns == UINT64_MAX) return false;
  outlook->at_ns += wait_ns;
  fill(&outlook->minute, wait_ns);
  fill(&outlook->hour, wait_ns);
  take_token(&outlook->minute);
  take_token(&outlook->hour);
  return true;
}

/* Until the turn that an outlook ends with. */
static uint64_t wait_until(const struct limiter *limiter, const struct outlook *outlook) {
  return outlook->at_ns > limiter->now_ns ? outlook->at_ns - limiter->now_ns : 0;
}

/* Goes through the line in thought, and renews the outlook. Who would wait too long, as things are
 * now, is refused. Later things only shorten waits, until this is done again. */
static void review(struct limiter *limiter) {
  struct outlook outlook = outlook_of(limiter);
  struct limiter_waiter *next;
  for (struct limiter_waiter *waiter = limiter->first; waiter != NULL; waiter = next) {
    next = waiter->next;
    struct outlook served = outlook;
    bool is_ever = foresee(&served);
    if (is_ever && served.at_ns <= waiter->give_up_ns) {
      outlook = served;
      continue;
    }
    uint64_t wait_ns = is_ever ? wait_until(limiter, &served) : UINT64_MAX;
    waiter->refused_wait_ns = wait_ns > 0 ? wait_ns : 1;
    remove_waiter(limiter, waiter);
    waiter->notify(waiter->argument);
  }
  limiter->outlook = outlook;
}

/* What one who comes now would wait, and the outlook then; UINT64_MAX: for ever. */
static uint64_t estimate(struct limiter *limiter, struct outlook *after) {
  if (limiter->first == NULL)
    limiter->outlook = outlook_of(limiter);
  else if (!limiter->outlook.is_valid)
    review(limiter);
  *after = limiter->outlook;
  return foresee(after) ? wait_until(limiter, after) : UINT64_MAX;
}

static bool can_serve(const struct limiter *limiter) {
  return pause_left(limiter) == 0 && has_token(&limiter->minute) && has_token(&limiter->hour);
}

static void serve(struct limiter *limiter) {
  take_token(&limiter->minute);
  take_token(&limiter->hour);
  limiter->granted_total++;
  limiter->is_touched = true;
}

/* When to come again, for one who is refused: never 0; where nothing ever passes, a period. */
static uint64_t come_again(const struct limiter *limiter, uint64_t wait_ns) {
  if (wait_ns != UINT64_MAX) return wait_ns > 0 ? wait_ns : 1;
  uint64_t period_ns = limiter->hour.rate == 0 ? NS_PER_HOUR : NS_PER_MINUTE;
  uint64_t pause_ns = pause_left(limiter);
  return pause_ns > period_ns ? pause_ns : period_ns;
}

/* Whether a pause is the larger part of a wait. */
static bool is_pause(const struct limiter *limiter, uint64_t wait_ns) {
  uint64_t pause_ns = pause_left(limiter);
  return wait_ns != UINT64_MAX && pause_ns > 0 && wait_ns / 2 <= pause_ns;
}

static enum limiter_answer refuse(struct limiter *limiter, enum limiter_answer why,
                                  uint64_t wait_ns, uint64_t *retry_after_ns) {
  limiter->refused_total++;
  *retry_after_ns = come_again(limiter, wait_ns);
  if (why == LIMITER_REFUSED_RATE && is_pause(limiter, wait_ns)) return LIMITER_REFUSED_PAUSE;
  return why;
}

static void append(struct limiter *limiter, struct limiter_waiter *waiter) {
  waiter->previous = limiter->last;
  if (limiter->last != NULL)
    limiter->last->next = waiter;
  else
    limiter->first = waiter;
  limiter->last = waiter;
  limiter->waiting++;
}

/* The next in line, if it has become the first, has to look when its turn is. */
static void remove_waiter(struct limiter *limiter, struct limiter_waiter *waiter) {
  bool was_first = limiter->first == waiter;
  if (waiter->previous != NULL)
    waiter->previous->next = waiter->next;
  else
    limiter->first = waiter->next;
  if (waiter->next != NULL)
    waiter->next->previous = waiter->previous;
  else
    limiter->last = waiter->previous;
  waiter->previous = waiter->next = NULL;
  waiter->is_out = true;
  limiter->waiting--;
  limiter->outlook.is_valid = false;
  if (was_first && limiter->first != NULL) limiter->first->notify(limiter->first->argument);
}

/* Something has changed the turn of everybody. */
static void turn_around(struct limiter *limiter) {
  review(limiter);
  if (limiter->first != NULL) limiter->first->notify(limiter->first->argument);
}

/* --- what callers do --- */

void limiter_configure(struct limiter *limiter, const struct limiter_settings *settings,
                       uint64_t now_ns) {
  lock(limiter, now_ns);
  int64_t size = settings->burst >= 1 ? settings->burst : settings->per_minute;
  if (settings->per_minute == 0) size = 0;
  bool is_same = limiter->minute.rate == settings->per_minute && limiter->minute.size == size &&
                 limiter->hour.rate == settings->per_hour &&
                 limiter->queue_max == settings->queue_max;
  set_rate(&limiter->minute, settings->per_minute, size);
  set_rate(&limiter->hour, settings->per_hour, settings->per_hour);
  limiter->queue_max = settings->queue_max;
  if (!is_same) turn_around(limiter);
  unlock(limiter);
}

static struct limiter_waiter *new_waiter(struct limiter *limiter, uint64_t max_wait_ns,
                                         void (*notify)(void *), void *argument) {
  struct limiter_waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) return NULL;
  waiter->limiter = limiter;
  waiter->notify = notify;
  waiter->argument = argument;
  waiter->give_up_ns =
      max_wait_ns < UINT64_MAX - limiter->now_ns ? limiter->now_ns + max_wait_ns : UINT64_MAX;
  return waiter;
}

/* A place in the line for one who comes when no token is there, or others wait. */
static enum limiter_answer join(struct limiter *limiter, uint64_t max_wait_ns,
                                void (*notify)(void *), void *argument,
                                struct limiter_waiter **waiter, uint64_t *retry_after_ns) {
  struct outlook after;
  uint64_t wait_ns = estimate(limiter, &after);
  if (wait_ns > max_wait_ns || wait_ns == UINT64_MAX)
    return refuse(limiter, LIMITER_REFUSED_RATE, wait_ns, retry_after_ns);
  if (limiter->waiting < limiter->queue_max)
    *waiter = new_waiter(limiter, max_wait_ns, notify, argument);
  if (*waiter == NULL) return refuse(limiter, LIMITER_REFUSED_QUEUE, wait_ns, retry_after_ns);
  append(limiter, *waiter);
  limiter->outlook = after;
  return LIMITER_WAITS;
}

enum limiter_answer limiter_take(struct limiter *limiter, uint64_t now_ns, uint64_t max_wait_ns,
                                 void (*notify)(void *), void *argument,
                                 struct limiter_waiter **waiter, uint64_t *retry_after_ns) {
  enum limiter_answer answer = LIMITER_GRANTED;
  *waiter = NULL;
  *retry_after_ns = 0;
  lock(limiter, now_ns);
  if (limiter->first == NULL && can_serve(limiter))
    serve(limiter);
  else
    answer = join(limiter, max_wait_ns, notify, argument, waiter, retry_after_ns);
  unlock(limiter);
  return answer;
}

/* The first in line, whose time may have come. */
static enum limiter_answer look_first(struct limiter *limiter, struct limiter_waiter *waiter,
                                      uint64_t *look_at_ns, uint64_t *retry_after_ns) {
  if (can_serve(limiter)) {
    serve(limiter);
    limiter->waited_total++;
    remove_waiter(limiter, waiter);
    return LIMITER_GRANTED;
  }
  struct outlook own = outlook_of(limiter);
  bool is_ever = foresee(&own);
  if (is_ever && own.at_ns <= waiter->give_up_ns) {
    *look_at_ns = own.at_ns;
    return LIMITER_WAITS;
  }
  remove_waiter(limiter, waiter);
  uint64_t wait_ns = is_ever ? wait_until(limiter, &own) : UINT64_MAX;
  return refuse(limiter, LIMITER_REFUSED_RATE, wait_ns, retry_after_ns);
}

/* One behind the first, who comes by itself only when its wait is over: the first may be late, and
 * with it the whole line. */
static void look_behind(struct limiter *limiter, struct limiter_waiter *waiter,
                        uint64_t *look_at_ns) {
  if (limiter->now_ns > waiter->give_up_ns)
    review(limiter);
  else if (waiter->give_up_ns != UINT64_MAX)
    *look_at_ns = waiter->give_up_ns + 1;
}

enum limiter_answer limiter_look(struct limiter_waiter *waiter, uint64_t now_ns,
                                 uint64_t *look_at_ns, uint64_t *retry_after_ns) {
  struct limiter *limiter = waiter->limiter;
  enum limiter_answer answer = LIMITER_WAITS;
  *look_at_ns = UINT64_MAX;
  *retry_after_ns = 0;
  lock(limiter, now_ns);
  if (limiter->first == waiter)
    answer = look_first(limiter, waiter, look_at_ns, retry_after_ns);
  else if (!waiter->is_out)
    look_behind(limiter, waiter, look_at_ns);
  if (waiter->refused_wait_ns > 0)
    answer = refuse(limiter, LIMITER_REFUSED_RATE, waiter->refused_wait_ns, retry_after_ns);
  unlock(limiter);
  return answer;
}

void limiter_leave(struct limiter_waiter *waiter, uint64_t now_ns) {
  struct limiter *limiter = waiter->limiter;
  lock(limiter, now_ns);
  if (!waiter->is_out) remove_waiter(limiter, waiter);
  unlock(limiter);
  free(waiter);
}

bool limiter_try(struct limiter *limiter, uint64_t now_ns) {
  lock(limiter, now_ns);
  bool granted = limiter->first == NULL && can_serve(limiter);
  if (granted) serve(limiter);
  unlock(limiter);
  return granted;
}

void limiter_give_back(struct limiter *limiter, uint64_t now_ns) {
  lock(limiter, now_ns);
  return_token(&limiter->minute);
  return_token(&limiter->hour);
  limiter->is_touched = true;
  limiter->outlook.is_valid = false;
  if (limiter->first != NULL) limiter->first->notify(limiter->first->argument);
  unlock(limiter);
}

uint64_t limiter_pause(struct limiter *limiter, uint64_t now_ns, uint64_t pause_ns,
                       uint64_t max_ns) {
  if (pause_ns % NS_PER_MS != 0) pause_ns += NS_PER_MS - pause_ns % NS_PER_MS;
  if (pause_ns > max_ns) pause_ns = max_ns;
  lock(limiter, now_ns);
  if (limiter->now_ns + pause_ns > limiter->paused_until_ns && pause_ns > 0) {
    limiter->paused_until_ns = limiter->now_ns + pause_ns;
    limiter->is_touched = true;
    turn_around(limiter);
    tell_pause(limiter);
  }
  uint64_t left = pause_left(limiter);
  unlock(limiter);
  return left;
}

struct limiter_state limiter_read(struct limiter *limiter, uint64_t now_ns) {
  struct outlook after;
  lock(limiter, now_ns);
  struct limiter_state state = {
      .minute_tokens = tokens_of(&limiter->minute),
      .hour_tokens = tokens_of(&limiter->hour),
      .waiting = limiter->waiting,
      .pause_ns = pause_left(limiter),
      .estimate_ns = estimate(limiter, &after),
      .granted_total = limiter->granted_total,
      .refused_total = limiter->refused_total,
      .waited_total = limiter->waited_total,
  };
  if (state.estimate_ns == UINT64_MAX) state.estimate_ns = come_again(limiter, UINT64_MAX);
  unlock(limiter);
  return state;
}

bool limiter_save(struct limiter *limiter, uint64_t now_ns, struct limiter_memory *memory) {
  lock(limiter, now_ns);
  bool is_touched = limiter->is_touched;
  limiter->is_touched = false;
  *memory = (struct limiter_memory){
      .minute_tokens = tokens_of(&limiter->minute),
      .hour_tokens = tokens_of(&limiter->hour),
      .pause_ns = pause_left(limiter),
  };
  unlock(limiter);
  return is_touched;
}

void limiter_restore(struct limiter *limiter, const struct limiter_memory *memory,
                     uint64_t elapsed_ns, uint64_t now_ns) {
  lock(limiter, now_ns);
  set_tokens(&limiter->minute, memory->minute_tokens);
  set_tokens(&limiter->hour, memory->hour_tokens);
  fill(&limiter->minute, elapsed_ns);
  fill(&limiter->hour, elapsed_ns);
  uint64_t pause_ns = memory->pause_ns > elapsed_ns ? memory->pause_ns - elapsed_ns : 0;
  if (pause_ns > pause_left(limiter)) limiter->paused_until_ns = limiter->now_ns + pause_ns;
  turn_around(limiter);
  unlock(limiter);
}
