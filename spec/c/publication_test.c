#include "state/publication.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int new_publications(void **state) {
  *state = publications_new();
  return *state == NULL ? -1 : 0;
}

static int free_publications(void **state) {
  publications_free(*state);
  return 0;
}

static void what_was_put_is_what_is_got(void **state) {
  assert_null(publication_get(*state, "settings"));
  assert_int_equal(publication_version(*state, "settings"), 0);
  assert_int_equal(publication_put(*state, "settings", "a\0b", 3), 1);
  assert_int_equal(publication_put(*state, "settings", "", 0), 2);
  assert_int_equal(publication_put(*state, "settings", "a\0b", 3), 3);
  assert_int_equal(publication_put(*state, "other", "x", 1), 1);
  struct publication *publication = publication_get(*state, "settings");
  assert_int_equal(publication_length(publication), 3);
  assert_memory_equal(publication_bytes(publication), "a\0b", 3);
  assert_int_equal(publication_version_of(publication), 3);
  assert_int_equal(publication_version(*state, "settings"), 3);
  publication_release(publication);
}

static void who_holds_the_old_bytes_keeps_them(void **state) {
  publication_put(*state, "n", "old", 3);
  struct publication *old = publication_get(*state, "n");
  publication_put(*state, "n", "new", 3);
  assert_memory_equal(publication_bytes(old), "old", 3);
  assert_int_equal(publication_version_of(old), 1);
  publication_release(old);
}

static void names_are_bounded_in_number_and_length(void **state) {
  char name[PUBLICATION_NAME_MAX + 2];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_int_equal(publication_put(*state, name, "x", 1), 0);
  for (int index = 0; index < PUBLICATION_NAMES_MAX; index++) {
    snprintf(name, sizeof name, "%d", index);
    assert_int_equal(publication_put(*state, name, "x", 1), 1);
  }
  assert_int_equal(publication_put(*state, "one more", "x", 1), 0);
  assert_int_equal(publication_put(*state, "0", "x", 1), 2);
}

static atomic_bool stop;

/* Returns its argument when no version went back and all bytes of each were the same. */
static void *read_all_the_time(void *argument) {
  uint64_t last = 0;
  do {
    struct publication *publication = publication_get(argument, "n");
    const char *bytes = publication_bytes(publication);
    bool whole = memcmp(bytes, bytes + 1, publication_length(publication) - 1) == 0;
    uint64_t version = publication_version_of(publication);
    publication_release(publication);
    if (!whole || version < last) return NULL;
    last = version;
  } while (!atomic_load(&stop));
  return argument;
}

static void readers_see_whole_versions_in_order(void **state) {
  pthread_t threads[3];
  char bytes[1000];
  memset(bytes, 'a', sizeof bytes);
  publication_put(*state, "n", bytes, sizeof bytes);
  atomic_store(&stop, false);
  for (int index = 0; index < 3; index++)
    pthread_create(&threads[index], NULL, read_all_the_time, *state);
  for (int round = 0; round < 2000; round++) {
    memset(bytes, 'a' + round % 26, sizeof bytes);
    publication_put(*state, "n", bytes, sizeof bytes);
  }
  atomic_store(&stop, true);
  for (int index = 0; index < 3; index++) {
    void *result;
    pthread_join(threads[index], &result);
    assert_non_null(result);
  }
}

static void of_versions_the_newest_stays(void **state) {
  assert_int_equal(publication_put_version(*state, "n", "b", 1, 20), PUBLICATION_PUT);
  assert_int_equal(publication_put_version(*state, "n", "a", 1, 10), PUBLICATION_NOT_NEWER);
  assert_int_equal(publication_put_version(*state, "n", "c", 1, 20), PUBLICATION_NOT_NEWER);
  struct publication *publication = publication_get(*state, "n");
  assert_memory_equal(publication_bytes(publication), "b", 1);
  publication_release(publication);
  assert_int_equal(publication_put(*state, "n", "d", 1), 21);
}

static void count_wake(void *argument) {
  ++*(int *)argument;
}

static void a_put_wakes_all_who_wait_and_changes_the_number(void **state) {
  struct waiter waiters[2] = {{0}};
  int wakes[2] = {0};
  uint64_t seen = publications_changes(*state);
  for (int index = 0; index < 2; index++)
    assert_true(publications_wait(*state, seen, &waiters[index], count_wake, &wakes[index]));
  publications_leave(*state, &waiters[1]);
  publication_put(*state, "n", "x", 1);
  publication_put_version(*state, "n", "x", 1, 1);
  assert_int_equal(wakes[0], 1);
  assert_int_equal(wakes[1], 0);
  assert_int_equal(publications_changes(*state), seen + 1);
  assert_false(publications_wait(*state, seen, &waiters[0], count_wake, &wakes[0]));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_publications, free_publications)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(what_was_put_is_what_is_got),
      CASE(who_holds_the_old_bytes_keeps_them),
      CASE(names_are_bounded_in_number_and_length),
      CASE(of_versions_the_newest_stays),
      CASE(a_put_wakes_all_who_wait_and_changes_the_number),
      CASE(readers_see_whole_versions_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
