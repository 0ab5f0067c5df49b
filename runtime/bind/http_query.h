#ifndef TIDEGATE_BIND_HTTP_QUERY_H
#define TIDEGATE_BIND_HTTP_QUERY_H

struct lua_State;

/* The functions of tide.http that only deal with text. */
int http_query_parse_url(struct lua_State *L);
int http_query_encode(struct lua_State *L);
int http_query_encode_query(struct lua_State *L);
int http_query_decode_query(struct lua_State *L);

#endif
