local t = require "tide.test"
local host = require "tide.host"
local json = require "tide.json"
local counters = require "tide.state.counters"
local errors = require "tide.errors"

local ACME = [[
local fail = require "tide.fail"
return {
  summary = "Parcel tracking",
  auth = { scheme = "bearer", secret = "api_key" },
  config = {
    base_url = "https://api.acme.example/v2",
    max_retries = 0,
    extra_config = { language = "ko" },
  },
  operations = {
    track = {
      input = {
        type = "object", required = { "parcel" },
        properties = { parcel = { type = "string", pattern = "^[0-9-]{10,12}$" } },
      },
      prepare = function(input)
        if input.parcel == "0000000000" then
          fail("invalid_input", "no parcel has this number", { pointer = "#/parcel" })
        end
        return { parcel = input.parcel:gsub("-", "") }
      end,
      run = function(ctx, input)
        local res = ctx.http.get("/parcels/{parcel}", {
          params = { parcel = input.parcel },
          query = { lang = ctx.config.extra_config.language },
        })
        return { parcel = input.parcel, state = res.json.state }
      end,
      mock = function(ctx, input)
        return { parcel = input.parcel, state = "in_transit" }
      end,
    },
    broken = { run = function() local nothing = nil; return nothing.field end },
    returns_error = { run = function() return nil, "the disk is on fire" end },
    returns_function = { run = function() return { callback = print } end },
    nothing = { run = function() end },
    outer = {
      run = function(ctx, input)
        local data, meta = ctx.call("acme", "track", { parcel = input.parcel })
        return { inner = data, attempts = meta.attempts, trace = meta.trace_id }
      end,
    },
    cycle = { run = function(ctx, input) return (ctx.call("acme", "cycle", input)) end },
    deeper = {
      run = function(ctx, input) return (ctx.call("acme", "deeper", { level = input.level + 1 })) end,
      input = { type = "object", properties = { level = { type = "integer" } } },
    },
    checked = {
      output = { type = "object", required = { "state" }, properties = { state = { type = "string" } } },
      run = function(ctx, input) return { state = 5 } end,
      input = true,
    },
    members = {
      run = function(ctx)
        return {
          integration = ctx.integration, operation = ctx.operation, trace_id = ctx.trace_id,
          attempt = ctx.attempt, mock = ctx.mock, key = ctx.idempotency_key,
          remaining = ctx.deadline,
        }
      end,
    },
    misuse = { run = function(ctx) return ctx.nonsense end },
    assigns = { run = function(ctx) ctx.trace_id = "mine" end },
    undeclared = { run = function(ctx) return ctx.secret("other") end },
    spin = { run = function() while true do pcall(function() while true do end end) end end },
    spin_first = { run = function() return {} end, prepare = function() while true do end end },
    hog = {
      run = function()
        local all = {}
        while true do all[#all + 1] = ("x"):rep(1000000) .. #all end
      end,
    },
    slow = { run = function(ctx) ctx.sleep(3600) end },
  },
}
]]


local function acme(options)
  options = options or {}
  options.source = ACME
  options.secrets = options.secrets or { api_key = "key-0123456789" }
  return t.integration("acme", options)
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function metric(line)
  local escaped = line:gsub("%p", "%%%0")
  return tonumber(counters.render():match("\n" .. escaped .. " (%S+)") or 0)
end


describe("a call", function()
  it("returns the data and the meta of the operation", function()
    local it = acme()
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    local data, meta = it.call("track", { parcel = "123-456-7890" })
    assert.same({ parcel = "1234567890", state = "delivered" }, data)
    assert.equal("acme", meta.integration)
    assert.equal("track", meta.operation)
    assert.equal(1, meta.attempts)
    assert.is_false(meta.mock)
    assert.is_false(meta.from_cache)
    assert.is_truthy(meta.trace_id:match("^%x+$"))
    assert.equal(32, #meta.trace_id)
  end)

  it("sends the credential, the query and the trace to the upstream", function()
    local it = acme()
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    local _, meta = it.call("track", { parcel = "1234567890" })
    local request = it.requests[1]
    assert.equal("Bearer key-0123456789", request.headers.authorization)
    assert.equal("ko", request.query.lang)
    assert.is_truthy(request.headers.traceparent:find("00-" .. meta.trace_id .. "-", 1, true))
  end)

  it("refuses an input that does not match the schema, with its pointer", function()
    local it = acme()
    local err = failure(it.call, "track", { parcel = "abc" })
    assert.equal("invalid_input", err.code)
    local problem = errors.problem(err)
    assert.equal("#/parcel", problem.errors[1].pointer)
    assert.equal(400, problem.status)
    assert.equal(0, problem.attempts)
    assert.equal(0, #it.requests)
  end)

  it("refuses an input that prepare refuses", function()
    local err = failure(acme().call, "track", { parcel = "0000000000" })
    assert.equal("invalid_input", err.code)
    assert.equal("#/parcel", errors.problem(err).errors[1].pointer)
  end)

  it("refuses an unknown operation and writes no row for it", function()
    local it = acme()
    local err = failure(it.call, "teleport", {})
    assert.equal("no_such_operation", err.code)
    assert.equal(0, #it.logs())
  end)

  it("refuses a disabled integration", function()
    local it = acme({ config = { is_enabled = false } })
    local err = failure(it.call, "track", { parcel = "1234567890" })
    assert.equal("disabled", err.code)
    assert.is_number(errors.problem(err).retry_after)
    assert.equal("disabled", it.logs()[1].error_type)
  end)

  it("names a missing secret and the variable that sets it", function()
    local it = acme({ secrets = {} })
    local err = failure(it.call, "track", { parcel = "1234567890" })
    assert.equal("not_configured", err.code)
    assert.is_truthy(err.message:find("api_key", 1, true))
    assert.is_truthy(err.message:find("TIDEGATE_ACME_API_KEY", 1, true))
  end)

  it("turns a mistake of the script into script_error with its line", function()
    local it = acme()
    local err = failure(it.call, "broken", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("acme.lua:%d+"), err.message)
    assert.equal("script_error", it.logs()[1].error_type)
  end)

  it("treats `return nil, err` as raising it", function()
    local err = failure(acme().call, "returns_error", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("the disk is on fire", 1, true))
  end)

  it("refuses a result that cannot be JSON", function()
    local err = failure(acme().call, "returns_function", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("JSON", 1, true))
  end)

  it("refuses a result that does not match the output schema", function()
    local err = failure(acme().call, "checked", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("#/state", 1, true))
  end)

  it("answers null where the operation returns nothing", function()
    assert.equal(json.null, (acme().call("nothing", {})))
  end)

  it("tells the script where and when it runs", function()
    local it = acme()
    local data = it.call("members", {}, { trace_id = ("ab"):rep(16), idempotency_key = "k-1" })
    assert.equal("acme", data.integration)
    assert.equal("members", data.operation)
    assert.equal(("ab"):rep(16), data.trace_id)
    assert.equal(1, data.attempt)
    assert.equal("k-1", data.key)
  end)

  it("refuses members of ctx that do not exist, and changes to it, at the script's line", function()
    local it = acme()
    local err = failure(it.call, "misuse", {})
    assert.is_truthy(err.message:find("acme.lua:%d+: ctx has no member \"nonsense\""), err.message)
    err = failure(it.call, "assigns", {})
    assert.is_truthy(err.message:find("acme.lua:%d+: ctx is read%-only"), err.message)
  end)

  it("refuses a secret that was not declared", function()
    local err = failure(acme().call, "undeclared", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("other", 1, true))
  end)

  it("is stopped when its script does not wait, and the next call runs", function()
    local it = acme()
    for _, operation in ipairs({ "spin", "spin_first" }) do
      local err = failure(it.call, operation, {})
      assert.equal("script_timeout", err.code)
      assert.equal(500, errors.problem(err).status)
    end
    assert.equal("script_timeout", it.logs()[1].error_type)
    assert.equal("acme", (it.call("members", {})).integration)
  end)

  it("is stopped when its script fills the memory, and the next call runs", function()
    local it = acme()
    collectgarbage()
    host.set_memory_limit(math.floor(collectgarbage("count") * 1024) + 16 * 1024 * 1024)
    finally(function() host.set_memory_limit(0) end)
    assert.equal("out_of_memory", failure(it.call, "hog", {}).code)
    assert.equal("acme", (it.call("members", {})).integration)
  end)

  it("ends at its deadline whatever the script waits for", function()
    local it = acme()
    local err = failure(it.call, "slow", {}, { timeout_ms = 300 })
    assert.equal("timeout", err.code)
    assert.equal(504, errors.problem(err).status)
    local row = it.logs()[1]
    assert.equal(300, row.duration_ms)
    assert.equal("timeout", row.error_type)
  end)

  it("cannot be given more time than total_timeout_seconds", function()
    local it = acme({ config = { total_timeout_seconds = 2 } })
    failure(it.call, "slow", {}, { timeout_ms = 60000 })
    assert.equal(2000, it.logs()[1].duration_ms)
  end)
end)


describe("ctx.call", function()
  it("is a call of its own inside the caller's trace", function()
    local it = acme()
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    local data, meta = it.call("outer", { parcel = "1234567890" })
    assert.equal("delivered", data.inner.state)
    assert.equal(meta.trace_id, data.trace)
    local rows = it.logs()
    assert.equal(2, #rows)
    assert.equal("track", rows[1].operation)
    assert.equal("outer", rows[2].operation)
    assert.equal(rows[1].trace_id, rows[2].trace_id)
  end)

  it("is not repeated by the outer call when it fails", function()
    local it = acme({ config = { max_retries = 1 } })
    it.upstream("GET /v2/parcels/1234567890", { status = 500 })
    local err = failure(it.call, "outer", { parcel = "1234567890" })
    assert.equal("upstream_error", err.code)
    assert.equal("track", err.operation)
    assert.equal(2, #it.requests)
  end)

  it("fails at once when a chain of calls comes back to where it was", function()
    local err = failure(acme().call, "cycle", { parcel = "x" })
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("call cycle", 1, true))
  end)

  it("goes at most eight deep", function()
    local it = acme()
    local err = failure(it.call, "deeper", { level = 1 })
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("8 deep", 1, true))
    assert.equal(9, #it.logs())
  end)

  it("ends with the deadline of the call around it, and leaves a row", function()
    local outer = [[
return { operations = { wait = { run = function(ctx) return (ctx.call("acme", "slow", {})) end } } }
]]
    local it = t.integration("outer", { source = outer, also = { acme = { source = ACME } } })
    local err = failure(it.call, "wait", {}, { timeout_ms = 500 })
    assert.equal("timeout", err.code)
    local rows = it.logs()
    assert.equal(2, #rows)
    for _, row in ipairs(rows) do
      assert.equal("timeout", row.error_type)
    end
  end)
end)


describe("mock mode", function()
  it("property 43: mock responses are returned instead of real calls", function()
    local it = acme({ config = { is_mock_mode = true }, secrets = {} })
    local data, meta = it.call("track", { parcel = "1234567890" })
    assert.equal("in_transit", data.state)
    assert.is_true(meta.mock)
    assert.equal(0, #it.requests)
  end)

  it("property 44: the mock answer follows from the input", function()
    local it = acme({ config = { is_mock_mode = true } })
    for _ = 1, 20 do
      local parcel = string.format("%010d", math.random(1, 9999999999))
      assert.equal(parcel, (it.call("track", { parcel = parcel })).parcel)
    end
  end)

  it("property 46: the row says that the call was a mock", function()
    local it = acme({ config = { is_mock_mode = true } })
    it.call("track", { parcel = "1234567890" })
    local row = it.logs()[1]
    assert.is_true(row.is_mock)
    assert.equal("MOCK", row.request_method)
    assert.equal("mock://acme/track", row.request_url)
    assert.same({ parcel = "1234567890" }, json.decode(row.request_body))
  end)

  it("can be asked for by one call", function()
    local it = acme()
    local _, meta = it.call("track", { parcel = "1234567890" }, { mock = true })
    assert.is_true(meta.mock)
    assert.equal(0, #it.requests)
  end)

  it("validates the input as always", function()
    local it = acme({ config = { is_mock_mode = true } })
    assert.equal("invalid_input", failure(it.call, "track", { parcel = "abc" }).code)
  end)

  it("fails at the configured rate, and is retried like the real thing", function()
    local it = acme({ config = { is_mock_mode = true, mock_error_rate = 1, max_retries = 2 } })
    local err = failure(it.call, "track", { parcel = "1234567890" })
    assert.equal("upstream_error", err.code)
    assert.equal(3, err.attempts)
  end)

  it("takes as long as configured", function()
    local it = acme({ config = { is_mock_mode = true, mock_delay_ms = 250 } })
    local _, meta = it.call("track", { parcel = "1234567890" })
    assert.equal(250, meta.duration_ms)
  end)

  it("answers from mock_responses where the input matches", function()
    local it = acme({ config = { is_mock_mode = true, mock_responses = {
      track = { { input = { parcel = "1111111111" }, data = { state = "lost" } } },
    } } })
    assert.equal("lost", (it.call("track", { parcel = "1111111111" })).state)
    assert.equal("in_transit", (it.call("track", { parcel = "2222222222" })).state)
  end)

  it("says so where the operation has no mock", function()
    local it = acme({ config = { is_mock_mode = true } })
    assert.equal("not_configured", failure(it.call, "members", {}).code)
  end)
end)


describe("the record of a call", function()
  it("property 1: every call has a row with provider, endpoint, duration and status", function()
    local it = acme()
    it.upstream("GET /v2/parcels/1234567890", { delay = 0.25, json = { state = "delivered" } })
    it.call("track", { parcel = "1234567890" })
    failure(it.call, "track", { parcel = "abc" })
    failure(it.call, "broken", {})
    local rows = it.logs()
    assert.equal(3, #rows)
    assert.equal("acme", rows[1].integration_name)
    assert.equal("api", rows[1].integration_type)
    assert.equal("track", rows[1].operation)
    assert.equal(250, rows[1].duration_ms)
    assert.equal(200, rows[1].response_status)
    assert.is_true(rows[1].is_success)
    assert.is_false(rows[2].is_success)
    assert.equal("invalid_input", rows[2].error_type)
    assert.equal("script_error", rows[3].error_type)
  end)

  it("property 2: every call is counted and timed by outcome", function()
    local it = acme()
    local ok = 'tidegate_calls_total{integration="acme",operation="track",outcome="ok"}'
    local bad = 'tidegate_calls_total{integration="acme",operation="track",outcome="invalid_input"}'
    local count = 'tidegate_call_duration_seconds_count{integration="acme",operation="track"}'
    local upstream = 'tidegate_upstream_requests_total{integration="acme",status="200"}'
    local before = { metric(ok), metric(bad), metric(count), metric(upstream) }
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    it.call("track", { parcel = "1234567890" })
    failure(it.call, "track", { parcel = "abc" })
    assert.equal(before[1] + 1, metric(ok))
    assert.equal(before[2] + 1, metric(bad))
    assert.equal(before[3] + 2, metric(count))
    assert.equal(before[4] + 1, metric(upstream))
  end)

  it("property 36: an error says where it happened", function()
    local it = acme()
    it.upstream("GET /v2/parcels/1234567890", { status = 502 })
    local err = failure(it.call, "track", { parcel = "1234567890" })
    local problem = errors.problem(err)
    assert.equal("acme", problem.integration)
    assert.equal("track", problem.operation)
    assert.equal(1, problem.attempts)
    assert.equal(502, problem.upstream_status)
    assert.equal(32, #problem.trace_id)
    assert.is_truthy(problem.detail:find("GET /parcels/{parcel} answered 502", 1, true))
  end)

  it("property 37: an error leaves an entry with its whole context", function()
    local it = acme({ config = { max_retries = 1 } })
    it.upstream("GET /v2/parcels/1234567890", { status = 502, json = { reason = "upgrade" } })
    failure(it.call, "track", { parcel = "1234567890" }, { caller = "shop",
      user_id = "0190a0b0-0000-7000-8000-000000000001" })
    local row = it.logs()[1]
    assert.is_false(row.is_success)
    assert.equal("upstream_error", row.error_type)
    assert.is_truthy(row.error_message:find("502", 1, true))
    assert.equal(502, row.response_status)
    assert.equal("shop", row.caller)
    assert.equal("0190a0b0-0000-7000-8000-000000000001", row.user_id)
    assert.equal(1, row.retry_count)
    local attempts = json.decode(row.attempts)
    assert.equal(2, #attempts)
    assert.equal("upstream_error", attempts[1].error.code)
    assert.equal(502, attempts[1].requests[1].status)
    assert.is_true(attempts[2].waited_ms >= 500)
  end)

  it("says which policy refused a call that was never attempted", function()
    local it = acme()
    failure(it.call, "track", { parcel = "abc" })
    local attempts = json.decode(it.logs()[1].attempts)
    assert.equal("validate", attempts[1].policy)
  end)

  it("has no bodies where log_bodies is off", function()
    local it = acme({ config = { log_bodies = false } })
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    it.call("track", { parcel = "1234567890" })
    assert.is_nil(it.logs()[1].response_body)
    assert.is_string(it.logs()[1].response_headers)
  end)

  it("is written for failures only where log_calls says so", function()
    local it = acme({ config = { log_calls = "failed" } })
    it.upstream("GET /v2/parcels/1234567890", { json = { state = "delivered" } })
    it.call("track", { parcel = "1234567890" })
    assert.equal(0, #it.logs())
    failure(it.call, "track", { parcel = "abc" })
    assert.equal(1, #it.logs())
  end)
end)
