local flight = require "tide.state.singleflight"
local task = require "tide.task"
local time = require "tide.time"


-- Starts `count` tasks that run the key; each notes what it got in the list returned.
local function start(count, key, fn)
  local results, tasks = {}, {}
  for index = 1, count do
    tasks[index] = task.spawn(function() results[index] = table.pack(flight.run(key, fn)) end)
  end
  return results, tasks
end


local function join(tasks)
  for _, one in ipairs(tasks) do one:join() end
end


describe("tide.state.singleflight", function()
  it("computes once for all who ask meanwhile", function()
    local runs = 0
    local results, tasks = start(5, "spec once", function()
      runs = runs + 1
      task.yield()
      task.sleep(0.01)
      return "result\0" .. runs
    end)
    join(tasks)
    assert.equal(1, runs)
    for index = 1, 5 do assert.same({ true, "result\0001", true, n = 3 }, results[index]) end
  end)


  it("computes again once there is a result", function()
    local runs = 0
    local function compute()
      runs = runs + 1
      return tostring(runs)
    end
    assert.same({ true, "1", false }, { flight.run("spec again", compute) })
    assert.same({ true, "2", false }, { flight.run("spec again", compute) })
  end)


  it("shares failures", function()
    local results, tasks = start(3, "spec failure", function()
      task.sleep(0.01)
      return nil, "no route", "network_error"
    end)
    join(tasks)
    for index = 1, 3 do assert.same({ false, "no route", "network_error", n = 3 }, results[index]) end
  end)


  it("hands over when the leader is cancelled", function()
    local runs = 0
    local results, tasks = start(3, "spec cancel", function()
      runs = runs + 1
      local run = runs
      task.sleep(0.02)
      return "run " .. run
    end)
    task.yield()
    tasks[1]:cancel()
    join(tasks)
    assert.is_nil(results[1])
    assert.equal("run 2", results[2][2])
    assert.equal("run 2", results[3][2])
  end)


  it("hands over when the leader raises, who keeps what was raised", function()
    local runs = 0
    local results, tasks = start(2, "spec raise", function()
      runs = runs + 1
      task.sleep(0.01)
      if runs == 1 then error({ code = "mine" }) end
      return "fine"
    end)
    local ok, raised = tasks[1]:join()
    assert.is_false(ok)
    assert.equal("mine", raised.code)
    tasks[2]:join()
    assert.equal("fine", results[2][2])
  end)


  it("lets a waiter leave", function()
    local results, tasks = start(2, "spec leave", function()
      task.sleep(0.02)
      return "done"
    end)
    task.yield()
    tasks[2]:cancel()
    join(tasks)
    assert.equal("done", results[1][2])
    assert.is_nil(results[2])
  end)


  it("checks its arguments", function()
    assert.has_error(function() flight.run(("k"):rep(257), print) end)
    assert.has_error(function() flight.run("k") end)
    assert.same({ false, "the computation returned no text" },
      { flight.run("spec nothing", function() return {} end) })
  end)
end)


-- Starts `count` tasks that share the key; each notes what it got in the list returned.
local function share(count, key, fn, deadline)
  local results, tasks = {}, {}
  for index = 1, count do
    tasks[index] = task.spawn(function()
      results[index] = table.pack(flight.share(key, deadline or time.monotonic() + 10, fn))
    end)
  end
  return results, tasks
end


-- The notice that nobody waits any more travels through the loop.
local function wait_until(condition)
  local limit = time.monotonic() + 5
  while not condition() do
    assert(time.monotonic() < limit, "waited 5 s")
    task.sleep(0.001)
  end
end


local function closing(fn)
  return setmetatable({}, { __close = fn })
end


describe("tide.state.singleflight.share", function()
  local operations

  before_each(function()
    operations = task.stats().live_operations
    assert.equal(0, flight.count())
  end)

  after_each(function()
    wait_until(function() return flight.count() == 0 end)
    assert.equal(operations, task.stats().live_operations)
  end)


  it("computes once for a thousand tasks", function()
    local runs, waiting = 0, nil
    local results, tasks = share(1000, "spec thousand", function(self)
      runs = runs + 1
      wait_until(function() return self:waiters() == 1000 end)
      waiting = self:waiters()
      return "result\0" .. runs
    end)
    join(tasks)
    assert.equal(1, runs)
    assert.equal(1000, waiting)
    for index = 1, 1000 do assert.same({ true, "result\0001", true, n = 3 }, results[index]) end
  end)


  it("computes again once there is a result", function()
    local runs = 0
    local function compute()
      runs = runs + 1
      return tostring(runs)
    end
    assert.same({ true, "1", false }, { flight.share("spec again", 0, compute) })
    assert.same({ true, "2", false }, { flight.share("spec again", 0, compute) })
  end)


  it("hands out failures with their code, and an error that was raised as its text", function()
    local results, tasks = share(3, "spec failure", function()
      task.yield()
      return nil, "no route", "network_error"
    end)
    join(tasks)
    for index = 1, 3 do assert.same({ false, "no route", "network_error", n = 3 }, results[index]) end

    results, tasks = share(3, "spec raise", function()
      task.yield()
      error(setmetatable({}, { __tostring = function() return "it broke" end }))
    end)
    join(tasks)
    for index = 1, 3 do assert.same({ false, "it broke", "internal", n = 3 }, results[index]) end
  end)


  it("ends also for an error without a text", function()
    local raise = function() error(setmetatable({}, { __tostring = function() error("worse") end })) end
    assert.same({ false, "the computation was stopped", "internal" }, { flight.share("spec worse", 0, raise) })
    local ok, message, code = flight.share("spec nothing", 0, function() end)
    assert.same({ false, "the computation returned no text", "internal" }, { ok, message, code })
  end)


  it("goes on for the others when the first to come is cancelled", function()
    local runs, go = 0, false
    local results, tasks = share(3, "spec cancel", function(self)
      runs = runs + 1
      wait_until(function() return go end)
      return ("%d run, %d wait"):format(runs, self:waiters())
    end)
    wait_until(function() return runs == 1 end)
    tasks[1]:cancel()
    go = true
    join(tasks)
    assert.is_nil(results[1])
    for index = 2, 3 do assert.same({ true, "1 run, 2 wait", true, n = 3 }, results[index]) end
  end)


  it("is cancelled with what it waits for when the last waiter leaves", function()
    local runs, closed = 0, 0
    local _, tasks = share(2, "spec last", function()
      runs = runs + 1
      local guard <close> = closing(function() closed = closed + 1 end)
      task.sleep(1000)
    end)
    wait_until(function() return runs == 1 end)
    tasks[1]:cancel()
    task.sleep(0.005)
    assert.equal(0, closed)
    tasks[2]:cancel()
    wait_until(function() return closed == 1 end)
    assert.equal(1, runs)
  end)


  it("leaves its key at once to a new flight, which the dying one does not disturb", function()
    local closed = false
    local _, tasks = share(1, "spec key", function()
      local guard <close> = closing(function() closed = true end)
      task.sleep(1000)
    end)
    wait_until(function() return flight.count() == 1 end)
    task.yield()
    tasks[1]:cancel()
    assert.is_false(closed)
    local results = table.pack(flight.share("spec key", 0, function()
      wait_until(function() return closed end)
      return "new"
    end))
    assert.same({ true, "new", false, n = 3 }, results)
  end)


  it("never runs when all have left before its first step", function()
    local ran = false
    local _, tasks = share(1, "spec early", function() ran = true end)
    local watch = task.spawn(function() tasks[1]:cancel() end)
    watch:join()
    wait_until(function() return flight.count() == 0 end)
    assert.is_false(ran)
  end)


  it("knows the latest deadline of all who have ever joined", function()
    local seen, done, handle = nil, false, nil
    local function compute(self)
      handle = self
      wait_until(function() return done end)
      seen = self:deadline()
      return "x"
    end
    local _, tasks = share(1, "spec deadline", compute, 100.25)
    wait_until(function() return handle ~= nil end)
    assert.equal(100.25, handle:deadline())
    local _, later = share(1, "spec deadline", compute, 300)
    local _, earlier = share(1, "spec deadline", compute, 200)
    wait_until(function() return handle:waiters() == 3 end)
    assert.equal(300, handle:deadline())
    later[1]:cancel()
    done = true
    join(tasks)
    join(earlier)
    assert.equal(300, seen)
    assert.error_matches(function() handle:deadline() end, "has ended")
    assert.error_matches(function() handle:waiters() end, "has ended")
  end)


  it("can share another key inside", function()
    local results, tasks = share(5, "spec outer", function(self)
      local ok, bytes = flight.share("spec inner", self:deadline(), function()
        task.sleep(0.002)
        return "inner"
      end)
      return ok and "outer of " .. bytes
    end)
    join(tasks)
    for index = 1, 5 do assert.same({ true, "outer of inner", true, n = 3 }, results[index]) end
  end)


  it("takes the flight inside along when its last waiter leaves", function()
    local closed = false
    local _, tasks = share(2, "spec outer", function(self)
      flight.share("spec inner", self:deadline(), function()
        local guard <close> = closing(function() closed = true end)
        task.sleep(1000)
      end)
    end)
    wait_until(function() return flight.count() == 2 end)
    task.yield()
    for _, one in ipairs(tasks) do one:cancel() end
    wait_until(function() return flight.count() == 0 end)
    assert.is_true(closed)
  end)


  it("tells its waiters when its task is stopped from elsewhere", function()
    local own
    local results, tasks = share(2, "spec stopped", function()
      own = task.current()
      task.sleep(1000)
    end)
    wait_until(function() return own ~= nil end)
    own:cancel()
    join(tasks)
    for index = 1, 2 do
      assert.same({ false, "the computation was stopped", "internal", n = 3 }, results[index])
    end
  end)


  it("has keys of its own, apart from those of run", function()
    local ok, bytes = flight.run("spec kind", function()
      return (select(2, flight.share("spec kind", 0, function() return "shared" end)))
    end)
    assert.is_true(ok)
    assert.equal("shared", bytes)
  end)


  it("refuses what is over its bounds", function()
    local release = false
    local function wait()
      wait_until(function() return release end)
      return "done"
    end
    local results, tasks = share(10000, "spec full", wait)
    wait_until(function() return task.stats().live_operations >= operations + 10000 end)
    assert.same({ false, "too many flights, or too many wait for this one", "overloaded" },
      { flight.share("spec full", 0, wait) })
    release = true
    join(tasks)
    assert.equal("done", results[10000][2])
  end)


  it("checks its arguments", function()
    assert.has_error(function() flight.share(("k"):rep(257), 0, print) end)
    assert.has_error(function() flight.share("k", nil, print) end)
    assert.has_error(function() flight.share("k", 0 / 0, print) end)
    assert.has_error(function() flight.share("k", 0) end)
  end)
end)
