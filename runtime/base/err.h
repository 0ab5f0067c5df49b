/* One error value for the whole host: a machine-readable code and a sentence.
 *
 * C functions that can fail return 0 or -1 (or NULL) and fill a `struct err`; they never
 * print, never exit and never raise a Lua error. The struct is plain memory owned by the
 * caller: nothing to free. */
#ifndef TIDEGATE_BASE_ERR_H
#define TIDEGATE_BASE_ERR_H

#define ERR_MESSAGE_MAX 512

struct err {
  const char *code;              /* static storage: "timeout", "network_error", … */
  char message[ERR_MESSAGE_MAX]; /* for people: what, where, what to do; no secrets */
};

/* Fills `err` (which may be NULL) and returns -1, so that `return err_set(...)` reads well.
 * A message that is too long is cut. */
int err_set(struct err *err, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
