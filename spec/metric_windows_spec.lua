local host = require "tide.host"
local json = require "tide.json"
local statistics = require "tide.state.statistics"
local time = require "tide.time"
local metric_windows = require "tide.metric_windows"
local support = require "spec.support.service"

local WINDOW = 300


describe("the windows of metrics", function()
  local rows, windows


  -- A test whose windows end with it.
  local function counting(test)
    return function()
      host.freeze_clock()
      rows = {}
      windows = metric_windows.start(function(row) rows[#rows + 1] = row end)
      local guard <close> = setmetatable({}, { __close = function()
        windows.task:cancel()
        host.thaw_clock()
      end })
      test()
    end
  end


  -- Seconds until the wall clock shows a whole five minutes.
  local function left()
    return WINDOW - time.now() % WINDOW
  end


  -- Into the window after this one.
  local function move_on()
    host.advance_clock(left() + 1)
  end


  it("end with every five minutes of the wall clock", counting(function()
    local cell = statistics.cell("windows_a")
    local began = time.now()
    cell:record("ok", 0.1)
    host.advance_clock(left() - 0.1)
    assert.same({}, rows)
    host.advance_clock(0.2)
    assert.equal(1, #rows)
    assert.equal(time.format(began), rows[1].metric_timestamp)
    local boundary = time.now() - time.now() % WINDOW
    for index = 1, 3 do
      cell:record("ok", 0.1)
      move_on()
      assert.equal(index + 1, #rows)
      assert.equal(time.format(boundary), rows[index + 1].metric_timestamp)
      boundary = boundary + WINDOW
    end
  end))


  it("fill every column", counting(function()
    local cell = statistics.cell("windows_b")
    move_on()
    local began = time.now() - time.now() % WINDOW
    for _ = 1, 6 do cell:record("ok", 0.1) end
    cell:record("cached", 0.001)
    cell:record("upstream_error", 0.5)
    cell:record("timeout", 2)
    cell:record("timeout", 4)
    for _ = 1, 3 do cell:count("cache_miss") end
    cell:count("cache_hit")
    cell:count("rate_limited")
    for _ = 1, 2 do cell:count("breaker_opened") end
    host.advance_clock(left() + 1)
    local row = rows[1]
    for _, name in ipairs(metric_windows.COLUMNS) do
      assert.is_not_nil(row[name], name)
    end
    assert.equal("windows_b", row.integration_name)
    assert.equal(time.format(began), row.metric_timestamp)
    assert.equal(5, row.window_minutes)
    assert.equal(10, row.total_calls)
    assert.equal(7, row.successful_calls)
    assert.equal(3, row.failed_calls)
    assert.equal(1, row.cached_calls)
    assert.near(710.1, row.avg_response_time, 1e-6)
    assert.near(100, row.p50_response_time, 1)
    assert.near(4000, row.p95_response_time, 40)
    assert.near(4000, row.p99_response_time, 40)
    assert.equal(4000, row.max_response_time)
    for _, name in ipairs { "p50_response_time", "p95_response_time", "p99_response_time", "max_response_time" } do
      assert.equal("integer", math.type(row[name]))
    end
    assert.equal(0.3, row.error_rate)
    assert.equal(2, row.timeout_count)
    assert.equal(2, row.circuit_breaker_open_count)
    assert.equal(1, row.rate_limited_count)
    assert.equal(0.25, row.cache_hit_rate)
  end))


  it("are not kept of integrations without calls", counting(function()
    statistics.cell("windows_idle")
    move_on()
    move_on()
    assert.same({}, rows)
  end))


  it("keep what happened around a call for the window in which it ends", counting(function()
    local cell = statistics.cell("windows_late")
    cell:count("cache_miss")
    move_on()
    assert.same({}, rows)
    cell:record("ok", 200)
    move_on()
    assert.equal(1, #rows)
    assert.equal(0, rows[1].cache_hit_rate)
    move_on()
    assert.equal(1, #rows)
  end))


  it("leave out what cannot be said", counting(function()
    statistics.cell("windows_bare"):record("ok", 1)
    move_on()
    assert.is_nil(rows[1].cache_hit_rate)
    assert.equal(0, rows[1].error_rate)
  end))


  it("are written as far as they have come when the service stops", counting(function()
    statistics.cell("windows_last"):record("ok", 1)
    windows:stop()
    assert.equal(1, #rows)
    assert.equal(1, rows[1].total_calls)
    statistics.cell("windows_last"):record("ok", 1)
    move_on()
    assert.equal(1, #rows)
  end))


  it("have ids that sort as their time does", counting(function()
    local cell = statistics.cell("windows_ids")
    for index = 1, 4 do
      cell:record("ok", 1)
      move_on()
      assert.is_true(index == 1 or rows[index - 1].id < rows[index].id)
      assert.matches("^%x+%-%x+%-7%x%x%x%-%x+%-%x+$", rows[index].id)
      local milliseconds = tonumber(rows[index].id:sub(1, 13):gsub("%-", ""), 16)
      assert.equal(rows[index].metric_timestamp, time.format(milliseconds / 1000))
    end
  end))


  it("together hold every call once", counting(function()
    local seed = os.time()
    math.randomseed(seed)
    local expected, counted = {}, {}
    for _ = 1, 30 do
      for _ = 1, math.random(0, 20) do
        local name = "windows_sum" .. math.random(5)
        statistics.cell(name):record(math.random() < 0.5 and "ok" or "timeout", math.random())
        expected[name] = (expected[name] or 0) + 1
      end
      host.advance_clock(math.random() * 2 * WINDOW)
    end
    windows:stop()
    for _, row in ipairs(rows) do
      counted[row.integration_name] = (counted[row.integration_name] or 0) + row.total_calls
      assert.equal(row.total_calls, row.successful_calls + row.failed_calls)
      assert.equal(row.failed_calls, row.timeout_count)
    end
    assert.same(expected, counted, "seed " .. seed)
  end))
end)


local SHOP = [[
local fail = require "tide.fail"
return {
  operations = {
    order = { run = function(ctx, input)
      if input.wrong then fail("rejected", "no such item") end
      return {}
    end },
  },
}
]]


describe("GET /api/v1/metrics", function()
  local project, service, expected


  -- Two runs of the service leave two windows of each integration.
  setup(function()
    project = support.project {
      ["config.lua"] = [[return { integrations = { other = { provider = "shop" } } }]],
      ["providers/shop.lua"] = SHOP,
    }
    for _ = 1, 2 do
      service = project:serve { workers = 2 }
      for _ = 1, 3 do service:call("shop", "order") end
      service:call("shop", "order", { wrong = true })
      service:call("other", "order")
      assert.equal(0, service:stop())
    end
    expected = project:query("SELECT * FROM integration_metrics ORDER BY id DESC")
    service = project:serve()
  end)


  teardown(function()
    project:close()
  end)


  local function get(query)
    local status, answer = service:request("GET", "/api/v1/metrics" .. (query or ""))
    assert.equal(200, status, json.encode(answer))
    return answer
  end


  local function token_of(fields)
    local status, answer = service:request("POST", "/api/v1/tokens", { json = fields })
    assert.equal(201, status, json.encode(answer))
    return answer.data.token
  end


  it("shows the last window of each run, newest first", function()
    local answer = get()
    assert.equal(4, #answer.data)
    assert.equal(json.null, answer.next_cursor)
    for index, row in ipairs(answer.data) do
      assert.equal(expected[index].id, row.id)
      assert.equal(expected[index].metric_timestamp, row.metric_timestamp)
      assert.equal(json.null, row.cache_hit_rate)
    end
    local calls = { shop = 4, other = 1 }
    for _, row in ipairs(answer.data) do
      assert.equal(calls[row.integration_name], row.total_calls)
      assert.equal(row.integration_name == "shop" and 0.25 or 0, row.error_rate)
      assert.equal(5, row.window_minutes)
      assert.equal("integer", math.type(row.p99_response_time))
    end
  end)


  it("takes an integration, a range of times and a cursor", function()
    local shop = get("?integration=shop").data
    assert.equal(2, #shop)
    assert.is_true(shop[1].metric_timestamp > shop[2].metric_timestamp)
    assert.equal(1, #get("?integration=shop&from=" .. shop[1].metric_timestamp).data)
    assert.same({ shop[2] }, { table.unpack(get("?integration=shop&to=" .. shop[1].metric_timestamp).data) })
    local page = get("?integration=shop&limit=1")
    assert.equal(shop[1].id, page.data[1].id)
    assert.equal(shop[1].id, page.next_cursor)
    page = get("?integration=shop&limit=1&cursor=" .. page.next_cursor)
    assert.equal(shop[2].id, page.data[1].id)
    assert.equal(json.null, page.next_cursor)
  end)


  it("refuses what it cannot filter by", function()
    for _, query in ipairs { "?from=yesterday", "?cursor=1", "?limit=0", "?operation=order" } do
      local status, problem = service:request("GET", "/api/v1/metrics" .. query)
      assert.equal(400, status, query)
      assert.equal("invalid_input", problem.code)
    end
  end)


  it("is for viewers, and shows a bound token its own integrations alone", function()
    assert.equal(401, (service:request("GET", "/api/v1/metrics", { token = false })))
    local caller = token_of { name = "calls", role = "caller" }
    assert.equal(403, (service:request("GET", "/api/v1/metrics", { token = caller })))
    local bound = token_of { name = "bound", role = "viewer", integrations = { "other" } }
    local status, answer = service:request("GET", "/api/v1/metrics", { token = bound })
    assert.equal(200, status)
    assert.equal(2, #answer.data)
    for _, row in ipairs(answer.data) do
      assert.equal("other", row.integration_name)
    end
    local _, others = service:request("GET", "/api/v1/metrics?integration=shop", { token = bound })
    assert.equal(0, #others.data)
  end)


  it("has the time since the start with each integration", function()
    local _, before = service:request("GET", "/api/v1/integrations/shop")
    assert.same({ calls = 0, error_rate = json.null, p50_ms = json.null, p95_ms = json.null, p99_ms = json.null,
      cache_hit_rate = json.null }, before.data.statistics)
    service:call("shop", "order")
    service:call("shop", "order", { wrong = true })
    local _, after = service:request("GET", "/api/v1/integrations/shop")
    local numbers = after.data.statistics
    assert.equal(2, numbers.calls)
    assert.equal(0.5, numbers.error_rate)
    assert.is_true(numbers.p50_ms > 0 and numbers.p50_ms <= numbers.p95_ms and numbers.p95_ms <= numbers.p99_ms)
  end)
end)
