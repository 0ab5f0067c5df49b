---@meta tide.server

--- The HTTP/1 server of this worker (framework). Keep-alive, pipelining (16 requests of a
--- connection ahead, answers in order), chunked bodies, `Expect: 100-continue`.
---
--- What never becomes a request is answered by the server itself, in C, with
--- `application/problem+json` and an `X-Trace-Id`, and the connection is closed: 400
--- (malformed or ambiguous), 408 (slower than 10 s for the head, 30 s without a byte of the
--- body, or below 1 KiB/s on average), 413, 414 (8 KiB), 417, 431 (32 KiB or 100 headers),
--- 501 (a transfer coding but chunked, CONNECT), 505. The member `code` is
--- "payload_too_large" for 413, else "invalid_input". With as many tasks as the worker can
--- hold: 503, "overloaded", `Retry-After: 1`.
---
--- Responses to HEAD and with the status 204 or 304 have no body; `Upgrade` is ignored.
local server = {}

---@class ServerRequest userdata; fields are read on demand, also after the answer
---@field method string
---@field target string as sent: path and query
---@field path string the path, percent-decoded only where unreserved; as sent otherwise; "/" at least, or "*"
---@field query string|nil raw, without the "?"
---@field body string "" when there is none
---@field peer string "127.0.0.1:5000", or "unix"
---@field peer_uid integer|nil of a Unix socket's peer
---@field version string "1.1" or "1.0"
---@field gone boolean the connection is lost; an answer could not be sent
local Request = {}

--- The value of a header, its name in lower case; repeated ones joined with ", ".
---@param name string
---@return string|nil
function Request:header(name) end

--- All headers in order, names in lower case.
---@return { [1]: string, [2]: string }[]
function Request:headers() end

--- The values of all headers by name; those of repeated ones joined with ", ".
---@return table<string, string>
function Request:header_table() end

--- Answers; once (the second time raises). `headers` is a flat list of at most 64: name,
--- value, name, value…; Content-Length, Date, Connection and whatever else frames a message
--- are the server's, and naming one raises, as does a control character in a value.
--- Returns false when the client has left. A client that leaves does not cancel the task.
---@param status integer 200 to 599
---@param headers string[]|nil
---@param body string|nil at most 64 MiB
---@return boolean sent
function Request:respond(status, headers, body) end

--- Serves `address` ("127.0.0.1:0", "[::1]:8080", "localhost:80", "unix:PATH") with
--- `handler(request)`, each request in a task of its own. A handler that returns without
--- answering, raises or is cancelled is answered for with a 500 problem of code "internal".
--- A Unix socket's file has mode 0600; the path may be as long as a path may be.
---
--- A listener that is not closed serves until the worker ends, held or not.
---
--- With `tls` it speaks TLS with the certificate of `tide.tls`. What is no TLS, or does not finish
--- its handshake in 10 s, is closed and counted.
---
--- Codes: "invalid_input" (not an address, TLS without a certificate), "address_in_use", "io_error",
--- "out_of_memory".
---@param address string
---@param handler fun(request: ServerRequest)
---@param options? { max_body_bytes?: integer, max_connections?: integer, reuse_port?: boolean, tls?: boolean } 1 MiB; 10,240, at which accepting pauses; SO_REUSEPORT, false; false
---@return Listener|nil, string? message, string? code
function server.listen(address, handler, options) end

---@class Listener
---@field address string what was bound, with the real port
local Listener = {}

--- The largest body of requests that begin from now on.
---@param bytes integer
function Listener:limit_body(bytes) end
--- Stops accepting, once what waits in the backlog is accepted. Connections that are idle
--- close 500 ms later, the last answer of each other one says `Connection: close`.
function Listener:drain() end
--- Closes the listener and every connection of it. Also `__close`. No effect the second time.
function Listener:close() end
--- `connections` open now and `requests` being handled now; counted since the start:
--- connections `accepted`, requests `handled` (given to the handler) and `refused` (answered
--- by the server itself), `handshakes` of TLS that were completed and `failed_handshakes`, times that accepting paused because the connections were `full` or
--- the process `starved` of descriptors. All 0 once closed.
---@return { connections: integer, requests: integer, accepted: integer, handled: integer, refused: integer, handshakes: integer, failed_handshakes: integer, full: integer, starved: integer }
function Listener:stats() end

return server
