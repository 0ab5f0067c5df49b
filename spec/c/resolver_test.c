#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "io/resolver.h"
#include "name_server.h"
#include "timer_loop.h"

#define PATIENCE_MS 10000

struct fixture {
  struct timer_loop timer_loop;
  struct name_server *server;
  struct resolver *resolver;
};

struct question {
  struct resolver_query query; /* first: the callback casts */
  int called;
  struct resolver_addresses addresses;
  struct err err;
};

static void open_resolver(struct fixture *fixture, uint64_t timeout_ms) {
  struct err err;
  struct resolver_options options = {.servers = name_server_address(fixture->server),
                                     .lookup_timeout_ms = timeout_ms};
  fixture->resolver = resolver_new(&fixture->timer_loop.loop, &options, &err);
  assert_non_null(fixture->resolver);
}

static int set_up(void **state) {
  static struct fixture fixture;
  timer_loop_init(&fixture.timer_loop);
  fixture.server = name_server_start();
  open_resolver(&fixture, 2000);
  *state = &fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  resolver_free(fixture->resolver);
  timer_loop_deinit(&fixture->timer_loop);
  name_server_stop(fixture->server);
  return 0;
}

static void on_done(struct resolver_query *query, const struct resolver_addresses *addresses,
                    const struct err *err) {
  struct question *question = (struct question *)query;
  question->called++;
  if (addresses != NULL) question->addresses = *addresses;
  if (err != NULL) question->err = *err;
}

static enum resolver_status ask(struct fixture *fixture, struct question *question,
                                const char *name) {
  const struct resolver_addresses *addresses = NULL;
  memset(question, 0, sizeof *question);
  enum resolver_status status = resolver_start(fixture->resolver, &question->query, name, on_done,
                                               &addresses, &question->err);
  if (status == RESOLVER_FOUND) question->addresses = *addresses;
  return status;
}

static bool is_called(void *argument) {
  return ((struct question *)argument)->called > 0;
}

static void wait_for(struct fixture *fixture, struct question *question) {
  assert_true(timer_loop_run_until(&fixture->timer_loop, is_called, question, PATIENCE_MS));
}

static void assert_address(const struct question *question, size_t index, const char *expected) {
  char text[IP_ADDRESS_TEXT_MAX];
  assert_true(index < question->addresses.count);
  ip_address_format(&question->addresses.items[index], text);
  assert_string_equal(text, expected);
}

static void a_name_is_asked_once_and_then_kept(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  assert_int_equal(ask(fixture, &question, "good.test"), RESOLVER_PENDING);
  wait_for(fixture, &question);
  assert_int_equal(question.addresses.count, 1);
  assert_address(&question, 0, "127.0.0.1");
  assert_int_equal(ask(fixture, &question, "good.test"), RESOLVER_FOUND);
  assert_address(&question, 0, "127.0.0.1");
  assert_int_equal(name_server_questions(fixture->server), 1);
  assert_int_equal(resolver_counters(fixture->resolver)->kept, 1);
}

static void all_addresses_of_a_name_are_found(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  ask(fixture, &question, "mixed.test");
  wait_for(fixture, &question);
  assert_int_equal(question.addresses.count, 2);
}

static void those_who_ask_at_a_time_share_one_look_up(void **state) {
  struct fixture *fixture = *state;
  static struct question questions[100];
  for (size_t i = 0; i < 100; i++)
    assert_int_equal(ask(fixture, &questions[i], "slow50.test"), RESOLVER_PENDING);
  for (size_t i = 0; i < 100; i++) wait_for(fixture, &questions[i]);
  for (size_t i = 0; i < 100; i++) {
    assert_int_equal(questions[i].called, 1);
    assert_address(&questions[i], 0, "127.0.0.1");
  }
  assert_int_equal(name_server_questions(fixture->server), 1);
  assert_int_equal(resolver_counters(fixture->resolver)->shared, 99);
}

static void literals_and_localhost_are_not_asked(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  assert_int_equal(ask(fixture, &question, "192.0.2.7"), RESOLVER_FOUND);
  assert_address(&question, 0, "192.0.2.7");
  assert_int_equal(ask(fixture, &question, "2001:db8::7"), RESOLVER_FOUND);
  assert_address(&question, 0, "2001:db8::7");
  assert_int_equal(ask(fixture, &question, "localhost"), RESOLVER_FOUND);
  assert_address(&question, 0, "127.0.0.1");
  assert_address(&question, 1, "::1");
  assert_int_equal(name_server_questions(fixture->server), 0);
}

/* A name of /etc/hosts besides localhost; false when there is none. */
static bool find_host(char name[64]) {
  FILE *file = fopen("/etc/hosts", "r");
  char line[512], address[64];
  bool found = false;
  if (file == NULL) return false;
  while (!found && fgets(line, sizeof line, file) != NULL)
    found = sscanf(line, "%63s %63s", address, name) == 2 && address[0] != '#' &&
            strncmp(name, "localhost", 9) != 0 && strncmp(name, "ip6-", 4) != 0;
  fclose(file);
  return found;
}

static void the_hosts_file_is_honoured(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  char name[64];
  if (!find_host(name)) skip();
  if (ask(fixture, &question, name) == RESOLVER_PENDING) wait_for(fixture, &question);
  assert_true(question.addresses.count > 0);
  assert_int_equal(name_server_questions(fixture->server), 0);
}

static void a_failure_says_why_and_is_kept_for_a_second(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  ask(fixture, &question, "missing.test");
  wait_for(fixture, &question);
  assert_string_equal(question.err.code, "network_error");
  assert_non_null(strstr(question.err.message, "missing.test"));
  assert_non_null(strstr(question.err.message, "no such name"));
  int asked = name_server_questions(fixture->server);
  assert_int_equal(ask(fixture, &question, "missing.test"), RESOLVER_FAILED);
  assert_string_equal(question.err.code, "network_error");
  assert_int_equal(name_server_questions(fixture->server), asked);
  struct question never = {.called = 0};
  timer_loop_run_until(&fixture->timer_loop, is_called, &never, RESOLVER_KEEP_FAILURE_MS + 50);
  assert_int_equal(ask(fixture, &question, "missing.test"), RESOLVER_PENDING);
  wait_for(fixture, &question);
}

static void a_server_that_fails_is_named(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  ask(fixture, &question, "fail.test");
  wait_for(fixture, &question);
  assert_string_equal(question.err.code, "network_error");
}

static void a_silent_server_delays_no_other_name_and_ends_in_time(void **state) {
  struct fixture *fixture = *state;
  struct question silent, good;
  resolver_free(fixture->resolver);
  open_resolver(fixture, 400);
  uint64_t began = clock_real_monotonic_ns();
  ask(fixture, &silent, "silent.test");
  ask(fixture, &good, "good.test");
  wait_for(fixture, &good);
  assert_int_equal(silent.called, 0);
  assert_true(clock_real_monotonic_ns() - began < 300000000);
  wait_for(fixture, &silent);
  uint64_t took = clock_real_monotonic_ns() - began;
  assert_true(took >= 400000000 && took < 900000000);
  assert_string_equal(silent.err.code, "network_error");
  assert_non_null(strstr(silent.err.message, "no name server answered"));
}

static void a_name_that_was_given_up_can_be_asked_again(void **state) {
  struct fixture *fixture = *state;
  struct question question;
  resolver_free(fixture->resolver);
  open_resolver(fixture, 60);
  ask(fixture, &question, "slow200.test");
  wait_for(fixture, &question);
  assert_string_equal(question.err.code, "network_error");
  assert_int_equal(ask(fixture, &question, "slow200.test"), RESOLVER_PENDING);
  wait_for(fixture, &question);
  assert_int_equal(question.called, 1);
}

static void one_who_cancels_is_not_called_and_the_others_are(void **state) {
  struct fixture *fixture = *state;
  struct question gone, stays;
  ask(fixture, &gone, "slow50.test");
  ask(fixture, &stays, "slow50.test");
  resolver_cancel(&gone.query);
  resolver_cancel(&gone.query);
  wait_for(fixture, &stays);
  assert_int_equal(gone.called, 0);
}

static void an_answer_that_nobody_waits_for_is_kept(void **state) {
  struct fixture *fixture = *state;
  struct question gone, other;
  ask(fixture, &gone, "slow20.test");
  resolver_cancel(&gone.query);
  ask(fixture, &other, "slow100.test");
  wait_for(fixture, &other);
  assert_int_equal(ask(fixture, &gone, "slow20.test"), RESOLVER_FOUND);
}

static void a_resolver_can_go_while_names_are_asked(void **state) {
  struct fixture *fixture = *state;
  struct question first, second;
  ask(fixture, &first, "silent.test");
  ask(fixture, &second, "slow50.test");
  resolver_free(fixture->resolver);
  resolver_cancel(&first.query);
  assert_int_equal(first.called, 0);
  open_resolver(fixture, 2000);
}

static void too_many_look_ups_are_refused(void **state) {
  struct fixture *fixture = *state;
  static struct question questions[RESOLVER_LOOKUPS_MAX + 1];
  for (size_t i = 0; i < RESOLVER_LOOKUPS_MAX; i++) {
    char name[64];
    snprintf(name, sizeof name, "silent.n%zu.test", i);
    assert_int_equal(ask(fixture, &questions[i], name), RESOLVER_PENDING);
  }
  struct question *last = &questions[RESOLVER_LOOKUPS_MAX];
  assert_int_equal(ask(fixture, last, "silent.last.test"), RESOLVER_FAILED);
  assert_string_equal(last->err.code, "overloaded");
  assert_int_equal(resolver_counters(fixture->resolver)->refused, 1);
  for (size_t i = 0; i < RESOLVER_LOOKUPS_MAX; i++) resolver_cancel(&questions[i].query);
}

struct chain {
  struct question question;
  struct fixture *fixture;
  int depth;
};

static void on_link(struct resolver_query *query, const struct resolver_addresses *addresses,
                    const struct err *err) {
  struct chain *chain = (struct chain *)query;
  (void)err;
  assert_non_null(addresses);
  if (++chain->depth == 3) {
    chain->question.called = 1;
    return;
  }
  char name[32];
  snprintf(name, sizeof name, "good.n%d.test", chain->depth);
  assert_int_equal(resolver_start(chain->fixture->resolver, query, name, on_link, &addresses, NULL),
                   RESOLVER_PENDING);
}

static void a_callback_may_ask_again(void **state) {
  struct fixture *fixture = *state;
  struct chain chain = {.fixture = fixture};
  const struct resolver_addresses *addresses;
  resolver_start(fixture->resolver, &chain.question.query, "good.test", on_link, &addresses, NULL);
  wait_for(fixture, &chain.question);
  assert_int_equal(chain.depth, 3);
}

static void a_malformed_server_list_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct resolver_options options = {.servers = "nonsense:port"};
  struct err err;
  assert_null(resolver_new(&fixture->timer_loop.loop, &options, &err));
  assert_string_equal(err.code, "network_error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_name_is_asked_once_and_then_kept),
      TEST(all_addresses_of_a_name_are_found),
      TEST(those_who_ask_at_a_time_share_one_look_up),
      TEST(literals_and_localhost_are_not_asked),
      TEST(the_hosts_file_is_honoured),
      TEST(a_failure_says_why_and_is_kept_for_a_second),
      TEST(a_server_that_fails_is_named),
      TEST(a_silent_server_delays_no_other_name_and_ends_in_time),
      TEST(a_name_that_was_given_up_can_be_asked_again),
      TEST(one_who_cancels_is_not_called_and_the_others_are),
      TEST(an_answer_that_nobody_waits_for_is_kept),
      TEST(a_resolver_can_go_while_names_are_asked),
      TEST(too_many_look_ups_are_refused),
      TEST(a_callback_may_ask_again),
      TEST(a_malformed_server_list_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
