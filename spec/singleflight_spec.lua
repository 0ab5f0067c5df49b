local flight = require "tide.state.singleflight"
local task = require "tide.task"


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
