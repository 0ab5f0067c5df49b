/* How threads talk to a worker: functions to run on its loop's thread, in order.
 *
 * mailbox_post may be called from any thread while the mailbox is open; all else belongs to
 * the loop's thread. */
#ifndef TIDEGATE_ENGINE_MAILBOX_H
#define TIDEGATE_ENGINE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define MAILBOX_LETTERS_MAX 1000000

typedef void (*mailbox_fn)(void *argument);

/* The mailbox's own, or embedded in its sender's memory. */
struct mailbox_letter {
  struct mailbox_letter *next;
  mailbox_fn function;
  void *argument;
  bool is_owned; /* freed by the mailbox */
};

struct mailbox {
  pthread_mutex_t mutex;
  struct mailbox_letter *first, *last;
  size_t count;
  bool open;
  uv_async_t signal;
};

int mailbox_init(struct mailbox *mailbox, uv_loop_t *loop);
/* Refuses further letters, runs those that are there, closes the signal; the loop must run
 * once more before the memory goes. Letters may be posted, and are refused, as long as the
 * memory is there. */
void mailbox_close(struct mailbox *mailbox);
/* -1 when the mailbox is closed, holds MAILBOX_LETTERS_MAX letters, or memory ran out: then
 * the function will not be called. */
int mailbox_post(struct mailbox *mailbox, mailbox_fn function, void *argument);
/* The same with the sender's memory, which stays until the function is called: never full, only
 * closed. For what must arrive. */
int mailbox_post_letter(struct mailbox *mailbox, struct mailbox_letter *letter, mailbox_fn function,
                        void *argument);

#endif
