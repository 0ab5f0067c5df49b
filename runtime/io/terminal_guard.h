/* Gives a terminal its modes back however the process ends.
 *
 * A signal that ends the process (unless it is handled otherwise) and exit() find the modes here:
 * a handler is given no argument, so that this is the one thing of its kind in the process. Threads
 * other than the one that arms and disarms are not looked at. */
#ifndef TIDEGATE_IO_TERMINAL_GUARD_H
#define TIDEGATE_IO_TERMINAL_GUARD_H

/* Notes the present modes of the terminal. -1 (errno is set) when it is none, or one is armed
 * already (EBUSY). */
int terminal_guard_arm(int descriptor);
/* Sets the noted modes, and forgets them. No effect when none is armed. */
void terminal_guard_disarm(void);

#endif
