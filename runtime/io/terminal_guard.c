#include "io/terminal_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Ends the mode in which a terminal marks pasted text. */
#define PASTE_UNMARKED "\033[?2004l"

static const int ending_signals[] = {SIGHUP, SIGINT,  SIGQUIT, SIGILL, SIGABRT, SIGBUS,
                                     SIGFPE, SIGSEGV, SIGTERM, SIGSYS, SIGXCPU, SIGALRM};
#define ENDING_SIGNALS (sizeof ending_signals / sizeof ending_signals[0])

static struct {
  struct termios modes;
  int descriptor;
  atomic_bool is_armed;
  bool is_at_exit;
} guard;

/* Safe in a handler of signals. A process in the background may set modes only while SIGTTOU is
 * blocked. */
static void restore(void) {
  sigset_t background, before;
  if (!atomic_exchange(&guard.is_armed, false)) return;
  sigemptyset(&background);
  sigaddset(&background, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &background, &before);
  if (write(guard.descriptor, PASTE_UNMARKED, sizeof PASTE_UNMARKED - 1) >= 0)
    while (tcsetattr(guard.descriptor, TCSANOW, &guard.modes) != 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The disposition is the default again (SA_RESETHAND), and the signal blocked until this returns.
 */
static void on_ending_signal(int number) {
  restore();
  raise(number);
}

/* Who handles a signal otherwise sees to it that the process ends in order. */
static void handle_signals(void) {
  struct sigaction action = {.sa_handler = on_ending_signal, .sa_flags = SA_RESETHAND}, present;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < ENDING_SIGNALS; i++)
    if (sigaction(ending_signals[i], NULL, &present) == 0 && present.sa_handler == SIG_DFL)
      sigaction(ending_signals[i], &action, NULL);
}

int terminal_guard_arm(int descriptor) {
  struct termios modes;
  if (atomic_load(&guard.is_armed)) {
    errno = EBUSY;
    return -1;
  }
  if (tcgetattr(descriptor, &modes) != 0) return -1;
  guard.modes = modes;
  guard.descriptor = descriptor;
  if (!guard.is_at_exit && atexit(restore) == 0) guard.is_at_exit = true;
  atomic_store(&guard.is_armed, true);
  handle_signals();
  return 0;
}

void terminal_guard_disarm(void) {
  restore();
}
