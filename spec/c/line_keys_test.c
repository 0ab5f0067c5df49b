/* Bytes of a terminal become keys, wherever they are cut. */
#include "io/line_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* After what it needs. */
#include <cmocka.h>

#define KEYS_MAX 256

struct given {
  wchar_t keys[KEYS_MAX];
  size_t count;
};

static void take_all(struct line_keys *keys, bool is_late, struct given *given) {
  struct line_key key;
  while (line_keys_next(keys, is_late, &key)) {
    assert_true(given->count < KEYS_MAX - 1);
    given->keys[given->count++] = key.character;
    given->keys[given->count] = L'\0';
  }
}

static void add(struct line_keys *keys, const char *bytes, size_t length) {
  size_t size;
  unsigned char *room = line_keys_room(keys, &size);
  assert_true(size >= length);
  memcpy(room, bytes, length);
  line_keys_add(keys, length);
}

/* All at once, byte by byte, and with every cut in two: the same keys. */
static void gives(const char *bytes, const wchar_t *expected) {
  size_t length = strlen(bytes);
  for (size_t cut = 0; cut <= length; cut++) {
    struct line_keys keys = {0};
    struct given given = {0};
    add(&keys, bytes, cut);
    take_all(&keys, false, &given);
    add(&keys, bytes + cut, length - cut);
    take_all(&keys, false, &given);
    take_all(&keys, true, &given);
    assert_true(wcscmp(given.keys, expected) == 0);
  }
  struct line_keys keys = {0};
  struct given given = {0};
  for (size_t i = 0; i < length; i++) {
    add(&keys, bytes + i, 1);
    take_all(&keys, false, &given);
  }
  take_all(&keys, true, &given);
  assert_true(wcscmp(given.keys, expected) == 0);
}

static void gives_characters(void **state) {
  (void)state;
  gives("ab\r", L"ab\r");
  gives("\xed\x95\x9c\xea\xb8\x80 \xf0\x9f\x8c\x8a", L"\xd55c\xae00 \x1f30a");
}

static void replaces_what_is_no_utf8(void **state) {
  (void)state;
  gives("a\xff\xc3z\xed\xa0\x80", L"a\xfffd\xfffdz\xfffd\xfffd\xfffd");
}

static void keeps_sequences_that_are_bound(void **state) {
  (void)state;
  gives("\033[A\033OB\033[3~\033[1;5Cx", L"\033[A\033OB\033[3~\033[1;5Cx");
  gives("\033b", L"\033b");
}

static void drops_sequences_of_other_keys(void **state) {
  (void)state;
  gives("a\033[15~b\033OPc\033[<35;1;2Md", L"abcd");
  gives("\033[1111111111111111111111111111111111111~", L"1111111~");
}

static void gives_a_lone_escape_when_nothing_follows(void **state) {
  (void)state;
  gives("\033", L"\033");
}

static void moves_to_the_end_before_an_interrupt(void **state) {
  (void)state;
  gives("a\003", L"a\x05\x03");
}

static void gives_pasted_text_without_its_keys(void **state) {
  (void)state;
  gives("\033[200~if x\r\n\ty = 1\n\rend\033[201~\t", L"if x\n\x16\ty = 1\n\nend\t");
  gives("\033[200~a\033[A\004\177b\033[201~\004", L"a[Ab\x04");
}

static void ends_a_paste_with_an_interrupt(void **state) {
  (void)state;
  gives("\033[200~ab\003\t", L"ab\x05\x03\t");
}

static void says_what_makes_a_line_longer(void **state) {
  (void)state;
  struct line_keys keys = {0};
  struct line_key key;
  add(&keys, "a\r\033[A\001", 6);
  assert_true(line_keys_next(&keys, false, &key) && key.is_text);
  while (line_keys_next(&keys, false, &key)) assert_false(key.is_text);
}

/* Whatever comes, every byte is used up in bounded time. */
static void takes_any_bytes(void **state) {
  (void)state;
  uint64_t random = 88172645463325252u;
  for (int round = 0; round < 20000; round++) {
    static const char likely[] = "\033[200~\033[201~\033O\003\r\n\t;~A\xed\x95\x9c\xff";
    struct line_keys keys = {0};
    char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      bytes[i] = random & 1 ? (char)(random >> 8) : likely[(random >> 8) % (sizeof likely - 1)];
    }
    struct given given = {0};
    add(&keys, bytes, sizeof bytes);
    take_all(&keys, false, &given);
    take_all(&keys, true, &given);
    assert_false(line_keys_is_partial(&keys));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gives_characters),
      cmocka_unit_test(replaces_what_is_no_utf8),
      cmocka_unit_test(keeps_sequences_that_are_bound),
      cmocka_unit_test(drops_sequences_of_other_keys),
      cmocka_unit_test(gives_a_lone_escape_when_nothing_follows),
      cmocka_unit_test(moves_to_the_end_before_an_interrupt),
      cmocka_unit_test(gives_pasted_text_without_its_keys),
      cmocka_unit_test(ends_a_paste_with_an_interrupt),
      cmocka_unit_test(says_what_makes_a_line_longer),
      cmocka_unit_test(takes_any_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
