/* tide.state.secrets: see docs/api/secrets.lua. */
#ifndef TIDEGATE_BIND_SECRETS_H
#define TIDEGATE_BIND_SECRETS_H

struct lua_State;

int luaopen_tide_state_secrets(struct lua_State *L);

#endif
