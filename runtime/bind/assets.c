#include "bind/assets.h"

#include <stdlib.h>
#include <string.h>

static int compare_name(const void *name, const void *entry) {
  return strcmp(name, ((const struct asset *)entry)->name);
}

const struct asset *asset_find(const char *name) {
  return bsearch(name, asset_table, asset_table_length, sizeof(asset_table[0]), compare_name);
}

size_t asset_count(void) {
  return asset_table_length;
}

const struct asset *asset_at(size_t index) {
  return index < asset_table_length ? &asset_table[index] : NULL;
}
