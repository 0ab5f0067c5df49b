/* tide.state.trial: see docs/api/trial.lua. */
#ifndef TIDEGATE_BIND_TRIAL_H
#define TIDEGATE_BIND_TRIAL_H

struct lua_State;

int luaopen_tide_state_trial(struct lua_State *L);

#endif
