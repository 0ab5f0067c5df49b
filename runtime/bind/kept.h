/* tide.engine.kept: a call that finds its answer in the cache, in one C call: look-up, breaker
 * state, metrics, the row of the call log, and the answer.
 *
 *   kept.new { cache, breaker, outcome, hits, duration, statistics (cells), integration, operation
 *              (names), mock, sql, row (a list of its `columns` values), holes = { id, created_at,
 *              duration_ms, user_id, caller, trace_id, circuit_breaker_state } (places in the row)
 * } bound:answer(key, trace_id, caller, user_id)  -> the body of the HTTP answer, or nil
 *   bound:data(key, trace_id, caller, user_id)    -> value, age_seconds, state, duration_ms, or nil
 *
 * nil: nothing fresh is kept, nothing was counted. Without `sql` no row is written. */
#ifndef TIDEGATE_BIND_KEPT_H
#define TIDEGATE_BIND_KEPT_H

struct lua_State;

int luaopen_tide_engine_kept(struct lua_State *L);

#endif
