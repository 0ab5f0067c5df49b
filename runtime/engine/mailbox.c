#include "engine/mailbox.h"

#include <stdlib.h>

static struct mailbox_letter *take_all(struct mailbox *mailbox) {
  pthread_mutex_lock(&mailbox->mutex);
  struct mailbox_letter *letters = mailbox->first;
  mailbox->first = mailbox->last = NULL;
  mailbox->count = 0;
  pthread_mutex_unlock(&mailbox->mutex);
  return letters;
}

/* Copied first: an embedded letter may be gone, or on its way again, once its function ran. */
static void deliver(struct mailbox *mailbox) {
  struct mailbox_letter *letter = take_all(mailbox);
  while (letter != NULL) {
    struct mailbox_letter copy = *letter;
    if (copy.is_owned) free(letter);
    copy.function(copy.argument);
    letter = copy.next;
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

/* The signal is sent inside the lock: after mailbox_close it may not be touched. */
static int append(struct mailbox *mailbox, struct mailbox_letter *letter) {
  pthread_mutex_lock(&mailbox->mutex);
  bool has_room = !letter->is_owned || mailbox->count < MAILBOX_LETTERS_MAX;
  bool accepted = mailbox->open && has_room;
  if (accepted) {
    if (mailbox->last != NULL) mailbox->last->next = letter;
    if (mailbox->first == NULL) mailbox->first = letter;
    mailbox->last = letter;
    mailbox->count++;
    uv_async_send(&mailbox->signal);
  }
  pthread_mutex_unlock(&mailbox->mutex);
  return accepted ? 0 : -1;
}

int mailbox_post(struct mailbox *mailbox, mailbox_fn function, void *argument) {
  struct mailbox_letter *letter = malloc(sizeof *letter);
  if (letter == NULL) return -1;
  *letter = (struct mailbox_letter){NULL, function, argument, true};
  int status = append(mailbox, letter);
  if (status != 0) free(letter);
  return status;
}

int mailbox_post_letter(struct mailbox *mailbox, struct mailbox_letter *letter, mailbox_fn function,
                        void *argument) {
  *letter = (struct mailbox_letter){NULL, function, argument, false};
  return append(mailbox, letter);
}
