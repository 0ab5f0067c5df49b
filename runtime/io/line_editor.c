#include "io/line_editor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/line_plain.h"
#include "io/line_terminal.h"

#define PROMPT_BYTES_MAX 256
#define COMPLETE_MILLISECONDS 2000
#define SIGNAL_COUNT 2

struct line_editor {
  int input, output;
  char *history;
  bool is_editing;
  pthread_t thread;
  int wake_descriptor; /* for the thread, when something below changes */

  pthread_mutex_t mutex; /* of the next ones */
  uint64_t wanted;       /* the number of the read that is wanted; 0: none */
  char prompt[PROMPT_BYTES_MAX];
  bool stop, forget;
  bool is_resized, is_continued; /* the terminal, the process */
  struct line_event event;       /* the thread's, LINE_NONE: taken */
  uint64_t event_read;           /* of which read it is */
  uint64_t completion;           /* counts them */
  struct line_offer offer;       /* the answer to that */
  bool has_offer;
  bool has_finished; /* the thread */

  struct line_terminal *terminal; /* the thread's, as what follows */
  struct line_plain *plain;
  uint64_t reading;

  uv_async_t async; /* the loop's, as what follows */
  uv_signal_t signals[SIGNAL_COUNT];
  int handle_count;
  bool is_closing;
  wake_fn wake;
  void *argument;
  uint64_t last_read;
  uint64_t taken_completion;
  bool was_resized;
};

/* --- the thread --------------------------------------------------------------------------- */

/* Waits for the loop's thread, and for input when `input` is a descriptor. 1: input, 0: the time
 * has passed, -1: something may have changed. */
static int wait_for(struct line_editor *editor, int input, int milliseconds) {
  struct pollfd sources[] = {{.fd = editor->wake_descriptor, .events = POLLIN},
                             {.fd = input, .events = POLLIN}};
  int count = poll(sources, 2, milliseconds);
  if (count == 0) return 0;
  if (count < 0) return -1;
  if (sources[0].revents != 0) {
    uint64_t number;
    if (read(editor->wake_descriptor, &number, sizeof number) < 0) return -1;
    return -1;
  }
  return 1;
}

/* The mutex is held. */
static bool is_abandoned(const struct line_editor *editor) {
  return editor->stop || editor->wanted != editor->reading;
}

static enum line_wait wait_for_input(void *argument, int milliseconds) {
  struct line_editor *editor = argument;
  while (true) {
    pthread_mutex_lock(&editor->mutex);
    bool abandoned = is_abandoned(editor);
    bool is_resized = editor->is_resized, is_continued = editor->is_continued;
    editor->is_resized = editor->is_continued = false;
    pthread_mutex_unlock(&editor->mutex);
    if (abandoned) return LINE_WAIT_ABANDON;
    if (is_continued) return LINE_WAIT_CONTINUED;
    if (is_resized) return LINE_WAIT_RESIZED;
    int status = wait_for(editor, editor->input, milliseconds);
    if (status >= 0) return status == 1 ? LINE_WAIT_INPUT : LINE_WAIT_LATE;
  }
}

/* One at a time: the owner has taken the last before it wants another, or wants none. */
static void post_event(struct line_editor *editor, const struct line_event *event) {
  pthread_mutex_lock(&editor->mutex);
  free(editor->event.text);
  editor->event = *event;
  editor->event_read = editor->reading;
  pthread_mutex_unlock(&editor->mutex);
  uv_async_send(&editor->async);
}

/* Whether the answer has come, or none is wanted. */
static bool has_answer(struct line_editor *editor, struct line_offer *offer) {
  pthread_mutex_lock(&editor->mutex);
  bool ended = is_abandoned(editor) || editor->has_offer;
  if (editor->has_offer) *offer = editor->offer;
  if (editor->has_offer) editor->offer = (struct line_offer){0};
  editor->has_offer = false;
  pthread_mutex_unlock(&editor->mutex);
  return ended;
}

static void complete(void *argument, char *text, size_t length, size_t at,
                     struct line_offer *offer) {
  struct line_editor *editor = argument;
  struct line_event event = {LINE_COMPLETE, text, length, at};
  pthread_mutex_lock(&editor->mutex);
  editor->completion++;
  line_offer_clear(&editor->offer);
  editor->has_offer = false;
  pthread_mutex_unlock(&editor->mutex);
  post_event(editor, &event);
  uint64_t now, end = clock_real_monotonic_ns() + COMPLETE_MILLISECONDS * UINT64_C(1000000);
  while (!has_answer(editor, offer) && (now = clock_real_monotonic_ns()) < end)
    wait_for(editor, -1, (int)((end - now) / 1000000) + 1);
}

/* The number of the read that is wanted; 0: the thread is to end. */
static uint64_t next_wanted(struct line_editor *editor, char prompt[PROMPT_BYTES_MAX]) {
  uint64_t wanted = 0;
  while (true) {
    pthread_mutex_lock(&editor->mutex);
    bool stop = editor->stop, forget = editor->forget;
    editor->forget = false;
    if (!stop && editor->wanted != editor->reading) wanted = editor->wanted;
    memcpy(prompt, editor->prompt, PROMPT_BYTES_MAX);
    pthread_mutex_unlock(&editor->mutex);
    if (forget && editor->terminal != NULL) line_terminal_forget(editor->terminal);
    if (stop || wanted != 0) return wanted;
    wait_for(editor, -1, -1);
  }
}

static void read_line(struct line_editor *editor, const char *prompt) {
  struct line_event event = {0};
  if (editor->terminal != NULL)
    event.kind = line_terminal_read(editor->terminal, prompt, &event.text, &event.length);
  else if (editor->plain != NULL)
    event.kind = line_plain_read(editor->plain, prompt, &event.text, &event.length);
  else
    event.kind = LINE_END;
  if (event.kind != LINE_NONE) post_event(editor, &event);
}

/* Without a terminal that can be had, lines are read as from a pipe. */
static void open_input(struct line_editor *editor) {
  const struct line_host host = {editor, wait_for_input, complete};
  struct err err;
  if (editor->is_editing) {
    editor->terminal =
        line_terminal_open(editor->input, editor->output, editor->history, &host, &err);
    if (editor->terminal == NULL) dprintf(editor->output, "tidegate: %s\n", err.message);
  }
  if (editor->terminal == NULL)
    editor->plain = line_plain_new(editor->input, editor->output, &host);
}

static void *run(void *argument) {
  struct line_editor *editor = argument;
  char prompt[PROMPT_BYTES_MAX];
  open_input(editor);
  for (uint64_t wanted; (wanted = next_wanted(editor, prompt)) != 0;) {
    editor->reading = wanted;
    read_line(editor, prompt);
  }
  if (editor->terminal != NULL) line_terminal_close(editor->terminal);
  line_plain_free(editor->plain);
  pthread_mutex_lock(&editor->mutex);
  editor->has_finished = true;
  pthread_mutex_unlock(&editor->mutex);
  uv_async_send(&editor->async);
  return NULL;
}

/* --- the loop's thread -------------------------------------------------------------------- */

static void wake_thread(struct line_editor *editor) {
  const uint64_t one = 1;
  while (write(editor->wake_descriptor, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void editor_free(struct line_editor *editor) {
  if (editor->wake_descriptor >= 0) close(editor->wake_descriptor);
  free(editor->event.text);
  line_offer_clear(&editor->offer);
  pthread_mutex_destroy(&editor->mutex);
  free(editor->history);
  free(editor);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct line_editor *editor = handle->data;
  if (--editor->handle_count == 0) editor_free(editor);
}

static void close_handles(struct line_editor *editor) {
  int signals = editor->handle_count - 1;
  for (int i = 0; i < signals; i++) uv_close((uv_handle_t *)&editor->signals[i], on_handle_closed);
  uv_close((uv_handle_t *)&editor->async, on_handle_closed);
}

static void on_async(uv_async_t *async) {
  struct line_editor *editor = async->data;
  if (editor->wake != NULL) editor->wake(editor->argument);
  pthread_mutex_lock(&editor->mutex);
  bool has_finished = editor->has_finished;
  pthread_mutex_unlock(&editor->mutex);
  if (!has_finished || !editor->is_closing || uv_is_closing((uv_handle_t *)async)) return;
  pthread_join(editor->thread, NULL);
  close_handles(editor);
}

static void on_signal(uv_signal_t *signal, int number) {
  struct line_editor *editor = signal->data;
  pthread_mutex_lock(&editor->mutex);
  editor->is_resized |= number == SIGWINCH;
  editor->is_continued |= number == SIGCONT;
  pthread_mutex_unlock(&editor->mutex);
  wake_thread(editor);
  if (number != SIGWINCH) return;
  editor->was_resized = true;
  if (editor->wake != NULL) editor->wake(editor->argument);
}

static void watch_terminal(uv_loop_t *loop, struct line_editor *editor) {
  const int numbers[SIGNAL_COUNT] = {SIGWINCH, SIGCONT};
  for (int i = 0; i < SIGNAL_COUNT; i++) {
    uv_signal_init(loop, &editor->signals[i]);
    editor->signals[i].data = editor;
    uv_signal_start(&editor->signals[i], on_signal, numbers[i]);
    uv_unref((uv_handle_t *)&editor->signals[i]);
    editor->handle_count++;
  }
}

static struct line_editor *editor_new(const struct line_editor_options *options) {
  struct line_editor *editor = calloc(1, sizeof *editor);
  if (editor == NULL) return NULL;
  pthread_mutex_init(&editor->mutex, NULL);
  editor->input = options->input;
  editor->output = options->output;
  editor->is_editing = line_terminal_is_usable(options->input, options->output) != 0;
  editor->history = options->history == NULL ? NULL : strdup(options->history);
  editor->wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (editor->wake_descriptor >= 0 && (options->history == NULL || editor->history != NULL))
    return editor;
  editor_free(editor);
  return NULL;
}

struct line_editor *line_editor_new(uv_loop_t *loop, const struct line_editor_options *options,
                                    struct err *err) {
  struct line_editor *editor = editor_new(options);
  if (editor == NULL || uv_async_init(loop, &editor->async, on_async) != 0) {
    err_set(err, "io", "cannot read lines: no memory, or no descriptor is left");
    if (editor != NULL) editor_free(editor);
    return NULL;
  }
  editor->async.data = editor;
  editor->handle_count = 1;
  if (pthread_create(&editor->thread, NULL, run, editor) != 0) {
    err_set(err, "io", "cannot read lines: no thread can be started");
    close_handles(editor);
    return NULL;
  }
  if (editor->is_editing) watch_terminal(loop, editor);
  return editor;
}

void line_editor_close(struct line_editor *editor) {
  editor->wake = NULL;
  editor->is_closing = true;
  pthread_mutex_lock(&editor->mutex);
  editor->stop = true;
  pthread_mutex_unlock(&editor->mutex);
  wake_thread(editor);
  uv_async_send(&editor->async);
}

bool line_editor_is_editing(const struct line_editor *editor) {
  return editor->is_editing;
}

void line_editor_listen(struct line_editor *editor, wake_fn wake, void *argument) {
  editor->wake = wake;
  editor->argument = argument;
}

void line_editor_read(struct line_editor *editor, const char *prompt) {
  pthread_mutex_lock(&editor->mutex);
  if (editor->wanted == 0) {
    editor->wanted = ++editor->last_read;
    size_t length = strnlen(prompt, PROMPT_BYTES_MAX - 1);
    memcpy(editor->prompt, prompt, length);
    editor->prompt[length] = '\0';
  }
  pthread_mutex_unlock(&editor->mutex);
  wake_thread(editor);
}

void line_editor_cancel(struct line_editor *editor) {
  pthread_mutex_lock(&editor->mutex);
  editor->wanted = 0;
  pthread_mutex_unlock(&editor->mutex);
  wake_thread(editor);
}

void line_editor_forget(struct line_editor *editor) {
  pthread_mutex_lock(&editor->mutex);
  editor->forget = true;
  pthread_mutex_unlock(&editor->mutex);
  wake_thread(editor);
}

/* What came of a read that was cancelled is dropped. The mutex is held. */
static bool take_event(struct line_editor *editor, struct line_event *event) {
  if (editor->event.kind == LINE_NONE) return false;
  bool is_wanted = editor->event_read == editor->wanted;
  *event = editor->event;
  editor->event = (struct line_event){0};
  if (!is_wanted) free(event->text);
  if (!is_wanted) return false;
  if (event->kind == LINE_COMPLETE)
    editor->taken_completion = editor->completion;
  else
    editor->wanted = 0;
  return true;
}

bool line_editor_take(struct line_editor *editor, struct line_event *event) {
  if (editor->was_resized) {
    editor->was_resized = false;
    *event = (struct line_event){.kind = LINE_RESIZE};
    return true;
  }
  pthread_mutex_lock(&editor->mutex);
  bool has_event = take_event(editor, event);
  pthread_mutex_unlock(&editor->mutex);
  return has_event;
}

void line_editor_offer(struct line_editor *editor, struct line_offer *offer) {
  pthread_mutex_lock(&editor->mutex);
  bool is_wanted = editor->taken_completion == editor->completion && !editor->has_offer;
  if (is_wanted) {
    editor->offer = *offer;
    editor->has_offer = true;
    *offer = (struct line_offer){0};
  }
  pthread_mutex_unlock(&editor->mutex);
  line_offer_clear(offer);
  wake_thread(editor);
}
