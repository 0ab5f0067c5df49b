---@meta tide.test

--- For specs (`tidegate test`): an integration in a runtime of its own, with fresh state, a
--- virtual clock and a third party that answers what the spec scripts, over a real socket.
local t = {}

---@class TestOptions
---@field secrets? table<string, string> values of declared secrets
---@field config? table like `integrations.NAME` of config.lua; `base_url` keeps the scripted upstream out of it
---@field source? string the provider's text, in place of its file
---@field also? table<string, { source?: string, path?: string, secrets?: table, config?: table }> further integrations, for `ctx.call`
---@field clock? "real" do not freeze the clock
---@field migrations? string the folder of the migrations that make the tables of `ctx.db` ("migrations"); they are empty in each runtime

--- A runtime. `name_or_path` is the name of a provider (of `providers/`, else a bundled one) or
--- the path of its file. It ends with the test that made it; made outside of a test, with the
--- file.
---@param name_or_path string
---@param options? TestOptions
---@return TestRuntime
function t.integration(name_or_path, options) end

--- Moves the virtual clock on: timers fire in order, tasks and sockets come to rest in between.
---@param seconds number
function t.advance(seconds) end

--- Runs `fn(...)` and moves the clock on whenever all of it waits for time to pass. `call` of a
--- runtime does so by itself.
function t.run(fn, ...) end

--- Runs functions at the same time, as `t.run` would; their first results in order.
---@param list (fun(): any)[]
---@return any[]
function t.all(list) end

--- Ends every runtime.
function t.reset() end


--- Its functions are called with a dot: `acme.call("track", input)`.
---@class TestRuntime
---@field url string of the scripted upstream: "http://127.0.0.1:40123"
---@field requests TestRequest[] what came to it, in order
---@field config table the effective configuration
local runtime = {}

---@class TestRequest
---@field method string
---@field path string
---@field target string path and query as sent
---@field query table<string, string|string[]>
---@field headers table<string, string> looked up without regard to case
---@field body string
---@field json any when the body is JSON, null members absent
---@field form? table when the body is a form
---@field at number the instant on the (virtual) monotonic clock

---@class TestAnswer
---@field status? integer 200
---@field json? any
---@field body? string
---@field headers? table<string, string>
---@field delay? number seconds before the answer
---@field close? boolean close the connection without an answer

--- Scripts what "METHOD PATH" answers: one answer, a list (one after the other; the last one
--- stays) or a function of the request. "*" as the method means any, at the end of the path any
--- rest. The latest script that matches wins. A request that none matches fails the call of
--- the spec. The path of `base_url` stays: with "https://api.acme.example/v2" it is
--- "GET /v2/parcels/1". The token endpoint of oauth2 is answered here as well, its path being that
--- of `token_url`.
---@param pattern string "GET /v2/parcels/1"
---@param answer TestAnswer|TestAnswer[]|fun(request: TestRequest): TestAnswer
function runtime.upstream(pattern, answer) end

--- Calls an operation. Raises the error table.
---@param operation string
---@param input? any
---@param options? { timeout_ms?: integer, mock?: boolean, debug?: boolean, caller?: string, user_id?: string, trace_id?: string, idempotency_key?: string }
---@return any data
---@return table meta
function runtime.call(operation, input, options) end

---@class TestEvent
---@field id string the event's own
---@field type string
---@field event_id? string the sender's
---@field payload any
---@field ordering_key? string
---@field status "completed"|"failed"|"pending" after one run; "pending" when it would run again
---@field attempts integer 0 for a duplicate
---@field duplicate? boolean it was done before
---@field processing_result any what its handler returned
---@field error_type? string
---@field error_message? string
---@field error? table
---@field retry_after? number seconds until its next run
---@field response? table the answer to the request: { status, headers, body }

--- Sends a webhook, signed as its sender would: it is verified and taken apart as in a service, and each event
--- of it run once. `payload` is a table (sent as JSON) or the body as text. Of a definition with `events` the
--- result is `{ events = TestEvent[], response }`, of a handshake `{ response }`. A request that is refused raises
--- its error. Sent again, an event that has completed is a duplicate; one that has failed runs again.
---
--- `secrets` are those that it is signed with, by name, instead of the runtime's: for schemes with two keys the
--- private one. `headers` take the place of those made here, the signature's too; `type` is what goes into the
--- header that `event_type` names; `attempt` the number of the run; `now` when it is signed.
---@param source string|nil the name of the definition, nil for the only one
---@param payload? any
---@param options? { headers?: table, secrets?: table, attempt?: integer, type?: string, content_type?: string, now?: number, method?: string }
---@return TestEvent
function runtime.webhook(source, payload, options) end

--- The rows that were written to integration_call_logs, oldest first, by column; JSON columns
--- as text.
---@return table[]
function runtime.logs() end

--- Ends the runtime before its time.
function runtime.close() end

return t
