local breaker = require "tide.state.breaker"
local host = require "tide.host"
local task = require "tide.task"
local time = require "tide.time"


describe("tide.state.breaker", function()
  local made = 0
  local name, cell


  before_each(function()
    host.freeze_clock()
    made = made + 1
    name = "breaker_spec_" .. made
    cell = breaker.cell(name)
    cell:configure { failure_threshold = 3, timeout_seconds = 60, half_open_calls = 1 }
  end)


  after_each(function()
    host.thaw_clock()
  end)


  local function open()
    for _ = 1, 3 do
      cell:permit(5):failure(0.1)
    end
    assert.equal("open", (cell:state()))
  end


  local function near(expected, value)
    assert.is_true(math.abs(expected - value) < 1e-6, ("%s is not %s"):format(value, expected))
  end


  -- Changes of other specs' cells come by too.
  local function next_change()
    repeat
      local change = breaker.next_change()
      if change.name == name then
        return change
      end
    until false
  end


  it("opens, waits, probes and closes", function()
    assert.same({ "closed" }, { cell:state() })
    assert.same({ false, nil, "closed" }, { cell:blocks() })
    open()
    local state, retry_after = cell:state()
    assert.equal("open", state)
    near(60, retry_after)
    local permit
    permit, retry_after = cell:permit(5)
    assert.is_nil(permit)
    near(60, retry_after)
    host.advance_clock(59)
    near(1, select(2, cell:state()))
    host.advance_clock(1)
    assert.same({ "half_open" }, { cell:state() })
    local probe = assert(cell:permit(5))
    local blocks
    blocks, retry_after, state = cell:blocks()
    assert.is_true(blocks)
    near(5, retry_after)
    assert.equal("half_open", state)
    probe:success(0.1)
    assert.equal("closed", (cell:state()))
  end)


  it("is the same cell for the same name", function()
    open()
    assert.equal("open", (breaker.cell(name):state()))
    assert.equal("closed", (breaker.cell(name .. "/mock"):state()))
  end)


  it("counts the first verdict of a permit alone", function()
    local permit = cell:permit(5)
    permit:success(0.1)
    permit:failure(0.1)
    permit:release()
    assert.equal(0, cell:info().consecutive_failures)
    permit = cell:permit(5)
    permit:failure()
    permit:success()
    assert.equal(1, cell:info().consecutive_failures)
  end)


  it("gets a probe back from a scope that is left, and from a task that is cancelled", function()
    open()
    host.advance_clock(60)
    do
      local guard <close> = assert(cell:permit(5))
      assert.equal(1, cell:info().probes_out)
    end
    assert.equal(0, cell:info().probes_out)
    local holder = task.spawn(function()
      local guard <close> = assert(cell:permit(5))
      task.sleep(1000)
    end)
    task.yield()
    assert.is_true((cell:blocks()))
    holder:cancel()
    assert.is_false((cell:blocks()))
    assert.is_not_nil(cell:permit(5))
  end)


  it("gets a probe back that nobody holds any more", function()
    open()
    host.advance_clock(60)
    assert.is_not_nil(cell:permit(5))
    collectgarbage()
    collectgarbage()
    assert.equal(0, cell:info().probes_out)
    assert.equal("half_open", (cell:state()))
  end)


  it("takes a probe that is held past its lease for a failure", function()
    open()
    host.advance_clock(60)
    local probe = cell:permit(5)
    host.advance_clock(4)
    probe:extend(5)
    host.advance_clock(4)
    assert.equal("half_open", (cell:state()))
    host.advance_clock(1)
    local state, retry_after = cell:state()
    assert.equal("open", state)
    near(60, retry_after)
    probe:success(0.1)
    assert.equal("open", (cell:state()))
    host.advance_clock(60)
    assert.is_not_nil(cell:permit(5))
  end)


  it("opens at a rate of failures, or of slow calls, in a window", function()
    cell:configure { failure_threshold = 1000, window_seconds = 100, failure_rate = 0.5, slow_call_ms = 200 }
    for index = 1, 18 do
      cell:permit(5)[index % 3 == 0 and "failure" or "success"](cell:permit(5), 0.1)
    end
    assert.same({ 18, 6, 0 }, { cell:info().calls, cell:info().failures, cell:info().slow })
    host.advance_clock(101)
    assert.equal(0, cell:info().calls)
    for _ = 1, 9 do
      cell:permit(5):success(0.3)
    end
    assert.equal("closed", (cell:state()))
    cell:permit(5):success(0.1)
    assert.equal("open", (cell:state()))
  end)


  it("obeys its operator", function()
    cell:set_mode("open")
    assert.equal("open", cell:mode())
    host.advance_clock(1000)
    assert.is_nil((cell:permit(5)))
    cell:set_mode("closed")
    for _ = 1, 10 do
      cell:permit(5):failure(0.1)
    end
    assert.equal("closed", (cell:state()))
    cell:set_mode("auto")
    assert.equal(0, cell:info().consecutive_failures)
    cell:set_mode("observe")
    open()
    assert.same({ "open" }, { cell:state() })
    assert.is_not_nil(cell:permit(5))
    assert.has_error(function() cell:set_mode("ajar") end)
  end)


  it("grants everything while it is not enabled", function()
    open()
    cell:configure { enabled = false }
    for _ = 1, 10 do
      cell:permit(5):failure(0.1)
    end
    assert.equal("closed", (cell:state()))
  end)


  it("tells its numbers", function()
    local info = cell:info()
    assert.is_nil(info.opened_at)
    assert.is_nil(info.retry_after)
    open()
    local opened_at = time.now()
    assert.is_nil((cell:permit(5)))
    host.advance_clock(10)
    info = cell:info()
    assert.is_true(math.abs(info.opened_at - opened_at) < 0.01)
    near(50, info.retry_after)
    info.opened_at, info.retry_after = nil, nil
    assert.same({
      state = "open", mode = "auto", consecutive_failures = 3, calls = 0, failures = 0, slow = 0, probes_out = 0,
      opened_total = 1, refused_total = 1,
    }, info)
  end)


  it("is restored from what was saved", function()
    open()
    host.advance_clock(10)
    local saved = cell:save()
    near(10, saved.opened_ago_seconds)
    local other = breaker.cell(name .. "_again")
    other:restore(saved, 20)
    near(30, select(2, other:state()))
    other:configure { timeout_seconds = 40 }
    near(10, select(2, other:state()))
    other:restore({ state = "half_open" }, 0)
    assert.equal("half_open", (other:state()))
    other:restore({ state = "ajar", mode = 7 }, -5)
    assert.equal("closed", (other:state()))
    assert.equal("auto", other:mode())
  end)


  it("tells each change to the one who waits for it", function()
    local seen = {}
    local watcher = task.spawn(function()
      for index = 1, 4 do
        seen[index] = next_change()
      end
    end)
    task.yield()
    local opened_at = time.now()
    open()
    host.advance_clock(60)
    cell:permit(5):success(0.1)
    cell:set_mode("observe")
    watcher:join()
    local summary = {}
    for index, change in ipairs(seen) do
      summary[index] = { change.from, change.to, change.mode, change.reason }
    end
    assert.same({
      { "closed", "open", "auto", "too many failures in a row" },
      { "open", "half_open", "auto", "it was open long enough" },
      { "half_open", "closed", "auto", "the probes succeeded" },
      { "closed", "closed", "observe", "its mode or configuration was changed" },
    }, summary)
    assert.is_true(math.abs(seen[1].at - opened_at) < 0.01)
    near(60, seen[2].at - seen[1].at)
  end)


  it("tells changes that came before anybody waited", function()
    open()
    assert.equal("open", next_change().to)
  end)


  it("has one who waits for changes at a time", function()
    local waiting = task.spawn(function()
      while true do
        breaker.next_change()
      end
    end)
    task.yield()
    assert.error_matches(breaker.next_change, "another task waits")
    waiting:cancel()
    waiting:join()
    open()
    assert.equal("open", next_change().to)
  end)


  it("drops changes that nobody takes, and counts them", function()
    local before = breaker.dropped()
    for _ = 1, 1030 do
      cell:set_mode("auto")
    end
    assert.is_true(breaker.dropped() >= before + 6)
    local waiting = task.spawn(function()
      while true do
        breaker.next_change()
      end
    end)
    task.yield()
    waiting:cancel()
  end)


  it("checks its arguments", function()
    for _, bad in ipairs({ "", ("n"):rep(128), "a\0b" }) do
      assert.has_error(function() breaker.cell(bad) end)
    end
    for _, lease in ipairs({ 0, -1, 0 / 0, "x" }) do
      assert.has_error(function() cell:permit(lease) end)
    end
    assert.has_error(function() cell:configure { timeout_seconds = "soon" } end)
    assert.has_error(function() cell:configure { timeout_seconds = 1 / 0 } end)
    assert.has_error(function() cell:configure() end)
    assert.has_error(function() cell:restore("open") end)
    assert.has_error(function() cell:restore { opened_ago_seconds = "long" } end)
  end)


  it("property 22: sticks in no state, over random sequences", function()
    local seed = os.time()
    math.randomseed(seed)
    local held = {}
    for step = 1, 4000 do
      local what = math.random(20)
      if what <= 9 then
        held[math.random(8)] = cell:permit(math.random(10))
      elseif what <= 18 then
        local index = math.random(8)
        if held[index] then
          held[index][({ "success", "failure", "failure", "release" })[math.random(4)]](held[index], 0.1)
          held[index] = nil
        end
      elseif what <= 19 then
        host.advance_clock(math.random() * 3)
      elseif math.random(4) == 1 then
        host.advance_clock(71)
        local permit = cell:permit(5)
        assert.is_not_nil(permit, ("seed %d, step %d"):format(seed, step))
        permit:release()
      end
    end
  end)
end)
