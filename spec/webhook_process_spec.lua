-- Step 4 of a webhook, against the real service: runs, retries, time-outs, crashes.

local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local webhooks = require "spec.support.webhooks"


describe("processing webhook events", function()
  local acme
  local HANDLERS = [[
    ["ok"] = function(ctx, event) return { n = event.payload.n } end,
    ["nothing"] = function() end,
    ["boom"] = function(ctx, event) error("boom " .. event.attempt) end,
    ["flaky"] = function(ctx, event)
      if event.attempt < event.payload.good then error("not yet") end
      return { attempt = event.attempt, ctx_attempt = ctx.attempt }
    end,
    ["hopeless"] = function() fail("rejected", "never", { retryable = false }) end,
    ["later"] = function(ctx, event)
      if event.attempt == 1 then fail("unavailable", "come back", { retry_after = event.payload.after }) end
      return true
    end,
    ["returned"] = function() return nil, "as an error" end,
    ["loop"] = function() while true do end end,
    ["sleep"] = function(ctx, event) ctx.sleep(event.payload.seconds) return "slept" end,
    ["odd"] = function() return { fn = print } end,
    ["spoilt"] = function(ctx, event)
      local _, err = pcall(fail, "rejected", "as it was")
      for name, value in pairs(event.payload.with) do err[name] = value end
      error(err, 0)
    end,
    ["huge"] = function() return ("x"):rep(2 * 1024 * 1024) end,
    ["parcel.*"] = function(ctx, event) return "prefix" end,
    ["parcel.delivered.*"] = function(ctx, event) return "longer prefix" end,
    ["parcel.lost"] = function(ctx, event) return "exact" end,
    ["parcel.dull"] = false,
    ["call"] = function(ctx, event)
      local data = ctx.call("acme", "send", { to = event.payload.to })
      if event.attempt < 3 then error("after the call") end
      return data
    end,
    ["get"] = function(ctx, event)
      local seen = ctx.http.get("/seen").json
      return { trace = seen.trace, own = ctx.trace_id }
    end,
  ]]


  local function start(config, options, more)
    acme = webhooks.start({ ["providers/acme.lua"] = webhooks.provider(HANDLERS, more):gsub('summary = "Acme",', [[
      summary = "Acme",
      operations = { send = { idempotent = false,
        input = { type = "object", properties = { to = { type = "string" } } },
        run = function(ctx, input) return { said = ctx.http.post("/send", { json = input }).json.n } end } },
    ]]) }, { config = config, workers = options and options.workers or 2, top = options and options.top })
    return acme
  end


  after_each(function()
    if acme then acme:close() end
    acme = nil
  end)


  it("property 52: retries a failure after each delay in turn, then fails it for good and raises an alert", function()
    start "webhook_retry_seconds = { 0.1, 0.2, 0.3 }"
    local id = acme:post { type = "boom", id = "b1" }
    local event = acme:await(id, "failed")
    assert.same({ 4, 3 }, { event.attempts, event.retry_count })
    assert.same({ "script_error", json.null }, { event.error_type, event.next_attempt_at })
    assert.truthy(event.error_message:find("providers/acme.lua:%d+: boom 4"))
    assert.equal(4, #event.attempt_log)
    for index, run in ipairs(event.attempt_log) do
      assert.equal(index, run.number)
      assert.truthy(run.traceback:find("providers/acme.lua", 1, true))
      if index > 1 then
        local waited = time.parse(run.started_at) - time.parse(event.attempt_log[index - 1].started_at)
        local planned = ({ 0.1, 0.2, 0.3 })[index - 1]
        assert.is_true(waited >= planned * 0.8 - 0.01 and waited < planned * 1.2 + 0.5, waited)
      end
    end
    local _, alerts = acme.service:request("GET", "/api/v1/alerts?kind=webhook_failed")
    assert.same({ 1, "acme" }, { #alerts.data, alerts.data[1].integration_name })
    assert.equal(3, acme:metric('tidegate_webhook_runs_total{integration="acme",outcome="retried"}'))
    assert.equal(1, acme:metric('tidegate_webhook_runs_total{integration="acme",outcome="failed"}'))
  end)


  it("property 53: keeps a row of each event, with its outcome and its timings", function()
    start "webhook_retry_seconds = { 0.05, 0.05 }"
    local event = acme:await(acme:post { type = "flaky", id = "f1", good = 3 }, "completed")
    assert.same({ attempt = 3, ctx_attempt = 3 }, event.processing_result)
    assert.same({ json.null, json.null }, { event.error_type, event.error_message })
    assert.equal(2, #event.attempt_log)
    assert.is_true(event.started_at >= event.created_at and event.processed_at >= event.started_at)
    assert.is_true(event.duration_ms >= 0)
    assert.equal(12, #event.provider_version)
    event = acme:await(acme:post { type = "nothing", id = "n1" }, "completed")
    assert.equal(json.null, event.processing_result)
  end)


  it("gives up at once when the handler says so, and waits as long as it says", function()
    start "webhook_retry_seconds = { 30, 30 }"
    local event = acme:await(acme:post { type = "hopeless", id = "h1" }, "failed")
    assert.same({ 1, "rejected" }, { event.attempts, event.error_type })
    event = acme:await(acme:post { type = "later", id = "l1", after = 0.2 }, "completed")
    assert.equal(2, event.attempts)
    local id = acme:post { type = "returned", id = "r1" }
    local waiting = webhooks.wait("the first failure", function()
      local seen = acme:event(id)
      return seen.status == "pending" and seen.error_message ~= json.null and seen
    end)
    assert.truthy(waiting.error_message:find("as an error", 1, true))
    local left = time.parse(waiting.next_attempt_at) - time.now()
    assert.is_true(left > 20 and left < 36.5, left)
  end)


  it("waits no longer than webhook_retry_seconds could, whatever was asked for", function()
    start "webhook_retry_seconds = { 30 }"
    for index, after in ipairs { 604801, 1e12, 1e300 } do
      local id = acme:post { type = "later", id = "long" .. index, after = after }
      local waiting = webhooks.wait("the failure", function()
        local seen = acme:event(id)
        return seen.status == "pending" and seen.error_message ~= json.null and seen
      end)
      assert.equal("unavailable", waiting.error_type)
      local left = time.parse(waiting.next_attempt_at) - time.now()
      assert.is_true(left > 604700 and left <= 604800, left)
    end
  end)


  it("stops a handler that never returns, and goes on with others meanwhile", function()
    start("webhook_retry_seconds = {}, webhook_timeout_seconds = 2", { top = "script_timeout_ms = 100," })
    local loop = acme:post { type = "loop", id = "loop" }
    local sleep = acme:post { type = "sleep", id = "sleep", seconds = 60 }
    local ok = acme:post { type = "ok", id = "ok", n = 1 }
    assert.is_true(acme:await(ok, "completed").duration_ms < 300)
    assert.equal("script_timeout", acme:await(loop, "failed").error_type)
    assert.equal("timeout", acme:await(sleep, "failed").error_type)
  end)


  it("fails what cannot be stored as a result", function()
    start "webhook_retry_seconds = {}"
    for _, kind in ipairs { "odd", "huge" } do
      local event = acme:await(acme:post { type = kind, id = kind }, "failed")
      assert.truthy(event.error_message:find("cannot be stored as JSON", 1, true))
    end
  end)


  it("tells an error that the handler has spoilt", function()
    start "webhook_retry_seconds = {}"
    for index, with in ipairs {
      { message = { 1 } }, { code = "nonsense" }, { traceback = 7 }, { message = 7, retry_after = {} },
      { message = ("x"):rep(100000) },
    } do
      local event = acme:await(acme:post { type = "spoilt", id = "s" .. index, with = with }, "failed")
      assert.equal(with.code and "script_error" or "rejected", event.error_type)
      assert.is_true(#event.error_message < 5000)
    end
  end)


  it("finds the handler by type, then by the longest prefix", function()
    start ""
    for kind, expected in pairs {
      ["parcel.lost"] = "exact", ["parcel.scanned"] = "prefix", ["parcel.delivered.late"] = "longer prefix",
      ["parcel.dull"] = json.null,
    } do
      assert.equal(expected, acme:await(acme:post { type = kind, id = kind }, "completed").processing_result)
    end
    assert.equal("failed", acme:event(acme:post { type = "parcels", id = "none" }).status)
  end)


  it("runs no more at a time than webhook_concurrency, over all workers", function()
    start "webhook_concurrency = 3"
    local ids = {}
    for index = 1, 9 do
      ids[index] = acme:post({ type = "sleep", id = "s" .. index, seconds = 0.4 }, { fresh_connection = true })
    end
    local spans = {}
    for index, id in ipairs(ids) do
      local event = acme:await(id, "completed")
      spans[index] = { time.parse(event.started_at), time.parse(event.started_at) + event.duration_ms / 1000 - 0.01 }
    end
    for _, span in ipairs(spans) do
      local beside = 0
      for _, other in ipairs(spans) do
        beside = beside + (other[1] <= span[1] and other[2] > span[1] and 1 or 0)
      end
      assert.is_true(beside <= 3, beside)
    end
  end)


  it("takes events that were waiting, or running, when the process was killed", function()
    start("webhook_concurrency = 2, webhook_retry_seconds = { 0.1 }")
    local ids = {}
    for index = 1, 30 do
      ids[index] = acme:post { type = "sleep", id = "k" .. index, seconds = 0.02 }
    end
    acme.service:stop("KILL")
    acme:restart()
    for _, id in ipairs(ids) do
      local event = acme:await(id, "completed")
      assert.is_true(event.attempts >= 1 and event.attempts <= 2)
    end
  end)


  it("ends what runs and puts back what does not, when it is told to stop", function()
    start("webhook_concurrency = 2")
    local ids = {}
    for index = 1, 12 do
      ids[index] = acme:post { type = "sleep", id = "d" .. index, seconds = 0.3 }
    end
    assert.equal(0, acme.service:stop("TERM"))
    local rows = acme.project:query("SELECT DISTINCT status, attempts FROM webhook_events")
    for _, row in ipairs(rows) do
      assert.not_equal("processing", row.status)
      assert.equal(row.status == "completed" and 1 or 0, row.attempts)
    end
    acme:restart()
    for _, id in ipairs(ids) do
      assert.equal(1, acme:await(id, "completed").attempts)
    end
  end)


  it("leaves nothing in between when it ends before its handlers do", function()
    start("webhook_concurrency = 2", { top = "drain_seconds = 1," })
    for index = 1, 6 do
      acme:post { type = "sleep", id = "l" .. index, seconds = 30 }
    end
    assert.equal(0, acme.service:stop("TERM"))
    assert.same({ { status = "pending", retry_count = 0, a = 2, n = 6 } }, acme.project:query(
      "SELECT status, retry_count, sum(attempts) AS a, count(*) AS n FROM webhook_events GROUP BY status, retry_count"))
  end)


  it("gives up an event that was there whenever the process ended", function()
    start("webhook_retry_seconds = { 0.1, 0.1 }")
    local id = acme:post { type = "sleep", id = "poison", seconds = 30 }
    for _ = 1, 4 do
      webhooks.wait("the run", function() return acme:event(id).status == "processing" end)
      acme.service:stop("KILL")
      acme:restart()
    end
    local event = acme:event(id)
    assert.equal("failed", event.status)
    assert.truthy(event.error_message:find("the process ended 4 times", 1, true))
  end)


  describe("with a third party", function()
    local server = require "tide.server"
    local listener, posts, traces

    before_each(function()
      posts, traces = {}, {}
      listener = assert(server.listen("127.0.0.1:0", function(request)
        traces[#traces + 1] = request:header("traceparent")
        if request.method == "POST" then
          posts[#posts + 1] = request.body
        end
        request:respond(200, { "Content-Type", "application/json" }, json.encode {
          n = #posts, trace = (request:header("traceparent") or ""):match("^00%-(%x+)%-"),
        })
      end))
    end)

    after_each(function() listener:close() end)


    it("calls it with the event's trace", function()
      start(('base_url = "http://%s"'):format(listener.address))
      local event = acme:await(acme:post { type = "get", id = "g1" }, "completed")
      assert.same({ trace = event.trace_id, own = event.trace_id }, event.processing_result)
    end)


    it("makes a call that may not run again once for an event, however often the handler runs", function()
      start(('base_url = "http://%s", webhook_retry_seconds = { 0.1, 0.1, 0.1 }'):format(listener.address))
      local event = acme:await(acme:post { type = "call", id = "c1", to = "a" }, "completed")
      assert.same({ 3, { said = 1 }, 1 }, { event.attempts, event.processing_result, #posts })
      event = acme:await(acme:post { type = "call", id = "c2", to = "a" }, "completed")
      assert.same({ { said = 2 }, 2 }, { event.processing_result, #posts })
    end)


    it("takes a token of the limit for each request", function()
      start(('base_url = "http://%s", rate_limit_calls_per_minute = 2, rate_limit_max_wait_seconds = 0, '
        .. 'webhook_retry_seconds = {}'):format(listener.address))
      acme:await(acme:post { type = "get", id = "t1" }, "completed")
      acme:await(acme:post { type = "get", id = "t2" }, "completed")
      assert.equal("rate_limited", acme:await(acme:post { type = "get", id = "t3" }, "failed").error_type)
    end)
  end)


  it("stores and pauses while the handlers keep failing, says so, and goes on when they work", function()
    start("webhook_retry_seconds = { 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2 }")
    for index = 1, 25 do
      acme:post { type = "boom", id = "p" .. index }
    end
    local reasons = webhooks.wait("health to say so", function()
      local _, health = acme.service:request("GET", "/health")
      return health.status == "degraded" and table.concat(health.reasons, "\n")
    end)
    assert.truthy(reasons:find("acme: its webhook handlers keep failing", 1, true))
    local id = acme:post { type = "ok", id = "good", n = 1 }
    assert.is_true(acme:event(id).status == "pending" or acme:event(id).status == "processing")
  end)


  it("runs 2,000 events that come at once, each once", function()
    start ""
    local sends = {}
    for index = 1, 2000 do
      sends[index] = function()
        acme:post { type = "ok", id = "m" .. index, n = index }
        return true
      end
    end
    task.all(sends, { limit = 64 })
    webhooks.wait("all to be completed", function()
      return acme:metric('tidegate_webhook_runs_total{integration="acme",outcome="completed"}') == 2000
    end)
    assert.same({}, acme:events "status=pending")
    assert.equal(0, acme.service:stop())
    assert.same({ { n = 2000, a = 2000 } }, acme.project:query(
      "SELECT count(*) AS n, sum(attempts) AS a FROM webhook_events WHERE status = 'completed'"))
  end)
end)
