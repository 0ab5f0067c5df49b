/* `tide.crypto` (docs/api/crypto.lua). */
#ifndef TIDEGATE_BIND_CRYPTO_H
#define TIDEGATE_BIND_CRYPTO_H

struct lua_State;
int luaopen_tide_crypto(struct lua_State *L);

#endif
