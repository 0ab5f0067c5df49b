/* The files inside the binary: scripts/ and providers/ as of the build.
 *
 * Read-only memory that lives as long as the process; any thread may call. */
#ifndef TIDEGATE_BIND_ASSETS_H
#define TIDEGATE_BIND_ASSETS_H

#include <stddef.h>

struct asset {
  const char *name;          /* relative to the source tree: "scripts/tide/boot.lua" */
  const unsigned char *data; /* followed by a NUL that `length` does not count */
  size_t length;
};

/* Generated at build time, sorted by name; read it through the functions below. */
extern const struct asset asset_table[];
extern const size_t asset_table_length;

/* NULL when there is no file of that name. */
const struct asset *asset_find(const char *name);
size_t asset_count(void);
/* In order of names; NULL when `index` is not below asset_count(). */
const struct asset *asset_at(size_t index);

#endif
