/* A libcurl multi handle driven by a libuv loop.
 *
 * One uv_poll per socket for the socket's whole life, no timer of 1 ms, completions handed on
 * after libcurl has returned. All functions belong to the loop's thread, outside libcurl's
 * callbacks unless said otherwise. */
#ifndef TIDEGATE_IO_CURL_LOOP_H
#define TIDEGATE_IO_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct curl_loop;

/* Called once per transfer that ended by itself, after it was removed from the multi handle; may
 * add and remove transfers. `private` is the transfer's CURLOPT_PRIVATE. */
typedef void (*curl_loop_fn)(void *private, CURLcode code);

/* `connections_max`: how many idle connections are kept. NULL with code "out_of_memory". */
struct curl_loop *curl_loop_new(uv_loop_t *loop, size_t connections_max, curl_loop_fn on_done,
                                struct err *err);
/* Closes all connections. The transfers must have been removed. The memory goes once the loop
 * has run the close callbacks. */
void curl_loop_free(struct curl_loop *curl_loop);

/* The transfer starts in the next turn of the loop. -1 with code "network_error". The handle's
 * sockets must be made and closed by the two functions below. */
int curl_loop_add(struct curl_loop *curl_loop, CURL *easy, struct err *err);
/* Ends a transfer at once, without a call of on_done; its connection is closed if it was in use.
 * No effect on one that has ended. */
void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy);

/* For CURLOPT_OPENSOCKETFUNCTION (in libcurl's callback). `is_multiplexed`: the peer may send
 * while no request is under way (HTTP/2). CURL_SOCKET_BAD when it fails. */
curl_socket_t curl_loop_open_socket(struct curl_loop *curl_loop,
                                    const struct curl_sockaddr *address, bool is_multiplexed);
/* A CURLOPT_CLOSESOCKETFUNCTION; `curl_loop` as its data. */
int curl_loop_close_socket(void *curl_loop, curl_socket_t descriptor);

/* For CURLOPT_PREREQFUNCTION (in libcurl's callback): whether the connection from this local port
 * was idle before and has bytes waiting that nobody asked for, or its end. libcurl 7.88 would read
 * them as the next answer. */
bool curl_loop_is_spoilt(const struct curl_loop *curl_loop, int local_port);

/* Connections that are open, in use or idle. */
size_t curl_loop_connections(const struct curl_loop *curl_loop);

#endif
