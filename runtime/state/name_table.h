/* Cells by name: made when they are first asked for, kept as long as the table.
 *
 * Thread-safe as far as finding and making go; what is in a cell guards itself. */
#ifndef TIDEGATE_STATE_NAME_TABLE_H
#define TIDEGATE_STATE_NAME_TABLE_H

#include <stddef.h>

#define NAME_TABLE_CELLS_MAX 4096
#define NAME_TABLE_NAME_MAX 127

struct name_table;

struct name_table_kind {
  size_t cell_size;
  /* Makes a cell of zeroed memory; `name` lives as long as the cell. The table's lock is held. */
  void (*open)(void *cell, const char *name, void *context);
  void (*close)(void *cell);
  void *context;
};

/* NULL without memory. */
struct name_table *name_table_new(const struct name_table_kind *kind);
/* Closes and frees all cells; nobody uses them any more. */
void name_table_free(struct name_table *table);
/* The cell of a name of 1 to NAME_TABLE_NAME_MAX bytes. NULL for another name, when there are
 * NAME_TABLE_CELLS_MAX, or without memory. */
void *name_table_cell(struct name_table *table, const char *name);
/* The first cell, in the order of their names, for which `fits(cell, argument)`; NULL when there
 * is none. It is called with the table's lock held. */
void *name_table_find(struct name_table *table, int (*fits)(void *cell, void *argument),
                      void *argument);

#endif
