---@meta tide.http

--- The HTTP client (framework; scripts use `ctx.http`). One request a call: no
--- redirect is followed, no status is an error, no retry is made.
local http = {}

---@class HttpRequest
---@field method string in upper case: "GET", "POST", …; not "CONNECT"
---@field url string absolute, http or https, at most 64 KiB; refused: a user name or password in it, spaces, control and non-ASCII characters, backslashes, a "%" without two hexadecimal digits, hosts such as `127.1`. A fragment is dropped
---@field headers? { [1]: string, [2]: string }[] pairs, in order, at most 100; CR, LF, NUL and other control characters refused, and Content-Length and Transfer-Encoding, which the client sets. `Accept-Encoding: gzip, deflate` is sent unless it is given; no Content-Type is sent unless it is given
---@field body? string
---@field timeout_seconds? number whole request, name look-up included, 30
---@field connect_timeout_seconds? number name look-up, TCP and TLS, 10
---@field max_response_bytes? integer after decompression, 8 MiB
---@field hosts? string[] hosts this request may reach ("api.acme.example", "*.acme.example", which does not cover "acme.example" itself; address literals), at most 100; nil: any
---@field private? "allow"|"literal"|"deny" addresses in private, loopback, link-local and reserved ranges: "literal" (default) reaches an address literal or `localhost` of the url itself but not link-local ones; "allow" reaches all; "deny" none. One such address refuses the whole name
---@field fresh_connection? boolean use a new connection (a kept-alive one may be closed without an answer, and libcurl would send the request again)
---@field http2? boolean false; over TLS, where the other side has it
---@field unix_socket? string path of a Unix socket to connect to, on a connection of its own; the url's host is then only named in `Host`
---@field tls? { certificate?: string, key?: string, ca?: string } texts in PEM form, at most 64 KiB each: a client certificate with its chain; its key (not given: it is in `certificate`); what is trusted instead of the system's bundle. A connection is reused only for the same three

---@class HttpResponse
---@field status integer
---@field headers { [1]: string, [2]: string }[] in order, names as they came; at most 1,000 and 256 KiB, else "too_large"
---@field body string decompressed (gzip, deflate)
---@field timings { total_ms: number, dns_ms: number, connect_ms: number, tls_ms: number, first_byte_ms: number } durations; first_byte_ms and total_ms count from the start; connect_ms and tls_ms are 0 on a reused connection
---@field reused boolean the connection was there already
---@field remote_address string without the port

--- Sends one request and waits for the whole answer.
--- Failure: `nil, message, code, sent`: code is "timeout", "network_error" (DNS, connect,
--- TLS, reset, cut short), "malformed_response", "too_large", "address_refused", "certificate_unusable" (of `tls`),
--- "host_refused", "out_of_memory" or "overloaded" (more than 4,096 in flight, or 1,024 names
--- being looked up); `sent` says whether any byte of the request may have reached the other side.
--- A request that is not fit to be sent (see HttpRequest) is misuse and raises.
---@param request HttpRequest
---@return HttpResponse|nil, string? message, string? code, boolean? sent
function http.request(request) end

--- What this worker's client and resolver have done since their start: `in_flight`,
--- `connections` (both of the moment), `started`, `failed`, `cancelled`, `timed_out`, `refused`
--- ("overloaded"), `reused`, `dns_lookups`, `dns_kept`, `dns_shared`, `dns_failures`, `dns_refused`.
--- The environment variable TIDEGATE_DNS_SERVERS ("127.0.0.1:5353,[::1]:53") replaces the name
--- servers of /etc/resolv.conf; it is meant for tests and unusual set-ups.
---@return table<string, integer>
function http.stats() end

--- Splits an absolute URL, by the rules of HttpRequest. The host is in lower case, without
--- brackets and trailing dot; the path is "/" when there is none; the origin has the port only
--- when it is not the scheme's own.
---@param url string
---@return { scheme: string, host: string, port: integer, path: string, query?: string, origin: string }|nil, string? message, string? code
function http.parse_url(url) end

--- Percent-encodes everything but unreserved characters (RFC 3986).
---@param text string at most 1 MiB
---@return string
function http.encode(text) end

--- `a=1&b=2` of a table (sorted by key) or of a list of pairs; a list as a value repeats its key.
--- Values are strings, numbers and booleans.
---@param query table<string, any>|{ [1]: string, [2]: any }[]
---@return string
function http.encode_query(query) end

--- The reverse, as a table; a key that comes twice has a list. "+" is a space.
---@param text string without the "?"
---@return table|nil, string? message, string? code
function http.decode_query(text) end

return http
