---@meta tide.http

--- The HTTP client (framework; scripts use `ctx.http`). One request a call: no
--- redirect is followed, no status is an error, no retry is made.
local http = {}

---@class HttpRequest
---@field method string "GET", "POST", …
---@field url string absolute, http or https; CR, LF, NUL and spaces are refused
---@field headers? { [1]: string, [2]: string }[] pairs, in order; CR, LF, NUL refused
---@field body? string
---@field timeout_seconds? number whole request, 30
---@field connect_timeout_seconds? number 10
---@field max_response_bytes? integer after decompression, 8 MiB
---@field hosts? string[] hosts this request may reach ("api.acme.example", "*.acme.example"); nil: any
---@field private? "allow"|"literal"|"deny" addresses in private, loopback or link-local ranges: "literal" (default) reaches an address literal or `localhost` of the url itself but not link-local ones; "allow" reaches all; "deny" none
---@field fresh_connection? boolean use a new connection (a kept-alive one may be closed without an answer, and libcurl would send the request again)
---@field http2? boolean false
---@field tls? { certificate?: string, key?: string, ca?: string } PEM file paths

---@class HttpResponse
---@field status integer
---@field headers { [1]: string, [2]: string }[] in order, names as they came
---@field body string decompressed
---@field timings { total_ms: number, dns_ms: number, connect_ms: number, tls_ms: number, first_byte_ms: number }
---@field reused boolean
---@field remote_address string

--- Sends one request and waits for the whole answer.
--- Failure: `nil, message, code, sent`: code is "timeout", "network_error" (DNS, connect,
--- TLS, reset, cut short), "malformed_response", "too_large", "address_refused",
--- "host_refused" or "overloaded" (more than 4,096 in flight); `sent` says whether any byte of the request may have
--- reached the other side.
---@param request HttpRequest
---@return HttpResponse|nil, string? message, string? code, boolean? sent
function http.request(request) end

--- Splits an absolute URL.
---@param url string
---@return { scheme: string, host: string, port: integer, path: string, query?: string, origin: string }|nil, string? message
function http.parse_url(url) end

--- Percent-encodes everything but unreserved characters (RFC 3986).
---@param text string
---@return string
function http.encode(text) end

--- `a=1&b=2` of a table (sorted by key) or of a list of pairs; a list as a value repeats its key.
---@return string
function http.encode_query(query) end

--- The reverse, as a table; a key that comes twice has a list.
---@return table|nil, string? message
function http.decode_query(text) end

return http
