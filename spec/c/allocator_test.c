#include "engine/allocator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define BLOCKS 500
#define SIZE_MOST 3000

struct block {
  unsigned char *bytes;
  size_t size;
};

static void fill(struct block *block, unsigned char value) {
  if (block->size > 0) memset(block->bytes, value, block->size);
}

static void random_blocks_keep_their_bytes(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  struct allocator allocator;
  struct block blocks[BLOCKS] = {0};
  size_t total = 0;
  allocator_init(&allocator);
  for (int step = 0; step < 50000; step++) {
    size_t at = (unsigned)rand_r(&seed) % BLOCKS;
    struct block *block = &blocks[at];
    size_t most = rand_r(&seed) % 2 == 0 ? 64 : SIZE_MOST;
    size_t size = (unsigned)rand_r(&seed) % most;
    size_t kept = size < block->size ? size : block->size;
    unsigned char *bytes = allocator_reallocate(&allocator, block->bytes, block->size, size);
    assert_int_equal(bytes == NULL, size == 0);
    for (size_t i = 0; i < kept; i++) assert_int_equal(bytes[i], (unsigned char)at);
    if (bytes != NULL) assert_int_equal((uintptr_t)bytes % 16, 0);
    total += size - block->size;
    *block = (struct block){bytes, size};
    fill(block, (unsigned char)at);
    assert_int_equal(allocator.used, total);
  }
  for (size_t i = 0; i < BLOCKS; i++)
    allocator_reallocate(&allocator, blocks[i].bytes, blocks[i].size, 0);
  assert_int_equal(allocator.used, 0);
  allocator_deinit(&allocator);
}

static void the_kind_of_object_is_not_taken_for_a_size(void **state) {
  (void)state;
  struct allocator allocator;
  allocator_init(&allocator);
  void *block = allocator_reallocate(&allocator, NULL, 8, 100); /* as Lua does for a thread */
  assert_non_null(block);
  assert_int_equal(allocator.used, 100);
  allocator_reallocate(&allocator, block, 100, 0);
  allocator_deinit(&allocator);
}

static void growth_past_the_limit_is_refused_and_nothing_changes(void **state) {
  (void)state;
  struct allocator allocator;
  allocator_init(&allocator);
  allocator.limit = 1000;
  char *block = allocator_reallocate(&allocator, NULL, 0, 600);
  assert_non_null(block);
  memset(block, 'x', 600);
  assert_null(allocator_reallocate(&allocator, block, 600, 1001));
  assert_null(allocator_reallocate(&allocator, NULL, 0, 401));
  assert_null(allocator_reallocate(&allocator, NULL, 0, SIZE_MAX - 100));
  assert_int_equal(allocator.used, 600);
  assert_int_equal(block[599], 'x');
  allocator.limit = 100; /* lowered below what is held: shrinking still works */
  block = allocator_reallocate(&allocator, block, 600, 500);
  assert_non_null(block);
  allocator_reallocate(&allocator, block, 500, 0);
  assert_int_equal(allocator.used, 0);
  allocator_deinit(&allocator);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_blocks_keep_their_bytes),
      cmocka_unit_test(the_kind_of_object_is_not_taken_for_a_size),
      cmocka_unit_test(growth_past_the_limit_is_refused_and_nothing_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
