#include "engine/mailbox.h"

#include <stdlib.h>

struct mailbox_letter {
  struct mailbox_letter *next;
  mailbox_fn function;
  void *argument;
};

static struct mailbox_letter *take_all(struct mailbox *mailbox) {
  pthread_mutex_lock(&mailbox->mutex);
  struct mailbox_letter *letters = mailbox->first;
  mailbox->first = mailbox->last = NULL;
  mailbox->count = 0;
  pthread_mutex_unlock(&mailbox->mutex);
  return letters;
}

static void deliver(struct mailbox *mailbox) {
  struct mailbox_letter *letter = take_all(mailbox);
  while (letter != NULL) {
    struct mailbox_letter *next = letter->next;
    letter->function(letter->argument);
    free(letter);
    letter = next;
  }
}

static void on_signal(uv_async_t *signal) {
  deliver(signal->data);
}

int mailbox_init(struct mailbox *mailbox, uv_loop_t *loop) {
  *mailbox = (struct mailbox){.mutex = PTHREAD_MUTEX_INITIALIZER, .open = true};
  int status = uv_async_init(loop, &mailbox->signal, on_signal);
  mailbox->signal.data = mailbox;
  return status;
}

void mailbox_close(struct mailbox *mailbox) {
  pthread_mutex_lock(&mailbox->mutex);
  mailbox->open = false;
  pthread_mutex_unlock(&mailbox->mutex);
  deliver(mailbox);
  uv_close((uv_handle_t *)&mailbox->signal, NULL);
}

int mailbox_post(struct mailbox *mailbox, mailbox_fn function, void *argument) {
  struct mailbox_letter *letter = malloc(sizeof *letter);
  if (letter == NULL) return -1;
  *letter = (struct mailbox_letter){.function = function, .argument = argument};
  pthread_mutex_lock(&mailbox->mutex);
  bool accepted = mailbox->open && mailbox->count < MAILBOX_LETTERS_MAX;
  if (accepted) {
    if (mailbox->last != NULL) mailbox->last->next = letter;
    if (mailbox->first == NULL) mailbox->first = letter;
    mailbox->last = letter;
    mailbox->count++;
    /* Inside the lock: after mailbox_close the signal may not be touched. */
    uv_async_send(&mailbox->signal);
  }
  pthread_mutex_unlock(&mailbox->mutex);
  if (!accepted) free(letter);
  return accepted ? 0 : -1;
}
