/* The functions of the string library that match patterns, for scripts with a budget: same
 * results and messages, but a match past the budget stops the task instead of holding its
 * worker for hours. */
#ifndef TIDEGATE_BIND_PATTERN_H
#define TIDEGATE_BIND_PATTERN_H

struct lua_State;

/* Sets find, match, gmatch and gsub in the table on top of the stack. */
void pattern_set_functions(struct lua_State *L);

#endif
