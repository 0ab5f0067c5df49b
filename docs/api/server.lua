---@meta tide.server

--- The HTTP server of this worker (framework).
local server = {}

---@class ServerRequest userdata; fields are read on demand
---@field method string
---@field target string as sent: path and query
---@field path string the path, percent-decoded only where unreserved; as sent otherwise
---@field query string|nil raw
---@field body string "" when there is none
---@field peer string "127.0.0.1:5000", or "unix"
---@field peer_uid integer|nil of a Unix socket's peer
---@field version string "1.1"
local Request = {}

--- The value of a header, its name in lower case; repeated ones joined with ", ".
---@param name string
---@return string|nil
function Request:header(name) end

--- All headers in order, names in lower case.
---@return { [1]: string, [2]: string }[]
function Request:headers() end

--- Answers; once. `headers` is a flat list: name, value, name, value…; Content-Length, Date
--- and Connection are the server's. Returns false when the client has left.
---@param status integer
---@param headers string[]|nil
---@param body string|nil
---@return boolean sent
function Request:respond(status, headers, body) end

--- Serves `address` ("127.0.0.1:0", "[::1]:8080", "unix:PATH") with `handler(request)`,
--- each request in a task of its own. A handler that returns without answering, or
--- raises, is answered with 500 by `options.on_error(request, error)`, or barely.
---@param address string
---@param handler fun(request: ServerRequest)
---@param options? { max_body_bytes?: integer, on_malformed?: fun(status: integer, reason: string): string, string, reuse_port?: boolean } on_malformed gives content type and body of transport errors
---@return Listener|nil, string? message, string? code
function server.listen(address, handler, options) end

---@class Listener
---@field address string what was bound
local Listener = {}

--- Stops accepting; connections that are idle close, answers say `Connection: close`.
function Listener:drain() end
--- Closes the listener and every connection of it.
function Listener:close() end
--- Connections open, requests being handled.
---@return { connections: integer, requests: integer }
function Listener:stats() end

return server
