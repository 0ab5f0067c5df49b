/* How an operation below says that it has ended, without knowing who waits.
 *
 * Called once per operation, on the thread of the loop that the operation was started on,
 * never from within the function that started it unless that function's contract says so.
 * The receiver only notes it (see engine/task.h): it must not call back into the library. */
#ifndef TIDEGATE_BASE_WAKE_H
#define TIDEGATE_BASE_WAKE_H

typedef void (*wake_fn)(void *argument);

#endif
