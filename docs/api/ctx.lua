---@meta ctx

--- The one argument that carries the world to a provider's functions (`run`, `mock`, `fallback`,
--- `auth.fetch`). Its members can be read, not set; a name that it does not have raises.
--- Whatever waits suspends the script and nobody else. What goes wrong is raised as an error
--- table (see `tide.fail`).
---
--- A `fallback` may not wait: `ctx.http`, `ctx.call`, `ctx.db`, `ctx.all` and `ctx.sleep` raise in it, and it is
--- cut off after a second.
---@class Context
---@field integration string "acme"
---@field operation string "track"
---@field trace_id string 32 hexadecimal digits; passed on to the upstream as `traceparent`
---@field attempt integer 1 for the first
---@field mock boolean whether this is `mock` running
---@field deadline number the instant, in seconds of `tide.time`.monotonic(), at which the call is over
---@field idempotency_key string the same in every attempt of one call: the caller's, else a UUID
---@field config table the effective configuration, read-only: `ctx.config.extra_config.language`
---@field http ContextHttp
---@field cache ContextCache
---@field db ContextDb
---@field log ContextLog
local ctx = {}

--- The value of a declared secret. One that is not declared raises; one that has no value
--- raises `not_configured`, naming the variable to set. The value appears nowhere else: not in
--- logs, rows, errors or `ctx.config`.
---@param name string
---@return string
function ctx.secret(name) end

--- Another operation through its own pipeline (row, cache, tokens, retries), inside this call's
--- deadline and trace, and in mock mode where this call is, at most 8 deep. Its error is raised here; it is not
--- retried again and says nothing more to the breaker. Into the same integration it shares this call's permit
--- of the breaker and its slot of `max_concurrency`. Coming back to the same operation with the same
--- input raises.
---@param integration string
---@param operation string
---@param input? table
---@return any data a fresh table
---@return table meta
function ctx.call(integration, operation, input) end

--- Runs the functions of `list`, at most `limit` (8) at a time. First results, in order. When
--- one raises, or returns nil and an error, the others are cancelled and its error is raised.
---@param list (fun(): any)[]
---@param options? { limit?: integer }
---@return any[]
function ctx.all(list, options) end

--- Suspends the script. Cut short, like everything, by the deadline.
---@param seconds number
function ctx.sleep(seconds) end


--- Requests to the third party. `path` is appended to `base_url`; an absolute URL may go to
--- `base_url`'s host and those of `hosts`. Credentials (`auth`) go to `base_url`'s origin alone.
--- Up to 5 redirects are followed, each to a declared host; 301 to 303 become GET, 307 and 308
--- keep a body only inside the origin; headers that could be credentials do not leave it.
---
--- Raises: `network_error`, `timeout`; for a status outside of 2xx that is not in `expect`
--- `upstream_auth` (401, 403), `not_found` (404, 410), `rate_limited` (429), `rejected` (other
--- 4xx) or `upstream_error` (408, 5xx, redirects that lead nowhere); whatever `classify` says
--- comes first.
---@class ContextHttp
local http = {}

---@class HttpOptions
---@field params? table<string, string|number> fills `{name}` in the path, percent-encoded; empty, "." and ".." are refused as `invalid_input`
---@field query? table<string, string|number|boolean|string[]> a list repeats its key
---@field headers? table<string, string>
---@field json? any encoded as the body
---@field form? table encoded as the body
---@field body? string the body as it is
---@field multipart? { name: string, body: string, filename?: string, content_type?: string }[]
---@field auth? false|table false: without credentials; a table like the provider's `auth` (bearer, basic, api_key, sigv4): these, wherever the request goes
---@field timeout_seconds? number of this request; default `timeout_seconds` of the configuration
---@field expect? integer[]|"any" statuses besides 2xx that are returned and not raised

---@class HttpAnswer
---@field status integer
---@field headers table<string, string> looked up without regard to case; repeated ones joined by ", "
---@field body string
---@field json any decoded when first read, null members absent; raises `upstream_error` when the body is not JSON
---@field duration_ms number

---@param path string
---@param options? HttpOptions
---@return HttpAnswer
function http.get(path, options) end
---@return HttpAnswer
function http.post(path, options) end
---@return HttpAnswer
function http.put(path, options) end
---@return HttpAnswer
function http.patch(path, options) end
---@return HttpAnswer
function http.delete(path, options) end
---@param method string upper case
---@return HttpAnswer
function http.request(method, path, options) end


--- The integration's own keys, in memory that all workers share; those of mock mode are apart.
--- Values are kept as JSON: what is looked up is a fresh copy, and `json.null` where a null was. What is
--- cached may be gone at any time: memory is bounded (`cache_limit_mb`).
---@class ContextCache
local cache = {}

---@param key string at most 1,024 bytes
---@return any|nil value
function cache.get(key) end

--- A value that cannot be written as JSON raises `script_error`. nil deletes. One over 1 MiB is not kept.
---@param key string
---@param value any
---@param ttl_seconds? number above 0; default `cache_ttl_seconds` of the configuration
---@return boolean stored, string|nil reason "too_large", or "full" when it is over a sixteenth of the memory
function cache.set(key, value, ttl_seconds) end

---@param key string
---@return boolean whether it was there
function cache.delete(key) end

--- Deletes all keys that match: `*` is any run of bytes, `?` any one byte, `\` takes the byte after
--- it as it is.
---@param pattern string at most 1,024 bytes
---@return integer count
function cache.delete_pattern(pattern) end

--- The value under `key`, or what `fn()` returns, which is kept. However many ask meanwhile, on any
--- worker, `fn` runs once: they wait, and get its value, or its error raised. If the call that runs
--- it ends before it (its deadline; an overrun of its budget), the next one runs its own. nil is
--- not kept. A delete while `fn` runs wins: its value is handed out and not kept.
---
--- `fn` must not fetch its own key: it would wait for itself until the deadline.
---@param key string
---@param ttl_seconds? number
---@param fn fun(): any
---@return any
function cache.fetch(key, ttl_seconds, fn) end

--- Forgets the cached result of an operation of this integration for one input.
---@param operation string
---@param input? table
---@return boolean whether one was kept
function cache.forget(operation, input) end


--- The project's own tables, which its `migrations/` make (docs/providers.md, "Your own tables").
--- SELECT, INSERT, UPDATE and DELETE, one statement a call, with parameters `$1`…`$n`; values are nil
--- or `json.null` (NULL), booleans (0 and 1), integers, floats, strings (text) and `blob`s.
---
--- Raises `script_error` for a fault in the SQL, a result of more than 10,000 rows or 8 MB, and a violated
--- constraint (then the error's field `constraint` is true); `timeout` past `db_transaction_seconds`;
--- `unavailable`, `overloaded`; `not_configured` when the project has no migrations. None of them says
--- anything to the breaker, and none is tried again by itself.
---
--- A write counts like a POST: an operation that has made one is not run again by `max_retries` unless it
--- is `idempotent`.
---@class ContextDb
local db = {}

--- One statement; when it writes, it is on the disk when this returns.
---@param sql string
---@param ... nil|boolean|number|string|userdata
---@return table<string, integer|number|string>[] rows by column name, NULL absent; those of RETURNING when it writes
---@return integer changes rows inserted, changed or deleted
function db.query(sql, ...) end

--- Runs `fn(tx)`: what it does with `tx.query` (as `query`) is committed when it returns, all of it or, when
--- it raises or returns nil and an error, nothing. Transactions run one after the other, so inside of one
--- nothing else may wait, and it ends after `db_transaction_seconds`.
---
--- In a webhook handler it runs once per event: the commit also keeps what `fn` returned, which must be
--- something that JSON can hold; when the event is run again that is returned and `fn` is not run.
---@param fn fun(tx: { query: fun(sql: string, ...): table[], integer }): any
---@return any
function db.transaction(fn) end

--- A value that is stored as bytes.
---@param bytes string
---@return userdata
function db.blob(bytes) end


--- One line of the service's log, with the integration, the operation and the trace id;
--- redacted.
---@class ContextLog
local log = {}

---@param message string
---@param fields? table
function log.debug(message, fields) end
function log.info(message, fields) end
function log.warn(message, fields) end
function log.error(message, fields) end

return ctx
