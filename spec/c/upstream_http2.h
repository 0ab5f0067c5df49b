/* As much of HTTP/2 as a third party needs to answer (RFC 9113), by hand. For specs. */
#ifndef TIDEGATE_SPEC_UPSTREAM_HTTP2_H
#define TIDEGATE_SPEC_UPSTREAM_HTTP2_H

#include "upstream.h"

#define UPSTREAM_HTTP2_PROTOCOL "h2"

/* An upstream_serve_fn. Each request is answered with 200 and "stream N, M bytes": the number of
 * its stream (1 for the first of a connection, then 3, 5, …) and of the bytes of its body. One
 * whose body begins with "wait" is not answered, one with "reset" is broken off, at "leave" the
 * connection is closed. */
void upstream_http2_serve(struct upstream_connection *connection);

#endif
