#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "state/trial.h"

#define THREADS 8
#define CALLS 5000

static const struct trial_limits usual = {.calls = TRIAL_CALLS_DEFAULT,
                                          .errors = TRIAL_ERRORS_DEFAULT};

static struct trial *make(struct name_table **table) {
  *table = trial_table_new();
  assert_non_null(*table);
  struct trial *trial = trial_cell(*table, "acme");
  assert_ptr_equal(trial, trial_cell(*table, "acme"));
  return trial;
}

static void so_many_errors_among_the_first_calls_are_told_once(void **state) {
  (void)state;
  struct name_table *table;
  struct trial *trial = make(&table);
  assert_true(trial_begin(trial, "b", usual));
  for (int i = 0; i < TRIAL_CALLS_DEFAULT - TRIAL_ERRORS_DEFAULT; i++)
    assert_false(trial_note(trial, "b", false));
  for (int i = 1; i < TRIAL_ERRORS_DEFAULT; i++) assert_false(trial_note(trial, "b", true));
  assert_true(trial_note(trial, "b", true));
  assert_false(trial_note(trial, "b", true));
  struct trial_state now = trial_read(trial);
  assert_string_equal(now.version, "b");
  assert_int_equal(now.calls, TRIAL_CALLS_DEFAULT);
  assert_int_equal(now.errors, TRIAL_ERRORS_DEFAULT);
  assert_false(now.is_on);
  name_table_free(table);
}

static void errors_after_the_first_calls_do_not_count(void **state) {
  (void)state;
  struct name_table *table;
  struct trial *trial = make(&table);
  assert_true(trial_begin(trial, "b", usual));
  for (int i = 0; i < TRIAL_CALLS_DEFAULT; i++) assert_false(trial_note(trial, "b", i < 4));
  for (int i = 0; i < 100; i++) assert_false(trial_note(trial, "b", true));
  assert_int_equal(trial_read(trial).errors, 4);
  name_table_free(table);
}

static void calls_of_other_versions_do_not_count(void **state) {
  (void)state;
  struct name_table *table;
  struct trial *trial = make(&table);
  for (int i = 0; i < 100; i++) assert_false(trial_note(trial, "", true));
  assert_true(trial_begin(trial, "b", usual));
  for (int i = 0; i < 100; i++) assert_false(trial_note(trial, "a", true));
  assert_int_equal(trial_read(trial).calls, 0);
  name_table_free(table);
}

static void the_same_version_goes_on_and_another_begins_anew(void **state) {
  (void)state;
  struct name_table *table;
  struct trial *trial = make(&table);
  assert_true(trial_begin(trial, "b", usual));
  assert_false(trial_note(trial, "b", true));
  assert_true(trial_begin(trial, "b", (struct trial_limits){1, 1}));
  assert_int_equal(trial_read(trial).errors, 1);
  assert_true(trial_begin(trial, "c", (struct trial_limits){.calls = 2, .errors = 1}));
  assert_int_equal(trial_read(trial).errors, 0);
  assert_true(trial_note(trial, "c", true));
  assert_true(trial_begin(trial, "c", usual));
  assert_false(trial_note(trial, "c", true));
  trial_stop(trial);
  assert_false(trial_note(trial, "c", true));
  assert_true(trial_begin(trial, "c", usual));
  assert_true(trial_read(trial).is_on);
  name_table_free(table);
}

static void a_trial_has_a_version_and_limits(void **state) {
  (void)state;
  struct name_table *table;
  struct trial *trial = make(&table);
  char version[TRIAL_VERSION_MAX + 2];
  memset(version, 'v', sizeof version);
  version[TRIAL_VERSION_MAX + 1] = '\0';
  assert_false(trial_begin(trial, "", usual));
  assert_false(trial_begin(trial, version, usual));
  assert_false(trial_begin(trial, "b", (struct trial_limits){.calls = 0, .errors = 1}));
  assert_false(trial_begin(trial, "b", (struct trial_limits){.calls = 1, .errors = 0}));
  version[TRIAL_VERSION_MAX] = '\0';
  assert_true(trial_begin(trial, version, usual));
  assert_string_equal(trial_read(trial).version, version);
  assert_null(trial_cell(table, ""));
  name_table_free(table);
}

struct race {
  struct trial *trial;
  atomic_int told;
};

static void *call(void *argument) {
  struct race *race = argument;
  trial_begin(race->trial, "b", (struct trial_limits){.calls = CALLS, .errors = CALLS / 10});
  for (int i = 0; i < CALLS; i++)
    if (trial_note(race->trial, "b", i % 2 == 0)) atomic_fetch_add(&race->told, 1);
  return NULL;
}

static void one_of_all_threads_is_told(void **state) {
  (void)state;
  struct name_table *table;
  struct race race = {.trial = make(&table)};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, call, &race), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&race.told), 1);
  assert_int_equal(trial_read(race.trial).errors, CALLS / 10);
  name_table_free(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(so_many_errors_among_the_first_calls_are_told_once),
      cmocka_unit_test(errors_after_the_first_calls_do_not_count),
      cmocka_unit_test(calls_of_other_versions_do_not_count),
      cmocka_unit_test(the_same_version_goes_on_and_another_begins_anew),
      cmocka_unit_test(a_trial_has_a_version_and_limits),
      cmocka_unit_test(one_of_all_threads_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
