local breaker = require "tide.state.breaker"
local bucket = require "tide.state.bucket"
local counters = require "tide.state.counters"
local host = require "tide.host"
local json = require "tide.json"
local server = require "tide.server"
local statistics = require "tide.state.statistics"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local policy_state = require "tide.policy_state"
local opened = require "spec.support.store"
local support = require "spec.support.service"


-- Under a clock that stands: what happens in other threads comes in between two turns of the loop.
local function turn_until(condition)
  repeat
    task.yield()
  until condition()
end


describe("what policies know", function()
  local made = 0
  local name, keeper


  -- A test on a clock that stands, whose keeper ends with it.
  local function kept(test)
    return function()
      host.freeze_clock()
      made = made + 1
      name = "kept_" .. made
      keeper = assert(policy_state.load { name })
      keeper:start()
      task.yield()
      local guard <close> = setmetatable({}, { __close = function()
        keeper:stop()
        store.flush()
        host.thaw_clock()
      end })
      test()
    end
  end


  setup(function()
    opened.open()
    assert(store.execute((host.asset("scripts/migrations/002_policy_state.sqlite.sql"):match("CREATE TABLE .-\n%);"))))
  end)


  teardown(function()
    assert(store.execute("DROP TABLE policy_state"))
  end)


  -- The row of a kind, its state decoded; nil when there is none.
  local function row(kind, of)
    assert(store.flush())
    local rows = assert(store.query("SELECT * FROM policy_state WHERE integration_name = $1 AND kind = $2", of or name,
      kind))
    if rows[1] then
      rows[1].state = json.decode(rows[1].state)
    end
    return rows[1]
  end


  local function write(kind, state, at, of)
    assert(store.execute("INSERT INTO policy_state (integration_name, kind, state, updated_at) VALUES ($1, $2, $3, $4) "
      .. "ON CONFLICT (integration_name, kind) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
      of or name, kind, state, at))
  end


  local function open(cell)
    for _ = 1, 5 do
      cell:permit(5):failure(0.1)
    end
  end


  -- A name that nobody has used, as after a restart, with the rows of this one.
  local function restart()
    local fresh = name .. "_again"
    for _, kind in ipairs({ "breaker", "limiter" }) do
      local saved = row(kind)
      if saved then
        write(kind, json.encode(saved.state), saved.updated_at, fresh)
      end
    end
    return fresh
  end


  it("is saved with each change of a breaker", kept(function()
    local cell = breaker.cell(name)
    assert.is_nil(row("breaker"))
    open(cell)
    turn_until(function() return row("breaker") end)
    assert.equal("open", row("breaker").state.state)
    host.advance_clock(60.1)
    local probe = cell:permit(5)
    turn_until(function() return row("breaker").state.state == "half_open" end)
    probe:success(0.1)
    turn_until(function() return row("breaker").state.state == "closed" end)
    cell:set_mode("open")
    turn_until(function() return row("breaker").state.mode == "open" end)
  end))


  it("keeps a breaker open for what is left of its time, over a restart", kept(function()
    open(breaker.cell(name))
    turn_until(function() return row("breaker") end)
    local fresh = restart()
    host.advance_clock(20)
    assert(keeper:add { fresh })
    local state, retry_after = breaker.cell(fresh):state()
    assert.equal("open", state)
    assert.is_true(math.abs(retry_after - 40) < 0.1, tostring(retry_after))
    host.advance_clock(40.1)
    assert.equal("half_open", (breaker.cell(fresh):state()))
  end))


  it("keeps a breaker no longer open than is configured, when the clock was set back", kept(function()
    write("breaker", '{"state":"open","mode":"auto","opened_ago_seconds":1}', time.format(time.now() + 86400))
    local fresh = restart()
    assert(keeper:add { fresh })
    local state, retry_after = breaker.cell(fresh):state()
    assert.equal("open", state)
    assert.is_true(retry_after <= 60)
  end))


  it("keeps a mode over a restart", kept(function()
    breaker.cell(name):set_mode("closed")
    turn_until(function() return row("breaker") end)
    local fresh = restart()
    assert(keeper:add { fresh })
    assert.equal("closed", breaker.cell(fresh):mode())
  end))


  it("has tokens every few seconds, and a pause at once", kept(function()
    local limiter = bucket.limiter(name)
    limiter:configure { per_minute = 60, per_hour = 1000 }
    for _ = 1, 30 do
      assert.is_true(limiter:try())
    end
    assert.is_nil(row("limiter"))
    host.advance_clock(5.1)
    turn_until(function() return row("limiter") end)
    local before = row("limiter").state
    limiter:pause(100, 3600)
    turn_until(function() return row("limiter").state ~= before end)
    local fresh = restart()
    host.advance_clock(10)
    bucket.limiter(fresh):configure { per_minute = 60, per_hour = 1000 }
    assert(keeper:add { fresh })
    local state = bucket.limiter(fresh):state()
    assert.is_true(math.abs(state.pause_seconds - 90) < 0.1, tostring(state.pause_seconds))
    assert.is_true(math.abs(state.minute - 45) < 0.2, tostring(state.minute))
  end))


  it("is saved whole when it stops", kept(function()
    breaker.cell(name):permit(5):failure(0.1)
    keeper:stop()
    assert.equal(1, row("breaker").state.consecutive_failures)
    assert.is_nil(row("breaker", name .. "/mock"))
  end))


  it("of mock mode is not kept, nor counted", kept(function()
    local before = statistics.snapshot(name):get().breaker_opened
    open(breaker.cell(name .. "/mock"))
    breaker.cell(name):set_mode("observe")
    turn_until(function() return row("breaker") end)
    assert.is_nil(row("breaker", name .. "/mock"))
    assert.equal(before, statistics.snapshot(name):get().breaker_opened)
    assert.not_matches(('breaker_transitions_total{integration="%s'):format(name), counters.render(), 1, true)
  end))


  it("is counted as a transition, but not as an opening, while a breaker only observes", kept(function()
    local cell = breaker.cell(name)
    cell:set_mode("observe")
    open(cell)
    turn_until(function()
      return counters.render():find(('breaker_transitions_total{integration="%s",state="open"} 1'):format(name), 1,
        true)
    end)
    turn_until(function() return row("breaker").state.state == "open" end)
    assert.equal("observe", row("breaker").state.mode)
    assert.equal(0, statistics.snapshot(name):get().breaker_opened)
  end))


  it("is saved a little later when changes came too fast to be told one by one", kept(function()
    local before = breaker.dropped()
    for _ = 1, 1100 do
      breaker.cell(name .. "/mock"):set_mode("auto")
    end
    open(breaker.cell(name))
    assert.is_true(breaker.dropped() > before)
    task.yield()
    assert.is_nil(row("breaker"))
    host.advance_clock(5.1)
    turn_until(function() return row("breaker") end)
    assert.equal("open", row("breaker").state.state)
  end))


  it("is read once: what happened since is not undone", kept(function()
    write("breaker", '{"state":"open","mode":"open"}', time.format())
    assert(keeper:add { name })
    assert.equal("closed", (breaker.cell(name):state()))
    assert.equal("auto", breaker.cell(name):mode())
  end))


  it("that cannot be read is as good as none", kept(function()
    for index, text in ipairs({ "no json", "[]", "7", '"x"', '{"opened_ago_seconds":"x","state":"open"}', "null" }) do
      local fresh = ("%s_bad_%d"):format(name, index)
      write("breaker", text, time.format(), fresh)
      write("limiter", text, time.format(), fresh)
      write("something newer", text, time.format(), fresh)
      assert(keeper:add { fresh })
      assert.equal("closed", (breaker.cell(fresh):state()))
    end
    local fresh = name .. "_bad_time"
    write("breaker", '{"state":"open"}', "yesterday", fresh)
    assert(keeper:add { fresh })
    assert.equal("closed", (breaker.cell(fresh):state()))
  end))


  it("is counted: transitions, and openings by integration", kept(function()
    local cell = breaker.cell(name)
    open(cell)
    host.advance_clock(60.1)
    cell:permit(5):success(0.1)
    turn_until(function()
      return counters.render():find(('breaker_transitions_total{integration="%s",state="closed"} 1'):format(name), 1,
        true)
    end)
    for _, state in ipairs({ "open", "half_open" }) do
      assert.matches(('breaker_transitions_total{integration="%s",state="%s"} 1\n'):format(name, state),
        counters.render(), 1, true)
    end
    assert.equal(1, statistics.snapshot(name):get().breaker_opened)
  end))
end)


describe("a service that is started again", function()
  local project, upstream, requests


  before_each(function()
    requests = 0
    upstream = assert(server.listen("127.0.0.1:0", function(request)
      requests = requests + 1
      local status = math.tointeger(tonumber(request.path:match("%d+$")))
      request:respond(status, status == 429 and { "Retry-After", "300" } or nil, "{}")
    end))
    project = support.project {
      ["config.lua"] = ("return { integrations = { acme = { base_url = 'http://%s', max_retries = 0 } } }")
        :format(upstream.address),
      ["providers/acme.lua"] = [[return { operations = {
        get = { input = true, run = function(ctx, input) return ctx.http.get("/" .. input.status).json end } } }]],
    }
  end)


  after_each(function()
    project:close()
    upstream:close()
  end)


  local function code_of(service, status)
    local _, answer = service:call("acme", "get", { status = status })
    return answer.code, answer.retry_after
  end


  local function metric(service, labels)
    local _, text = service:request("GET", "/metrics")
    return tonumber(text:match("\ntidegate_" .. labels:gsub("%p", "%%%0") .. " (%S+)\n"))
  end


  -- The first line of the log with these words, decoded.
  local function logged(service, words)
    return json.decode(support.wait("the log", function()
      for line in service:stdout():gmatch("([^\n]*)\n") do
        if line:find(words, 1, true) then
          return line
        end
      end
    end))
  end


  local function saved_breaker()
    return json.decode(project:query("SELECT state FROM policy_state WHERE kind = 'breaker'")[1].state)
  end


  it("has its breakers as they were, and says so in the metrics and in the log", function()
    local service = project:serve { workers = 2 }
    for _ = 1, 5 do
      assert.equal("upstream_error", (code_of(service, 500)))
    end
    assert.equal("circuit_open", (code_of(service, 500)))
    assert.equal(1, metric(service, 'breaker_state{integration="acme",state="open"}'))
    assert.equal(0, metric(service, 'breaker_state{integration="acme",state="closed"}'))
    assert.equal("warn", logged(service, "circuit breaker opened").level)
    assert.equal(0, service:stop())
    local again = project:serve { workers = 2 }
    local code, retry_after = code_of(again, 200)
    assert.equal("circuit_open", code)
    assert.is_true(retry_after <= 60)
    assert.equal(5, requests)
    assert.equal(200, (again:request("PUT", "/api/v1/integrations/acme/breaker", { json = { mode = "auto" } })))
    assert.is_nil((code_of(again, 200)))
    assert.equal(0, again:stop())
    assert.equal("closed", saved_breaker().state)
  end)


  it("goes on observing, and refuses nothing", function()
    local service = project:serve()
    assert.equal(200, (service:request("PUT", "/api/v1/integrations/acme/breaker", { json = { mode = "observe" } })))
    for _ = 1, 6 do
      assert.equal("upstream_error", (code_of(service, 500)))
    end
    local line = logged(service, "circuit breaker would have opened")
    assert.same({ "warn", "acme", "observe" }, { line.level, line.integration, line.mode })
    assert.equal(0, service:stop())
    local again = project:serve()
    assert.equal("upstream_error", (code_of(again, 500)))
    assert.equal(1, metric(again, 'breaker_state{integration="acme",state="open"}'))
  end)


  it("after it was killed has what was saved when it happened", function()
    local service = project:serve()
    assert.equal("rate_limited", (code_of(service, 429)))
    assert.equal(200, (service:request("PUT", "/api/v1/integrations/acme/breaker", { json = { mode = "closed" } })))
    support.wait("the mode to be queued", function()
      return service:stdout():find("circuit breaker mode changed", 1, true)
    end)
    -- Whatever was queued before a new token is committed with it.
    assert.equal(201, (service:request("POST", "/api/v1/tokens", { json = { name = "x", role = "viewer" } })))
    service:stop("KILL")
    local again = project:serve()
    local code, retry_after = code_of(again, 200)
    assert.equal("rate_limited", code)
    assert.is_true(retry_after > 250 and retry_after <= 300, tostring(retry_after))
    assert.equal(0, again:stop())
    assert.equal("closed", saved_breaker().mode)
  end)


  it("takes up the tokens of its limits where they were", function()
    local service = project:serve()
    for _ = 1, 30 do
      assert.is_nil((code_of(service, 200)))
    end
    assert.equal(970, metric(service, 'rate_limit_tokens{integration="acme",window="hour"}') // 1)
    assert.equal(0, metric(service, 'rate_limit_waiting{integration="acme"}'))
    assert.equal(0, service:stop())
    local again = project:serve()
    local left = metric(again, 'rate_limit_tokens{integration="acme",window="hour"}')
    assert.is_true(left >= 970 and left < 980, tostring(left))
  end)


  it("shows in its metrics who waits for a token", function()
    project:write("config.lua", ([[return { integrations = { acme = {
      base_url = 'http://%s', rate_limit_calls_per_minute = 6, rate_limit_burst = 1 } } }]]):format(upstream.address))
    local service = project:serve()
    assert.is_nil((code_of(service, 200)))
    local waiting = task.spawn(code_of, service, 200)
    support.wait("the call to wait", function()
      return metric(service, 'rate_limit_waiting{integration="acme"}') == 1
    end)
    waiting:cancel()
  end)
end)
