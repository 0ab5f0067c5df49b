-- Writes docs/policies.md: the order from call.lua, keys from the settings schema, metrics from
-- their descriptions; what is said about them stands here.

local call = require "tide.call"
local configuration = require "tide.docs.configuration"
local counters = require "tide.state.counters"
local metrics = require "tide.api.metrics"
local schema = require "tide.settings.schema"

local M = {}

local INTRODUCTION = [[
# Policies

This page is generated: `make docs` writes it anew.

What stands between a call and its third party, in the order in which a call passes it. Each policy
says what it does, which keys set it, what it answers, which metrics show it, and what to set when.
The keys are those of an integration ([configuration](configuration.md)); all can differ from one
integration to the next. Mock mode has a cache, a breaker, limits and slots of its own, so that a mock
answer is never taken for a real one.

]]

local LOOKING = [[
## How to look

- What would become of this call, without making it:

      tidegate api POST /api/v1/integrations/acme/track/explain parcel=1234567890

  `verdict` is `pass`, `wait`, `answer` (from the cache) or `refuse`, with the `policy` that decides and
  `why`; then each policy with its state, and each setting with where it comes from.
- What became of that call: `X-Debug: 1` (operators) adds `meta.trace`, or `trace` to an error. The same is
  in the column `attempts` of its row (`tidegate logs`): the waits, each request with status and
  timings, errors, the policy that refused.
- How fresh an answer is: `meta.from_cache`, `age_seconds`, `stale`, `fallback`, and `meta.error` where a
  failure is hidden.
- How an integration is: `GET /api/v1/integrations/acme` with the state of its breaker, missing secrets
  and `statistics` since the start.
- How it was: `GET /api/v1/metrics?integration=acme`, a row for every five minutes that had calls:
  percentiles, rates of errors and hits, refusals.
- How everything is: `tidegate status`, and `GET /metrics` for Prometheus.
]]

local ACTIONS = [[
## What operators can do while it runs

`GET /api/v1/integrations/NAME/breaker` shows a breaker and who holds it, `PUT` with `{"mode": …}` changes that:

| mode | does |
| --- | --- |
| `"open"` | holds it open: no call goes out |
| `"closed"` | lets every call through, whatever happens |
| `"observe"` | shows the state that it would have, and refuses nothing: to try settings out |
| `"auto"` | closes it and lets it work by itself |

This is the breaker of real calls. While an integration is in mock mode (`is_mock_mode`), its calls pass the mock's own,
which nobody holds.

`POST /api/v1/integrations/NAME/cache/warm` with `{"operation": …, "inputs": […]}` makes the calls whose
answers are not kept yet: at most 1,000, `batch_concurrency` at a time. It says how many entries there are
and which inputs failed.

`GET /api/v1/integrations/NAME/cache` counts what is kept and how often it served; with `operation=` the entries
of that one; `keys=100` lists so many of the keys.

`DELETE /api/v1/integrations/NAME/cache?operation=&pattern=` deletes entries, those of mock mode too, and
says how many. Keys read `OPERATION:canonical JSON`; `*` stands for any run of bytes, `?` for one. Without
`operation` the keys of `ctx.cache` are meant as well.

A breaker's mode and a deletion write a row to the audit log; the calls of a warm-up have rows in the
call log, as any. The state of breakers, what is left in the buckets and pauses survive a restart, but
for those of mock mode. The cache does not.

## Failures that are hidden

For `circuit_open`, `rate_limited`, `overloaded`, `upstream_auth`, `upstream_error`, `network_error`,
`timeout`, `script_error`, `script_timeout` and `out_of_memory` the caller gets the answer that is kept,
however old, else what the operation's `fallback` returns, else the error. `meta.stale` or
`meta.fallback` says so, and `meta.error` holds the code and the message; the row is a success with
that `error_type`. Errors that say something about the input (`invalid_input`, `not_found`, `rejected`,
`conflict`) and `disabled` are never hidden. A fallback may not wait: `ctx.http`, `ctx.call`, `ctx.all`
and `ctx.sleep` refuse in it. What it returns is not kept.

## The same request twice

`Idempotency-Key` keeps the answer of a call for `idempotency_hours`, so that a client may repeat it. It
stands before all policies and is described in [its own page](internals/idempotency.md).
]]

local POLICIES = {
  record = {
    title = "Record", keys = { "log_calls", "log_bodies", "log_body_bytes", "redact_fields" },
    metrics = { "calls_total", "call_duration_seconds" },
    text = "One row of the call log, the metrics and, for a failure, a log line; for every call of a known "
      .. "operation, however it ends. Around everything else.",
    advice = "Set `log_calls` to `uncached` where most answers come from the cache and the rows are not "
      .. "needed; `log_bodies = false` where bodies may not be stored at all.",
  },
  admit = {
    title = "Admit", keys = { "is_enabled" }, codes = "`disabled`, `invalid_input`",
    text = "Refuses a disabled integration, checks the input against the schema, fills in defaults and lets "
      .. "`prepare` put it in its final form. A chain of `ctx.call` that comes back to the same operation with "
      .. "the same input, or is more than 8 deep, ends here.",
    advice = "Do in `prepare` whatever makes two inputs the same question: it decides the cache key.",
  },
  trial = {
    title = "Trial", keys = { "reload_rollback" }, codes = "none of its own",
    text = "Counts the first 20 calls of a version that a reload has put in force. When 5 of them fail by the "
      .. "script's own fault (`script_error`, `script_timeout`, `out_of_memory`), the version before serves again, "
      .. "until the file changes. Answers from the cache, shared answers and refusals do not count; handlers of "
      .. "webhooks do.",
    advice = "Turn it on where files are changed while the service is used.",
  },
  conceal = {
    title = "Conceal", codes = "none of its own",
    text = "Gives what was kept, or the operation's `fallback`, in place of a failure of the third party.",
    advice = "A `fallback` suits answers that are better than none: a default, a coarser source inside the "
      .. "same process. Where a wrong answer is worse than an error, give none.",
  },
  deadline = {
    title = "Deadline", keys = { "total_timeout_seconds", "timeout_seconds" }, codes = "`timeout`",
    text = "Bounds the whole call, waits included. `X-Timeout-Ms` can only shorten it; a call made by a "
      .. "script ends with the call around it. What is under way then is cancelled with its connection.",
    advice = "Keep `total_timeout_seconds` below what your callers wait for, and `timeout_seconds` low enough "
      .. "for two attempts to fit.",
  },
  cache = {
    title = "Cache",
    keys = { "cache_enabled", "cache_ttl_seconds", "cache_stale_seconds", "cache_keep_seconds",
      "cache_negative_seconds" },
    metrics = { "cache_requests_total", "cache_bytes", "cache_max_bytes", "cache_entries", "cache_evictions_total",
      "cache_refused_total" }, codes = "`not_found`, where that is kept",
    text = "For operations with `cache`: a fresh answer ends the call here and takes no token, also while the "
      .. "breaker is open. The key is made "
      .. "of the operation and its prepared input, `base_url`, `extra_config` and `cache.version`. Inside "
      .. "`cache_stale_seconds` after its expiry an answer is still given at once, while one call behind it "
      .. "refreshes it with a token that is free. `Cache-Control: no-cache` skips the look-up. A run that began "
      .. "before a deletion is not kept. All workers share `cache_limit_mb`.",
    advice = "Start with the longest age that your users accept as `cache_ttl_seconds`; add `cache_stale_seconds` "
      .. "where latency matters more than age; set `cache_negative_seconds` where clients ask again and again "
      .. "for what does not exist.",
  },
  breaker = {
    title = "Breaker",
    keys = { "circuit_breaker_enabled", "circuit_breaker_failure_threshold", "circuit_breaker_timeout_seconds",
      "circuit_breaker_half_open_calls", "circuit_breaker_window_seconds", "circuit_breaker_failure_rate",
      "slow_call_ms" },
    metrics = { "breaker_state", "breaker_transitions_total" }, codes = "`circuit_open` with `Retry-After`",
    text = "Refuses while the breaker is open. It opens at so many failures in a row, or at a share of failures "
      .. "or of slow calls in a sliding window. After its time it is half-open: a few probes decide. A probe is a "
      .. "lease with a deadline, so that the breaker sticks in no state. The permit is taken when a request is "
      .. "about to leave: a cached answer, or a call that sends nothing, says nothing about the third party.",
    advice = "The threshold suits calls that come now and then; at hundreds a minute a rate says more: set both "
      .. "`circuit_breaker_window_seconds` and `circuit_breaker_failure_rate`. It weighs from ten verdicts in the "
      .. "window on. With them `slow_call_ms`, the time at which waiting is worse than failing, opens it at the "
      .. "same share of slow calls; without them it does nothing.",
  },
  singleflight = {
    title = "Single flight", codes = "`overloaded` past its bounds",
    text = "Concurrent calls of a cached operation with the same key, over all workers, share one run. It is a "
      .. "task of its own: a caller whose deadline has come leaves alone, and the run ends with its last caller. "
      .. "One set of tokens, one verdict for the breaker, one row a call; only the row of the call that "
      .. "began it tells of the requests.",
    advice = "Nothing to set: `cache` on the operation turns it on. With `cache_ttl_seconds = 0` no answer is "
      .. "fresh and calls still share; `cache_enabled = false` and `Cache-Control: no-cache` do not share.",
  },
  concurrency = {
    title = "Concurrency", keys = { "max_concurrency" }, codes = "`overloaded` with `Retry-After`",
    text = "So many calls run at a time; further ones wait in arrival order, up to "
      .. "`rate_limit_max_wait_seconds` or the deadline, at most 1,000 of them. A call inside another of the same "
      .. "integration runs in its slot.",
    advice = "For third parties that allow so many connections, or slow down when asked in parallel.",
  },
  verdict = {
    title = "Verdict",
    text = "Tells the breaker how the call ended: one verdict a call, that of its last attempt. `upstream_error`, "
      .. "`network_error` and a request that used up `timeout_seconds` are failures; answers below 500 but 401, "
      .. "403, 408 and 429 are successes; everything else says nothing.",
  },
  retry = {
    title = "Retry", keys = { "max_retries", "retry_backoff_factor", "retry_max_delay_seconds" },
    metrics = { "retries_total" },
    text = "Tries again after a failure that may pass, if repeating can do no harm (`idempotent`) and the wait "
      .. "fits the deadline. The wait grows with each attempt and is spread; a `Retry-After` that is longer wins.",
    advice = "Mark operations `idempotent = true` whose requests carry `ctx.idempotency_key` or change nothing.",
  },
  mock = {
    title = "Mock", keys = { "is_mock_mode", "mock_error_rate", "mock_error_codes", "mock_delay_ms",
      "mock_responses" },
    text = "In mock mode (`is_mock_mode`, or `X-Mock: 1` for one call) the provider's `mock` answers in place of "
      .. "`run`. It counts as one request, and everything around it stays real.",
    advice = "`mock_error_rate` with `mock_error_codes` shows your callers what a bad day looks like.",
  },
  run = {
    title = "Run", keys = { "max_response_bytes", "http2", "allow_private_networks" },
    metrics = { "upstream_requests_total", "upstream_request_duration_seconds" },
    text = "The provider's own function, within its budget of CPU time and memory. Each request that it sends "
      .. "takes its tokens and then the breaker's permit just before it leaves.",
  },
}

-- Not a policy around the call: each request passes it.
local LIMIT = {
  title = "Limits of requests",
  keys = { "rate_limit_enabled", "rate_limit_calls_per_minute", "rate_limit_calls_per_hour", "rate_limit_burst",
    "rate_limit_max_wait_seconds", "rate_limit_queue", "rate_limit_pause_max_seconds" },
  metrics = { "rate_limited_total", "rate_limit_tokens", "rate_limit_waiting" },
  codes = "`rate_limited` with `Retry-After`",
  text = "Every request to the third party takes one token of the minute's bucket and one of the hour's, both or "
    .. "neither, waiting in arrival order over all workers. A wait that would be longer than "
    .. "`rate_limit_max_wait_seconds` or the deadline is refused at once. A third party that says when it will "
    .. "take calls again (`Retry-After` with 429 or 503, `RateLimit-*`, `X-RateLimit-*`) pauses all callers, "
    .. "never for less than it asked. A token goes back when nothing was sent.",
  advice = "Set the rates of your contract, and `rate_limit_burst` below the minute's rate where the third party "
    .. "counts shorter windows. `rate_limit_max_wait_seconds = 0` refuses rather than waits.",
}


-- What the series of a metric are told apart by.
local LABELS = {
  calls_total = "`integration`, `operation`, `outcome`", call_duration_seconds = "`integration`, `operation`",
  cache_requests_total = "`integration`, `result`",
  breaker_state = "`integration`, `state`", breaker_transitions_total = "`integration`, `state`",
  retries_total = "`integration`",
  upstream_requests_total = "`integration`, `status`", upstream_request_duration_seconds = "`integration`",
  rate_limited_total = "`integration`", rate_limit_tokens = "`integration`, `window`",
  rate_limit_waiting = "`integration`",
}


-- Metrics -------------------------------------------------------------------------------------------


-- Whoever counts describes what it counts when it is loaded.
local function load_policies()
  for _, name in ipairs(call.ORDER) do
    require("tide.policy." .. name)
  end
  require "tide.policy_state"
end


-- { type, help } of every metric, as GET /metrics gives it.
local function read_metrics(names)
  load_policies()
  for _, name in ipairs(names) do
    -- Without a cell it is not shown. One that has cells of another kind stays what it is.
    pcall(counters[name:find("_duration_seconds$") and "histogram" or "counter"], name)
  end
  local text = metrics.routes[1].handler({ generation = { integrations = {} } }).body
  local found = {}
  for name, help, kind in text:gmatch("# HELP tidegate_(%S+) ([^\n]*)\n# TYPE %S+ (%S+)") do
    found[name] = { type = kind, help = help }
  end
  return found
end


-- Sections ------------------------------------------------------------------------------------------


local function add_keys(lines, keys)
  lines[#lines + 1] = "\n| key | type | default | what it does |\n| --- | --- | --- | --- |"
  for _, name in ipairs(keys) do
    local key = assert(schema.integration_by_name[name], "no key " .. name)
    lines[#lines + 1] = configuration.row(key)
  end
end


local function add_metrics(lines, names)
  local found = read_metrics(names)
  lines[#lines + 1] = "\n| metric | labels | type | says |\n| --- | --- | --- | --- |"
  for _, name in ipairs(names) do
    local metric = assert(found[name], "no metric " .. name)
    local labels = LABELS[name] or ""
    lines[#lines + 1] = ("| `tidegate_%s` | %s | %s | %s |"):format(name, labels, metric.type, metric.help)
  end
end


local function add_section(lines, number, section)
  lines[#lines + 1] = ("## %s%s\n\n%s"):format(number and number .. ". " or "", section.title, section.text)
  if section.codes then
    lines[#lines + 1] = "\nAnswers: " .. section.codes .. "."
  end
  if section.advice then
    lines[#lines + 1] = "\n" .. section.advice
  end
  if section.keys then
    add_keys(lines, section.keys)
  end
  if section.metrics then
    add_metrics(lines, section.metrics)
  end
  lines[#lines + 1] = ""
end


--- The policies that have keys, in order, each { title, keys }.
---@return table[]
function M.sections()
  local sections = {}
  for _, name in ipairs(call.ORDER) do
    sections[#sections + 1] = POLICIES[name].keys and POLICIES[name] or nil
  end
  sections[#sections + 1] = LIMIT
  return sections
end


--- The whole page.
---@return string
function M.render()
  local lines = { INTRODUCTION }
  for number, name in ipairs(call.ORDER) do
    add_section(lines, number, assert(POLICIES[name], "docs_policies says nothing of " .. name))
  end
  add_section(lines, nil, LIMIT)
  lines[#lines + 1] = LOOKING
  lines[#lines + 1] = ACTIONS
  return (table.concat(lines, "\n"):gsub("%s+$", "")) .. "\n"
end


return M
