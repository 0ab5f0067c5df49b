local counters = require "tide.state.counters"
local gauges = require "tide.gauges"
local task = require "tide.task"
local t = require "tide.test"


-- The sample's value in the rendered text; nil when there is none.
local function sample(series)
  for line in counters.render():gmatch("[^\n]+") do
    if line:sub(1, #series + 1) == series .. " " then return tonumber(line:sub(#series + 2)) end
  end
end


describe("tide.state.counters", function()
  it("adds up", function()
    local before = sample('tidegate_spec_total{a="b"}') or 0
    local counter = counters.counter("spec_total", 'a="b"')
    counter:add()
    counter:add(2.5)
    assert.equal(before + 3.5, sample('tidegate_spec_total{a="b"}'))
    assert.equal(counter, counters.counter("spec_total", 'a="b"'))
  end)


  it("sets gauges", function()
    local gauge = counters.gauge("spec_gauge")
    gauge:set(5)
    gauge:add(-2)
    assert.equal(3, sample("tidegate_spec_gauge"))
  end)


  it("fills the buckets of a histogram", function()
    local histogram = counters.histogram("spec_seconds", "", { 1, 2 })
    for _, value in ipairs { 0.5, 1.5, 9 } do histogram:observe(value) end
    assert.equal(1, sample('tidegate_spec_seconds_bucket{le="1"}'))
    assert.equal(2, sample('tidegate_spec_seconds_bucket{le="2"}'))
    assert.equal(3, sample('tidegate_spec_seconds_bucket{le="+Inf"}'))
    assert.equal(11, sample("tidegate_spec_seconds_sum"))
    assert.equal(3, sample("tidegate_spec_seconds_count"))
  end)


  it("shows help and type, and no prefix for the process", function()
    counters.gauge("process_spec"):set(1)
    counters.describe("process_spec", "gauge", "Made for a spec.")
    local text = counters.render()
    assert.matches("# HELP process_spec Made for a spec.\n# TYPE process_spec gauge\nprocess_spec 1\n", text, 1, true)
    counters.describe("process_spec", "gauge", "Made anew.")
    assert.matches("# HELP process_spec Made anew.\n", counters.render(), 1, true)
    assert.has_error(function() counters.describe("process_spec", "number", "help") end)
    assert.has_error(function() counters.describe("process_spec", "help") end)
  end)


  it("refuses what another kind of cell does", function()
    local counter = counters.counter("spec_kind_total")
    assert.has_error(function() counter:observe(1) end)
    assert.has_error(function() counter:set(1) end)
    assert.has_error(function() counter:add(-1) end)
    assert.has_error(function() counter:add(0 / 0) end)
    assert.has_error(function() counters.histogram("spec_kind_seconds"):add(1) end)
    assert.has_error(function() counters.histogram("spec_kind_seconds"):observe(1 / 0) end)
    assert.has_error(function() counters.gauge("spec_kind_total") end)
  end)


  it("refuses names and labels that would spoil the text", function()
    assert.has_error(function() counters.counter("bad-name") end)
    assert.has_error(function() counters.counter("spec_total", "a") end)
    assert.has_error(function() counters.counter("spec_total", 'a="b"\n') end)
    assert.has_error(function() counters.counter("spec_total", 'a="b\\q"') end)
    assert.has_error(function() counters.histogram("spec_bounds", "", { 2, 1 }) end)
    assert.has_error(function() counters.histogram("spec_bounds", "", { 1 / 0 }) end)
  end)


  it("gives series beyond the bound one cell", function()
    local dropped = counters.dropped_series()
    for index = 1, 1100 do counters.counter("spec_many_total", ('i="%d"'):format(index)):add() end
    assert.equal(dropped + 100, counters.dropped_series())
    assert.equal(100, sample('tidegate_spec_many_total{series="other"}'))
    assert.equal(1, sample('tidegate_spec_many_total{i="1000"}'))
  end)
end)


describe("script_stops_total", function()
  it("counts the scripts that were stopped", function()
    local it = t.integration("spinner", { source = [[
      return { operations = { spin = { run = function() while true do end end } } }
    ]] })
    local series = 'tidegate_script_stops_total{reason="script_timeout"}'
    local guard <close> = gauges.start()
    t.advance(1)
    local before, stopped = sample(series), task.stats().time_stops
    assert.is_false((pcall(it.call, "spin", {})))
    t.advance(6)
    assert.equal(stopped + 1, task.stats().time_stops)
    assert.equal(before + 1, sample(series))
    assert.equal("number", type(sample('tidegate_script_stops_total{reason="out_of_memory"}')))
  end)
end)
