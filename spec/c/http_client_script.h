/* What the upstream of the specs of the HTTP client answers: good, slow, malformed and hostile
 * answers, one for each target. For specs. */
#ifndef TIDEGATE_SPEC_HTTP_CLIENT_SCRIPT_H
#define TIDEGATE_SPEC_HTTP_CLIENT_SCRIPT_H

#include "upstream.h"

/* An upstream_fn; a target without a row of its own is answered with 200 and "ok". */
bool http_client_script_answer(struct upstream_connection *connection,
                               const struct upstream_request *request, void *argument);

#endif
