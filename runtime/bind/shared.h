/* What all workers share: one of each, thread-safe, made by main.c before the first worker
 * and freed after the last. */
#ifndef TIDEGATE_BIND_SHARED_H
#define TIDEGATE_BIND_SHARED_H

#include <lua.h>

struct cache;
struct call_statistics;
struct breakers;
struct counters;
struct limiters;
struct log;
struct name_table;
struct publications;
struct refusals;
struct secrets;
struct singleflight;
struct store;
struct tls_identity;

struct shared {
  struct log *log;
  struct secrets *secrets;
  struct counters *counters;
  struct breakers *breakers;
  struct limiters *limiters;
  struct name_table *slots;
  struct name_table *trials; /* of new versions */
  struct call_statistics *statistics;
  struct refusals *refusals;
  struct singleflight *singleflight;
  struct cache *cache;
  struct publications *publications;
  struct tls_identity *tls_identity; /* of the public API; without a certificate until tls.load */
  struct store *store;    /* NULL until store.open; set by the main worker before others start */
  struct store *database; /* of the project's tables; NULL until database.share, as the store */
};

struct shared *shared_of(lua_State *L);

#endif
