/* The functions of the table library that can run for hours in C, bounded for scripts: move,
 * insert and remove over lengths that a script only claims, sort of a list that is large. The
 * rest ends by itself: unpack with the stack, concat with the memory. */
#ifndef TIDEGATE_BIND_SANDBOX_TABLE_H
#define TIDEGATE_BIND_SANDBOX_TABLE_H

struct lua_State;

/* Sets them in the table on top of the stack. The global `table` is the standard library's. */
void sandbox_table_set_functions(struct lua_State *L);

#endif
