local host = require "tide.host"
local sandbox = require "tide.engine.sandbox"
local task = require "tide.task"
local time = require "tide.time"


local function closing(fn)
  return setmetatable({}, { __close = fn })
end


describe("a task", function()
  it("hands its results to whoever joins it, also twice", function()
    local child = task.spawn(function(a, b) return a + b, nil, "x" end, 1, 2)
    assert.same({ true, 3, nil, "x", n = 4 }, table.pack(child:join()))
    assert.same({ true, 3, nil, "x", n = 4 }, table.pack(child:join()))
    assert.equal("done", child:status())
  end)


  it("hands over the very value that it raised", function()
    local value = {}
    local ok, err = task.spawn(function() error(value) end):join()
    assert.is_false(ok)
    assert.equal(value, err)
  end)


  it("runs its close variables when it is cancelled", function()
    local closed = false
    local child = task.spawn(function()
      local guard <close> = closing(function() closed = true end)
      task.sleep(1000)
    end)
    task.yield()
    child:cancel()
    assert.is_true(closed)
    local ok, _, kind = child:join()
    assert.is_false(ok)
    assert.equal("cancelled", kind)
  end)


  it("takes its children with it when it ends", function()
    local grandchild_closed = false
    local child = task.spawn(function()
      task.spawn(function()
        local guard <close> = closing(function() grandchild_closed = true end)
        task.sleep(1000)
      end)
      task.yield()
    end)
    child:join()
    assert.is_true(grandchild_closed)
  end)


  it("that is detached lives on when its maker ends", function()
    local finished = false
    local detached
    task.spawn(function()
      detached = task.detach(function()
        task.sleep(0.005)
        finished = true
      end)
    end):join()
    detached:join()
    assert.is_true(finished)
  end)


  it("cannot wait for itself", function()
    local own
    own = task.spawn(function() return pcall(own.join, own) end)
    local _, ok, message = own:join()
    assert.is_false(ok)
    assert.matches("cannot wait for itself", message)
  end)


  it("says where it cannot wait", function()
    local ok, message = pcall(table.sort, { 2, 1 }, function() task.sleep(0.001) end)
    assert.is_false(ok)
    assert.matches("table.sort", message)
    local waited
    waited, message = coroutine.resume(coroutine.create(function() task.sleep(0.001) end))
    assert.is_false(waited)
    assert.matches("coroutine", message)
  end)


  it("refuses to nest without end", function()
    local function nest(depth)
      local ok, result = task.spawn(function() return nest(depth + 1) end):join()
      return ok and result or depth
    end
    local depth = nest(0)
    assert.is_true(depth > 10 and depth < 100)
  end)


  it("is cheap enough to have thousands of", function()
    local children = {}
    for i = 1, 5000 do children[i] = task.spawn(function() task.sleep(0.001) return i end) end
    local sum = 0
    for i = 1, 5000 do
      local _, value = children[i]:join()
      sum = sum + value
    end
    assert.equal(5000 * 5001 // 2, sum)
  end)


  it("that cancels itself ends at its next wait", function()
    local went_on = false
    local child = task.spawn(function()
      task.current():cancel()
      task.yield()
      went_on = true
    end)
    local ok, _, kind = child:join()
    assert.is_false(ok)
    assert.equal("cancelled", kind)
    assert.is_false(went_on)
  end)
end)


describe("a task among others", function()
  -- Burns CPU time until the hook has given the worker away at least once.
  local function burn(turns)
    local sum = 0
    for i = 1, turns do sum = sum + i end
    return sum
  end


  it("can be joined by several at once", function()
    local slow = task.spawn(function() task.sleep(0.01) return "x" end)
    local joiners = {}
    for i = 1, 5 do joiners[i] = task.spawn(function() return select(2, slow:join()) end) end
    for i = 1, 5 do
      local ok, _, value = task.timeout(5, joiners[i].join, joiners[i])
      assert.is_true(ok)
      assert.equal("x", value)
    end
  end)


  it("can be joined while another who joined it is cancelled", function()
    local slow = task.spawn(function() task.sleep(0.01) return "x" end)
    local first = task.spawn(function() return slow:join() end)
    local second = task.spawn(function() return slow:join() end)
    task.yield()
    first:cancel()
    assert.same({ true, true, true, "x" }, { task.timeout(5, second.join, second) })
  end)


  it("keeps an unpark that comes before it parks", function()
    local child = task.spawn(function()
      task.park()
      return "woken"
    end)
    task.unpark(child)
    assert.same({ true, true, "woken" }, { task.timeout(5, child.join, child) })
  end)


  it("keeps an unpark that comes while it is preempted", function()
    local flag = false
    local sleeper = task.spawn(function()
      while not flag do
        burn(4000000) -- preempted here, between the look and the park
        task.park()
      end
      return "woken"
    end)
    task.spawn(function()
      task.yield()
      flag = true
      task.unpark(sleeper)
    end)
    assert.same({ true, true, "woken" }, { task.timeout(5, sleeper.join, sleeper) })
  end)


  it("can cancel what cancels it", function()
    local first, second
    local order = {}
    first = task.detach(function()
      local guard <close> = closing(function()
        order[#order + 1] = "first"
        second:cancel()
      end)
      task.sleep(1000)
    end)
    second = task.detach(function()
      local guard <close> = closing(function()
        order[#order + 1] = "second"
        first:cancel()
      end)
      task.sleep(1000)
    end)
    task.yield()
    first:cancel()
    assert.same({ "first", "second" }, order)
    assert.equal("done", first:status())
    assert.equal("done", second:status())
  end)


  it("can cancel its parent, and ends with it", function()
    local parent, child
    local went_on = false
    parent = task.detach(function()
      child = task.spawn(function()
        parent:cancel()
        task.yield()
        went_on = true
      end)
      task.sleep(1000)
    end)
    parent:join()
    child:join()
    assert.is_false(went_on)
    assert.equal("done", child:status())
  end)


  it("cancels a chain of thousands that hang on each other's close variables", function()
    local closed = 0
    local LENGTH <const> = 15000
    local function link(n)
      return task.detach(function()
        local guard <close> = closing(function() closed = closed + 1 end)
        local ending <close> = n > 1 and link(n - 1) or nil
        task.sleep(1000)
      end)
    end
    local first = link(LENGTH)
    while task.stats().ready > 0 do task.yield() end
    first:cancel()
    while closed < LENGTH do task.yield() end
    assert.equal(LENGTH, closed)
  end)


  it("cancels ten thousand that are ready in no time worth naming", function()
    local before = os.clock()
    local children = {}
    for i = 1, 10000 do children[i] = task.spawn(function() end) end
    for i = #children, 1, -1 do children[i]:cancel() end
    assert.is_true(os.clock() - before < 2)
  end)


  it("gives its children up when spawning one more fails half-way", function()
    local closed = 0
    local function slow()
      local guard <close> = closing(function() closed = closed + 1 end)
      task.sleep(1000)
    end
    local ok = pcall(task.race, { slow, slow, "no function" })
    assert.is_false(ok)
    task.yield()
    local ok_all = pcall(task.all, { slow, slow, function() error("x") end })
    assert.is_false(ok_all)
    assert.equal(0, task.stats().ready)
  end)
end)


describe("task.timeout", function()
  it("returns what the function returned in time", function()
    assert.same({ true, 1, 2 }, { task.timeout(5, function() return 1, 2 end) })
  end)


  it("cancels what is late and says so", function()
    local closed = false
    local ok, reason = task.timeout(0.005, function()
      local guard <close> = closing(function() closed = true end)
      task.sleep(1000)
    end)
    assert.is_nil(ok)
    assert.equal("timeout", reason)
    assert.is_true(closed)
  end)
end)


describe("task.all", function()
  it("keeps the order of the results and the limit", function()
    local running, most = 0, 0
    local list = {}
    for i = 1, 30 do
      list[i] = function()
        running = running + 1
        most = math.max(most, running)
        task.sleep(0.0001 * (31 - i))
        running = running - 1
        return i
      end
    end
    local results = task.all(list, { limit = 4 })
    for i = 1, 30 do assert.equal(i, results[i]) end
    assert.equal(4, most)
  end)


  it("cancels the siblings of what fails, and raises the error", function()
    local closed = 0
    local function slow()
      local guard <close> = closing(function() closed = closed + 1 end)
      task.sleep(1000)
    end
    local value = {}
    local ok, err = pcall(task.all, { slow, function() task.sleep(0.001) error(value) end, slow })
    assert.is_false(ok)
    assert.equal(value, err)
    assert.equal(2, closed)
  end)


  it("of nothing is nothing", function() assert.same({}, task.all {}) end)
end)


describe("task.race", function()
  it("takes the first and cancels the others", function()
    local closed = false
    local winner = task.race {
      function()
        local guard <close> = closing(function() closed = true end)
        task.sleep(1000)
      end,
      function() task.sleep(0.001) return "fast" end,
    }
    assert.equal("fast", winner)
    assert.is_true(closed)
  end)
end)


describe("the CPU budget", function()
  it("stops a loop that a pcall surrounds, also in the sandbox's own pcall", function()
    local ok, err, kind = task.spawn(function()
      task.budget(60, "acme.spin")
      while true do sandbox.pcall(function() while true do end end) end
    end):join()
    assert.is_false(ok)
    assert.matches("acme.spin", err)
    assert.equal("script_timeout", kind)
  end)


  it("starts no xpcall handler once it is spent", function()
    local handled = false
    local ok, _, kind = task.spawn(function()
      task.budget(60, "acme.spin")
      sandbox.xpcall(function() while true do end end, function()
        handled = true
        while true do end
      end)
    end):join()
    assert.is_false(ok)
    assert.equal("script_timeout", kind)
    assert.is_false(handled)
  end)


  it("gets out of a recursion without end, though each look at so deep a stack takes long", function()
    collectgarbage()
    local began = time.monotonic()
    local ok = task.spawn(function()
      task.budget(300, "acme.deep")
      local function deep() return 1 + deep() end
      return deep()
    end):join()
    assert.is_false(ok)
    assert.is_true(time.monotonic() - began < 5)
  end)


  it("covers comparators, where nothing can yield", function()
    local ok, _, kind = task.spawn(function()
      task.budget(60, "acme.sort")
      table.sort({ 1, 2, 3 }, function() while true do end end)
    end):join()
    assert.is_false(ok)
    assert.equal("script_timeout", kind)
  end)


  it("covers the closing of a cancelled task", function()
    local child = task.spawn(function()
      local guard <close> = closing(function() while true do end end)
      task.sleep(1000)
    end)
    task.yield()
    child:cancel()
    assert.equal("done", child:status())
  end)


  it("covers a loop that only starts and cancels tasks", function()
    local ok, err, kind = task.spawn(function()
      task.budget(100, "acme.churn")
      while true do task.spawn(function() end):cancel() end
    end):join()
    assert.is_false(ok)
    assert.matches("acme.churn", err)
    assert.equal("script_timeout", kind)
  end)


  it("is not charged with what cancelled tasks do in their close variables", function()
    local ok, result = task.spawn(function()
      task.budget(90, "acme.patient")
      local child = task.spawn(function()
        local guard <close> = closing(function() while true do end end)
        task.sleep(1000)
      end)
      task.yield()
      child:cancel()
      local sum = 0
      for i = 1, 200000 do sum = sum + i end
      return sum
    end):join()
    assert.is_true(ok, tostring(result))
  end)


  it("is renewed by the guard, so that the framework can go on", function()
    local ok, inner, kind, after = task.spawn(function()
      task.budget(60, "acme.spin")
      local finished, _, why = task.guard(function() while true do end end)
      local sum = 0
      for i = 1, 100000 do sum = sum + i end
      return finished, why, sum
    end):join()
    assert.is_true(ok)
    assert.is_false(inner)
    assert.equal("script_timeout", kind)
    assert.equal(5000050000, after)
  end)


  it("counts from one wait to the next", function()
    local ok, count = task.spawn(function()
      task.budget(150, "acme.patient")
      local turns = 0
      for _ = 1, 4 do
        local sum = 0
        for i = 1, 2000000 do sum = sum + i end
        task.sleep(0)
        turns = turns + 1
      end
      return turns
    end):join()
    assert.is_true(ok)
    assert.equal(4, count)
  end)


  it("lets neighbours run while a script computes", function()
    local spin = task.spawn(function()
      task.budget(400, "acme.spin")
      while true do end
    end)
    local turns = 0
    local neighbour = task.spawn(function()
      while spin:status() ~= "done" do
        task.sleep(0.001)
        turns = turns + 1
      end
    end)
    spin:join()
    neighbour:join()
    assert.is_true(turns >= 5, "only " .. turns .. " turns beside 400 ms of computing")
  end)


  it("gives the same results when slices are taken away and given back", function()
    local function compute()
      local parts, sum = {}, 0
      for i = 1, 400000 do
        sum = (sum * 31 + i) % 1000003
        if i % 1000 == 0 then
          local ok, value = sandbox.pcall(function() if i % 3000 == 0 then error(i, 0) end return sum end)
          parts[#parts + 1] = tostring(ok) .. tostring(value)
        end
      end
      return table.concat(parts, ",")
    end
    local children = {}
    for i = 1, 4 do children[i] = task.spawn(compute) end
    local _, first = children[1]:join()
    for i = 2, 4 do
      local _, other = children[i]:join()
      assert.equal(first, other)
    end
  end)
end)


describe("task.guard", function()
  it("passes results and yields through", function()
    assert.same({ true, 1, 2 }, { task.guard(function()
      task.sleep(0.001)
      return 1, 2
    end) })
  end)


  it("returns the error with its traceback", function()
    local function acme_inner() error("boom") end
    local ok, err, kind, traceback = task.guard(function()
      acme_inner()
      return 1
    end)
    assert.is_false(ok)
    assert.matches("boom", err)
    assert.is_nil(kind)
    assert.matches("acme_inner", traceback)
  end)
end)


describe("the sandbox's protected calls", function()
  it("behave as Lua's own", function()
    assert.same({ true, 1, nil, 3, n = 4 }, table.pack(sandbox.pcall(function() return 1, nil, 3 end)))
    local value = {}
    assert.same({ false, value }, { sandbox.pcall(error, value) })
    assert.same({ false }, { sandbox.pcall(error, nil) })
    assert.same({ true, "a", "b" }, { sandbox.xpcall(function(...) return ... end, print, "a", "b") })
    assert.same({ false, "seen x" }, {
      sandbox.xpcall(function() error("x", 0) end, function(e) return "seen " .. e end),
    })
    assert.is_true(sandbox.pcall(task.sleep, 0.001))
  end)


  it("refuse finalizers", function()
    local ok, message = pcall(sandbox.setmetatable, {}, { __gc = function() end })
    assert.is_false(ok)
    assert.matches("__gc", message)
    assert.is_table(sandbox.setmetatable({}, { __index = {} }))
    assert.is_table(sandbox.setmetatable({}, nil))
    assert.has_error(function() sandbox.setmetatable(setmetatable({}, { __metatable = 1 }), {}) end)
  end)
end)


describe("memory", function()
  it("that a script hoards costs that script alone", function()
    collectgarbage()
    local limit = math.floor(collectgarbage("count") * 1024) + 48 * 1024 * 1024
    host.set_memory_limit(limit)
    finally(function() host.set_memory_limit(0) end)
    local neighbour = task.spawn(function()
      for _ = 1, 20 do task.sleep(0.001) end
      return "alive"
    end)
    local ok, _, kind = task.spawn(function()
      task.budget(5000, "acme.hoard")
      local hoard = {}
      while true do
        sandbox.pcall(function() hoard[#hoard + 1] = string.rep("x", 100000) .. #hoard end)
      end
    end):join()
    assert.is_false(ok)
    assert.is_true(kind == "out_of_memory" or kind == "cancelled", tostring(kind))
    assert.same({ true, "alive" }, { neighbour:join() })
  end)
end)


describe("a task that is to go on", function()
  it("is begun again when it fails, and ends when it returns", function()
    local runs = 0
    local kept = task.keep("the work of a spec", function(value)
      assert.equal("argument", value)
      runs = runs + 1
      if runs == 1 then
        error("on purpose")
      end
    end, "argument")
    assert.is_true(kept:join())
    assert.equal(2, runs)
  end)


  it("is begun again when it was cancelled for want of memory", function()
    local runs, inner = 0, nil
    local kept = task.keep("the work of a spec", function()
      runs, inner = runs + 1, task.current()
      if runs == 1 then
        task.sleep(60)
      end
    end)
    task.sleep(0.01)
    inner:cancel()
    assert.is_true(kept:join())
    assert.equal(2, runs)
  end)


  it("takes what it does along when it is cancelled", function()
    local has_ended = false
    local kept = task.keep("the work of a spec", function()
      local ending <close> = setmetatable({}, { __close = function() has_ended = true end })
      task.sleep(60)
    end)
    task.sleep(0.01)
    kept:cancel()
    assert.is_false((kept:join()))
    assert.is_true(has_ended)
  end)
end)


describe("a bounded function", function()
  it("hands over its results, or what it raised", function()
    assert.same({ true, 1, 2 }, { task.bounded(1000, "spec", function(a, b) return a, b end, 1, 2) })
    local ok, err, kind = task.bounded(1000, "spec", error, "on purpose", 0)
    assert.same({ false, "on purpose" }, { ok, err })
    assert.is_nil(kind)
  end)


  it("ends at its limit, and who called it goes on", function()
    local ok, _, kind = task.bounded(20, "spec", function() while true do end end)
    assert.is_false(ok)
    assert.equal("script_timeout", kind)
    task.sleep(0)
  end)


  it("that hoards memory ends alone", function()
    collectgarbage()
    host.set_memory_limit(math.floor(collectgarbage("count") * 1024) + 48 * 1024 * 1024)
    finally(function() host.set_memory_limit(0) end)
    local ok, _, kind = task.bounded(5000, "spec", function()
      local hoard = {}
      while true do
        hoard = { hoard }
      end
    end)
    assert.is_false(ok)
    assert.equal("out_of_memory", kind)
  end)
end)


describe("the frozen clock", function()
  before_each(host.freeze_clock)
  after_each(host.thaw_clock)


  it("moves only when told, and fires timers in order", function()
    local order = {}
    local children = {}
    for _, seconds in ipairs { 30, 10, 20 } do
      children[#children + 1] = task.spawn(function()
        task.sleep(seconds)
        order[#order + 1] = seconds
      end)
    end
    local before, wall = time.monotonic(), time.now()
    host.advance_clock(25)
    assert.same({ 10, 20 }, order)
    assert.is_true(math.abs(time.monotonic() - before - 25) < 1e-6)
    assert.is_true(math.abs(time.now() - wall - 25) < 0.002)
    host.advance_clock(5)
    assert.same({ 10, 20, 30 }, order)
    for _, child in ipairs(children) do child:join() end
  end)


  it("can be moved on by one after another, whoever looks first", function()
    local child = task.spawn(function() for _ = 1, 3 do task.yield() end end)
    local one = task.spawn(function() host.advance_clock(nil, child) return "one" end)
    local two = task.spawn(function()
      while not pcall(host.advance_clock, 1) do task.yield() end
      return "two"
    end)
    assert.same({ true, true, "one" }, { task.real_timeout(5, one.join, one) })
    assert.same({ true, true, "two" }, { task.real_timeout(5, two.join, two) })
  end)


  it("lets timers go on when it is let go", function()
    local child = task.spawn(function() task.sleep(0.02) return "done" end)
    task.yield()
    task.yield()
    task.real_timeout(0.005, task.park)
    host.thaw_clock()
    assert.same({ true, true, "done" }, { task.real_timeout(5, child.join, child) })
  end)


  it("refuses to go further than numbers reach", function()
    assert.has_error(function() host.advance_clock(1e300) end)
    assert.has_error(function() host.advance_clock(0 / 0) end)
  end)


  it("moves as far as a task needs, and no further", function()
    local before = time.monotonic()
    local child = task.spawn(function()
      task.sleep(3600)
      task.sleep(1800)
      return "done"
    end)
    local other = task.spawn(function() task.sleep(100000) end)
    host.advance_clock(nil, child)
    assert.same({ true, "done" }, { child:join() })
    assert.is_true(math.abs(time.monotonic() - before - 5400) < 1e-6)
    other:cancel()
  end)
end)
