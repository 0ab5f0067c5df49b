local statistics = require "tide.state.statistics"
local errors = require "tide.errors"
local t = require "tide.test"

local EVENTS = { "cache_hit", "cache_miss", "rate_limited", "breaker_opened", "timeout" }


-- Random numbers that a failure can be repeated with.
local function seed()
  local value = os.time()
  math.randomseed(value)
  return "seed " .. value
end


-- What happened under a name since now: the specs of other files may have used it before.
local function watch(name)
  local before = statistics.snapshot(name)
  return function()
    return statistics.snapshot(name):since(before)
  end
end


local function assert_near(expected, actual, words)
  assert.is_true(math.abs(actual - expected) <= 0.01 * expected, ("%s is not within 1 %% of %s (%s)"):format(
    actual, expected, words))
end


-- The value of rank ceil(q * n).
local function exact_quantile(values, q)
  table.sort(values)
  return values[math.max(1, math.ceil(q * #values))]
end


describe("tide.state.statistics", function()
  it("counts calls by outcome", function()
    local since = watch("spec_outcomes")
    local cell = statistics.cell("spec_outcomes")
    assert.equal(cell, statistics.cell("spec_outcomes"))
    for _, outcome in ipairs { "ok", "ok", "cached", "stale", "fallback", "timeout", "rejected", "rejected" } do
      cell:record(outcome, 0.25)
    end
    local numbers = since():get()
    assert.equal(8, numbers.total)
    assert.equal(5, numbers.successful)
    assert.equal(3, numbers.failed)
    assert.equal(2, numbers.cached)
    assert.equal(1, numbers.timeouts)
    assert.equal(250, numbers.avg_ms)
    assert.same({ ok = 2, cached = 1, stale = 1, fallback = 1, timeout = 1, rejected = 2 }, numbers.by_outcome)
  end)


  it("knows the code of every error", function()
    local since = watch("spec_codes")
    local cell, expected = statistics.cell("spec_codes"), {}
    for code in pairs(errors.codes) do
      cell:record(code, 0)
      expected[code] = 1
    end
    local numbers = since():get()
    assert.same(expected, numbers.by_outcome)
    assert.equal(numbers.total, numbers.failed)
  end)


  it("counts what happened on the way", function()
    local since = watch("spec_events")
    local cell = statistics.cell("spec_events")
    for times, event in ipairs(EVENTS) do
      for _ = 1, times do cell:count(event) end
    end
    cell:record("timeout", 1)
    local numbers = since():get()
    assert.equal(1, numbers.cache_hits)
    assert.equal(2, numbers.cache_misses)
    assert.equal(3, numbers.rate_limited)
    assert.equal(4, numbers.breaker_opened)
    assert.equal(6, numbers.timeouts)
    assert.equal(1, numbers.total)
  end)


  it("says nothing of durations that are not there", function()
    local snapshot = statistics.snapshot("spec_unknown")
    assert.is_nil(snapshot:quantile(0.5))
    assert.is_nil(snapshot:get().avg_ms)
    assert.is_nil(snapshot:get().max_ms)
    assert.equal(0, snapshot:get().total)
    assert.same({}, snapshot:get().by_outcome)
  end)


  it("keeps a snapshot as it was", function()
    local cell = statistics.cell("spec_kept")
    cell:record("ok", 1)
    local before = statistics.snapshot("spec_kept")
    local total = before:get().total
    cell:record("ok", 3)
    assert.equal(total, before:get().total)
    local between = statistics.snapshot("spec_kept"):since(before)
    assert.equal(1, between:get().total)
    assert.equal(3000, between:get().max_ms)
    assert.equal(3, between:quantile(1))
  end)


  it("lists the names in order", function()
    statistics.cell("spec_b")
    statistics.cell("spec_a")
    local names = statistics.names()
    local at = {}
    for index, name in ipairs(names) do
      at[name] = index
      assert.is_true(index == 1 or names[index - 1] < name)
    end
    assert.is_true(at.spec_a < at.spec_b)
  end)


  it("refuses what is not a name, an outcome, an event, a duration", function()
    local cell = statistics.cell("spec_refusals")
    assert.has_error(function() statistics.cell("") end)
    assert.has_error(function() statistics.cell(("a"):rep(64)) end)
    assert.has_error(function() statistics.cell("a\0b") end)
    assert.has_error(function() statistics.snapshot(nil) end)
    assert.error_matches(function() cell:record("fine", 1) end, "unknown outcome 'fine'", 1, true)
    assert.error_matches(function() cell:count("ok") end, "unknown event 'ok'", 1, true)
    assert.has_error(function() cell:record(1, 1) end)
    assert.has_error(function() cell:record("ok", 0 / 0) end)
    assert.has_error(function() cell:record("ok", 1 / 0) end)
    assert.has_error(function() cell:record("ok") end)
    assert.has_error(function() statistics.snapshot("spec_refusals"):quantile(1.5) end)
    assert.has_error(function() statistics.snapshot("spec_refusals"):since(cell) end)
    assert.equal(0, statistics.snapshot("spec_refusals"):get().total)
  end)
end)


local PROVIDER = [[
local fail = require "tide.fail"
return {
  config = { base_url = "https://api.acme.example", timeout_seconds = 3000, total_timeout_seconds = 3000,
    max_retries = 0 },
  operations = {
    answer = { run = function(ctx, input)
      if input.code then fail(input.code, "as the spec wants it") end
      return {}
    end },
    wait = { run = function(ctx, input)
      ctx.sleep(input.seconds)
      return {}
    end },
  },
}
]]


local function integration()
  return t.integration("measured", { source = PROVIDER })
end


describe("the statistics of calls", function()
  it("Property 24: success and failure rates are accurate for any series of calls", function()
    local words = seed()
    local codes = { "rejected", "upstream_error", "network_error", "timeout", "script_error", "not_found" }
    for _ = 1, 8 do
      local it, since = integration(), watch("measured")
      local expected, failures, calls = {}, 0, math.random(1, 60)
      local failing = math.random()
      for _ = 1, calls do
        local code = math.random() < failing and codes[math.random(#codes)] or nil
        local outcome = code or "ok"
        expected[outcome] = (expected[outcome] or 0) + 1
        failures = failures + (code and 1 or 0)
        assert.equal(code == nil, (pcall(it.call, "answer", { code = code })), words)
      end
      local numbers = since():get()
      assert.equal(calls, numbers.total, words)
      assert.equal(failures, numbers.failed, words)
      assert.equal(calls - failures, numbers.successful, words)
      assert.same(expected, numbers.by_outcome, words)
      assert.equal(expected.timeout or 0, numbers.timeouts, words)
    end
  end)


  it("Property 25: p50, p95 and p99 of any durations are within 1 %", function()
    local words = seed()
    for _ = 1, 5 do
      local it, since = integration(), watch("measured")
      local durations, sum = {}, 0
      local largest = 10 ^ (math.random() * 5 - 2)     -- 10 ms to 1000 s
      for _ = 1, math.random(1, 60) do
        local seconds = largest * math.random() ^ math.random(1, 4) + 0.001
        durations[#durations + 1] = seconds
        sum = sum + seconds
        it.call("wait", { seconds = seconds })
      end
      local snapshot = since()
      for _, q in ipairs { 0.5, 0.95, 0.99 } do
        assert_near(exact_quantile(durations, q), snapshot:quantile(q), words)
      end
      local numbers = snapshot:get()
      assert_near(sum / #durations * 1000, numbers.avg_ms, words)
      assert_near(durations[#durations] * 1000, numbers.max_ms, words)
    end
  end)


  it("Property 33: hit and miss rates are accurate for any series of look-ups", function()
    local words = seed()
    for _ = 1, 20 do
      local since, cell = watch("spec_cache"), statistics.cell("spec_cache")
      local hits, misses, hitting = 0, 0, math.random()
      for _ = 1, math.random(1, 200) do
        local hit = math.random() < hitting
        hits, misses = hits + (hit and 1 or 0), misses + (hit and 0 or 1)
        cell:count(hit and "cache_hit" or "cache_miss")
      end
      local numbers = since():get()
      assert.equal(hits, numbers.cache_hits, words)
      assert.equal(misses, numbers.cache_misses, words)
    end
  end)
end)
