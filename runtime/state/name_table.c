#include "state/name_table.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char name[NAME_TABLE_NAME_MAX + 1];
  alignas(max_align_t) unsigned char cell[];
};

struct name_table {
  struct name_table_kind kind;
  pthread_mutex_t mutex;
  struct entry *entries[NAME_TABLE_CELLS_MAX]; /* sorted by name */
  size_t count;
};

struct name_table *name_table_new(const struct name_table_kind *kind) {
  struct name_table *table = calloc(1, sizeof *table);
  if (table == NULL) return NULL;
  table->kind = *kind;
  pthread_mutex_init(&table->mutex, NULL);
  return table;
}

void name_table_free(struct name_table *table) {
  if (table == NULL) return;
  for (size_t i = 0; i < table->count; i++) {
    table->kind.close(table->entries[i]->cell);
    free(table->entries[i]);
  }
  pthread_mutex_destroy(&table->mutex);
  free(table);
}

/* Where the name is, or where it would go. */
static size_t place_of(const struct name_table *table, const char *name) {
  size_t low = 0, high = table->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(table->entries[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct entry *add(struct name_table *table, const char *name, size_t at) {
  size_t length = strlen(name);
  if (table->count == NAME_TABLE_CELLS_MAX || length == 0 || length > NAME_TABLE_NAME_MAX)
    return NULL;
  struct entry *entry = calloc(1, sizeof *entry + table->kind.cell_size);
  if (entry == NULL) return NULL;
  memcpy(entry->name, name, length);
  table->kind.open(entry->cell, entry->name, table->kind.context);
  memmove(&table->entries[at + 1], &table->entries[at],
          (table->count - at) * sizeof table->entries[0]);
  table->entries[at] = entry;
  table->count++;
  return entry;
}

void *name_table_cell(struct name_table *table, const char *name) {
  pthread_mutex_lock(&table->mutex);
  size_t at = place_of(table, name);
  struct entry *entry = at < table->count ? table->entries[at] : NULL;
  if (entry == NULL || strcmp(entry->name, name) != 0) entry = add(table, name, at);
  pthread_mutex_unlock(&table->mutex);
  return entry != NULL ? entry->cell : NULL;
}

void *name_table_find(struct name_table *table, int (*fits)(void *cell, void *argument),
                      void *argument) {
  void *found = NULL;
  pthread_mutex_lock(&table->mutex);
  for (size_t i = 0; found == NULL && i < table->count; i++)
    if (fits(table->entries[i]->cell, argument)) found = table->entries[i]->cell;
  pthread_mutex_unlock(&table->mutex);
  return found;
}
