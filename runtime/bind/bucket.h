/* tide.state.bucket: see docs/api/bucket.lua. */
#ifndef TIDEGATE_BIND_BUCKET_H
#define TIDEGATE_BIND_BUCKET_H

struct lua_State;

int luaopen_tide_state_bucket(struct lua_State *L);

#endif
