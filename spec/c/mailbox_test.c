#include "engine/mailbox.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENDERS 4
#define LETTERS_EACH 20000

struct scene {
  uv_loop_t loop;
  struct mailbox mailbox;
  int received; /* the loop's thread's */
};

struct sender {
  pthread_t thread;
  struct scene *scene;
  int accepted;
};

static void open_scene(struct scene *scene) {
  *scene = (struct scene){0};
  assert_int_equal(uv_loop_init(&scene->loop), 0);
  assert_int_equal(mailbox_init(&scene->mailbox, &scene->loop), 0);
}

static void close_scene(struct scene *scene) {
  mailbox_close(&scene->mailbox);
  uv_run(&scene->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&scene->loop), 0);
}

static void receive(void *argument) {
  ((struct scene *)argument)->received++;
}

static void *send_all(void *argument) {
  struct sender *sender = argument;
  for (int i = 0; i < LETTERS_EACH; i++)
    if (mailbox_post(&sender->scene->mailbox, receive, sender->scene) == 0) sender->accepted++;
  return NULL;
}

static void start_senders(struct scene *scene, struct sender *senders) {
  for (int i = 0; i < SENDERS; i++) {
    senders[i] = (struct sender){.scene = scene};
    assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
  }
}

static int join_senders(struct sender *senders) {
  int accepted = 0;
  for (int i = 0; i < SENDERS; i++) {
    pthread_join(senders[i].thread, NULL);
    accepted += senders[i].accepted;
  }
  return accepted;
}

static void letters_of_many_threads_all_arrive(void **state) {
  (void)state;
  struct scene scene;
  struct sender senders[SENDERS];
  open_scene(&scene);
  start_senders(&scene, senders);
  while (scene.received < SENDERS * LETTERS_EACH) uv_run(&scene.loop, UV_RUN_ONCE);
  assert_int_equal(join_senders(senders), SENDERS * LETTERS_EACH);
  close_scene(&scene);
  assert_int_equal(scene.received, SENDERS * LETTERS_EACH);
}

static void what_was_accepted_arrives_though_the_mailbox_closes(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    struct scene scene;
    struct sender senders[SENDERS];
    open_scene(&scene);
    start_senders(&scene, senders);
    for (int turn = 0; turn < i; turn++) {
      uv_run(&scene.loop, UV_RUN_NOWAIT);
      sched_yield();
    }
    close_scene(&scene);
    int accepted = join_senders(senders);
    assert_int_equal(scene.received, accepted);
    assert_int_equal(mailbox_post(&scene.mailbox, receive, &scene), -1);
  }
}

struct chain {
  struct scene *scene;
  struct mailbox_letter letter;
  int left;
};

static void send_next(void *argument) {
  struct chain *chain = argument;
  chain->scene->received++;
  if (--chain->left > 0)
    mailbox_post_letter(&chain->scene->mailbox, &chain->letter, send_next, chain);
}

static void an_embedded_letter_can_be_sent_again_by_its_function(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  struct chain chain = {.scene = &scene, .left = 100};
  assert_int_equal(mailbox_post_letter(&scene.mailbox, &chain.letter, send_next, &chain), 0);
  while (chain.left > 0) uv_run(&scene.loop, UV_RUN_ONCE);
  assert_int_equal(scene.received, 100);
  chain.left = 100; /* closing ends the chain after one */
  assert_int_equal(mailbox_post_letter(&scene.mailbox, &chain.letter, send_next, &chain), 0);
  close_scene(&scene);
  assert_int_equal(scene.received, 101);
}

static void a_full_mailbox_refuses_all_but_embedded_letters(void **state) {
  (void)state;
  struct scene scene;
  open_scene(&scene);
  scene.mailbox.count = MAILBOX_LETTERS_MAX;
  assert_int_equal(mailbox_post(&scene.mailbox, receive, &scene), -1);
  struct mailbox_letter letter;
  assert_int_equal(mailbox_post_letter(&scene.mailbox, &letter, receive, &scene), 0);
  uv_run(&scene.loop, UV_RUN_ONCE);
  assert_int_equal(mailbox_post(&scene.mailbox, receive, &scene), 0);
  close_scene(&scene);
  assert_int_equal(scene.received, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(letters_of_many_threads_all_arrive),
      cmocka_unit_test(what_was_accepted_arrives_though_the_mailbox_closes),
      cmocka_unit_test(an_embedded_letter_can_be_sent_again_by_its_function),
      cmocka_unit_test(a_full_mailbox_refuses_all_but_embedded_letters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
