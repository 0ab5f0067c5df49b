#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "state/name_table.h"

struct cell {
  const char *name;
  int *open;
};

static void open_cell(void *cell, const char *name, void *context) {
  struct cell *self = cell;
  self->name = name;
  self->open = context;
  (*self->open)++;
}

static void close_cell(void *cell) {
  const struct cell *self = cell;
  (*self->open)--;
}

static struct name_table *make(int *open) {
  *open = 0;
  struct name_table *table = name_table_new(&(struct name_table_kind){
      .cell_size = sizeof(struct cell), .open = open_cell, .close = close_cell, .context = open});
  assert_non_null(table);
  return table;
}

static void a_name_has_one_cell_whatever_comes_between(void **state) {
  (void)state;
  int open;
  struct name_table *table = make(&open);
  struct cell *cells[3];
  const char *names[] = {"middle", "first", "zero"};
  for (size_t i = 0; i < 3; i++) cells[i] = name_table_cell(table, names[i]);
  for (size_t i = 0; i < 3; i++) {
    assert_ptr_equal(name_table_cell(table, names[i]), cells[i]);
    assert_string_equal(cells[i]->name, names[i]);
    assert_int_equal((uintptr_t)cells[i] % _Alignof(max_align_t), 0);
  }
  assert_int_equal(open, 3);
  name_table_free(table);
  assert_int_equal(open, 0);
}

static void names_that_are_empty_or_too_long_have_none(void **state) {
  (void)state;
  int open;
  struct name_table *table = make(&open);
  char name[NAME_TABLE_NAME_MAX + 2];
  memset(name, 'a', sizeof name);
  name[NAME_TABLE_NAME_MAX + 1] = '\0';
  assert_null(name_table_cell(table, ""));
  assert_null(name_table_cell(table, name));
  name[NAME_TABLE_NAME_MAX] = '\0';
  assert_non_null(name_table_cell(table, name));
  name_table_free(table);
}

static void there_are_so_many_cells_and_no_more(void **state) {
  (void)state;
  int open;
  struct name_table *table = make(&open);
  char name[16];
  for (int i = 0; i < NAME_TABLE_CELLS_MAX; i++) {
    snprintf(name, sizeof name, "%d", i);
    assert_non_null(name_table_cell(table, name));
  }
  assert_null(name_table_cell(table, "one more"));
  assert_non_null(name_table_cell(table, "17"));
  assert_int_equal(open, NAME_TABLE_CELLS_MAX);
  name_table_free(table);
}

static int is_named(void *cell, void *argument) {
  const struct cell *self = cell;
  return strcmp(self->name, argument) == 0;
}

static void a_cell_is_found_by_what_is_in_it(void **state) {
  (void)state;
  int open;
  struct name_table *table = make(&open);
  name_table_cell(table, "a");
  assert_ptr_equal(name_table_find(table, is_named, "a"), name_table_cell(table, "a"));
  assert_null(name_table_find(table, is_named, "b"));
  name_table_free(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_name_has_one_cell_whatever_comes_between),
      cmocka_unit_test(names_that_are_empty_or_too_long_have_none),
      cmocka_unit_test(there_are_so_many_cells_and_no_more),
      cmocka_unit_test(a_cell_is_found_by_what_is_in_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
