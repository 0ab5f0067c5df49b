/* For clang-tidy alone (tools/lint includes it before everything else): the Lua functions that
 * never come back, which their own headers do not say. */
struct lua_State;
extern int lua_error(struct lua_State *L) __attribute__((noreturn));
extern int luaL_error(struct lua_State *L, const char *format, ...) __attribute__((noreturn));
extern int luaL_argerror(struct lua_State *L, int argument, const char *message)
    __attribute__((noreturn));
extern int luaL_typeerror(struct lua_State *L, int argument, const char *type)
    __attribute__((noreturn));
