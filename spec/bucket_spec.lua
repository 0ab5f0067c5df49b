local bucket = require "tide.state.bucket"
local host = require "tide.host"
local slots = require "tide.state.slots"
local t = require "tide.test"
local task = require "tide.task"
local time = require "tide.time"
local uuid = require "tide.uuid"


local function limiter(settings)
  local cell = bucket.limiter("spec-" .. uuid.v4())
  cell:configure(settings)
  return cell
end


local function seeded()
  local seed = os.time()
  math.randomseed(seed)
  return "seed " .. seed
end


describe("tide.state.bucket", function()
  before_each(function() host.freeze_clock() end)
  after_each(function() host.thaw_clock() end)

  it("Property 27: no more is granted in any window than the rates and the burst allow, and no less than "
    .. "they offer", function()
    local seed = seeded()
    for _ = 1, 6 do
      local per_minute, burst = math.random(1, 600), math.random(1, 50)
      local per_hour = math.random(per_minute, per_minute * 60)
      local cell = limiter { per_minute = per_minute, per_hour = per_hour, burst = burst }
      local grants, now = {}, 0
      for _ = 1, 200 do
        local dt = math.random() * 2
        t.advance(dt)
        now = now + dt
        if cell:take(0) then
          grants[#grants + 1] = now
        else
          local state = cell:state()
          assert.is_true(state.minute < 1 or state.hour < 1, seed)
        end
      end
      for first = 1, #grants do
        local last = #grants
        local span = grants[last] - grants[first]
        assert.is_true(last - first + 1 <= burst + span * per_minute / 60 + 1e-6, seed)
        assert.is_true(last - first + 1 <= per_hour + span * per_hour / 3600 + 1e-6, seed)
      end
    end
  end)

  it("Property 28: calls at the limit queue until tokens are there, and are answered in arrival order", function()
    local seed = seeded()
    for _ = 1, 10 do
      local rate, count = math.random(30, 600), math.random(5, 40)
      local cell = limiter { per_minute = rate, burst = 1 }
      local order, calls, began = {}, {}, time.monotonic()
      for index = 1, count do
        calls[index] = function()
          local granted, waited = cell:take(3600)
          assert.is_true(granted, seed)
          assert.is_true(math.abs(time.monotonic() - began - waited) < 0.001, seed)
          order[#order + 1] = index
          return true
        end
      end
      t.all(calls)
      for index = 1, count do
        assert.equal(index, order[index], seed)
      end
      local least = (count - 1) * 60 / rate
      local took = time.monotonic() - began
      assert.is_true(took >= least - 1e-6 and took < least + 0.01 * count, seed)
    end
  end)

  it("refuses at once who would wait too long, saying when to come again", function()
    local cell = limiter { per_minute = 6, burst = 1 }
    assert.is_true(cell:take(0))
    local granted, retry_after, reason = cell:take(5)
    assert.is_false(granted)
    assert.equal("rate", reason)
    assert.is_true(math.abs(retry_after - 10) < 0.001)
    assert.is_true(math.abs(cell:state().estimate_seconds - 10) < 0.001)
  end)

  it("gives nobody a token before a pause has ended, and refuses who cannot wait so long", function()
    local cell = limiter { per_minute = 600 }
    assert.equal(7, cell:pause(7, 3600))
    assert.is_false(cell:try())
    local _, retry_after, reason = cell:take(5)
    assert.equal("pause", reason)
    assert.is_true(math.abs(retry_after - 7) < 0.001)
    local granted, waited = t.run(cell.take, cell, 10)
    assert.is_true(granted)
    assert.is_true(waited >= 7 and waited < 7.01)
  end)

  it("lets who is cancelled leave without a cost", function()
    local cell = limiter { per_minute = 60, burst = 1 }
    cell:take(0)
    local waiting = task.spawn(cell.take, cell, 100)
    t.advance(0.1)
    assert.equal(1, cell:state().waiting)
    waiting:cancel()
    waiting:join()
    assert.equal(0, cell:state().waiting)
    t.advance(1)
    assert.is_true(cell:take(0))
  end)

  it("refuses at a change who would wait too long from then on, and keeps the others", function()
    local cell = limiter { per_minute = 60, burst = 1 }
    assert.is_true(cell:try())
    local granted, tasks = {}, {}
    for index, limit in ipairs { 100, 100, 4 } do
      tasks[index] = task.spawn(function() granted[index] = cell:take(limit) end)
    end
    task.yield()
    assert.equal(3, cell:state().waiting)
    cell:configure { per_minute = 20, burst = 1 }
    tasks[3]:join()
    assert.is_false(granted[3])
    assert.equal(2, cell:state().waiting)
    for _, one in ipairs(tasks) do
      one:cancel()
    end
    assert.equal(0, cell:state().waiting)
  end)

  it("refuses past the bound of its line", function()
    local cell = limiter { per_minute = 60, burst = 1, queue = 1 }
    cell:take(0)
    local waiting <close> = task.spawn(cell.take, cell, 100)
    t.advance(0.1)
    assert.equal("queue", select(3, cell:take(100)))
    t.advance(1)
    assert.is_true(waiting:join())
  end)

  it("keeps its tokens through a change and a restart", function()
    local cell = limiter { per_minute = 60, per_hour = 100 }
    for _ = 1, 50 do
      cell:take(0)
    end
    cell:configure { per_minute = 600, per_hour = 100 }
    assert.is_true(math.abs(cell:state().minute - 10) < 0.001)
    local saved = cell:save()
    assert.is_nil(cell:save())
    local after = limiter { per_minute = 600, per_hour = 100 }
    after:restore(saved, 1)
    assert.is_true(math.abs(after:state().minute - 20) < 0.001)
    assert.is_true(math.abs(after:state().hour - 50 - 1 / 36) < 0.001)
  end)

  it("says once that it was paused", function()
    local cell = limiter {}
    local paused = task.spawn(bucket.next_pause)
    t.advance(0)
    cell:pause(1, 10)
    cell:pause(2, 10)
    t.advance(0.1)
    local _, name = paused:join()
    assert.is_truthy(name:find("^spec%-"))
  end)
end)


describe("tide.state.slots", function()
  before_each(function() host.freeze_clock() end)
  after_each(function() host.thaw_clock() end)

  local function cell(max)
    local made = slots.of("spec-" .. uuid.v4())
    made:configure(max)
    return made
  end

  it("lets so many in, the others in arrival order", function()
    local made, order, calls, inside, most = cell(2), {}, {}, 0, 0
    for index = 1, 8 do
      calls[index] = function()
        local slot <close> = made:enter(100)
        assert.is_not_nil(slot)
        inside = inside + 1
        most = math.max(most, inside)
        order[#order + 1] = index
        task.sleep(1)
        inside = inside - 1
        return true
      end
    end
    t.all(calls)
    assert.equal(2, most)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, order)
    assert.equal(0, made:state().used)
  end)

  it("refuses who has waited long enough, and at once who may not wait", function()
    local made = cell(1)
    local slot <close> = made:enter(0)
    assert.is_not_nil(slot)
    local refused, retry_after = made:enter(0)
    assert.is_nil(refused)
    assert.equal(1, retry_after)
    local began = time.monotonic()
    assert.is_nil((t.run(made.enter, made, 3)))
    assert.is_true(math.abs(time.monotonic() - began - 3) < 0.01)
    assert.same({ used = 1, max = 1, waiting = 0 }, made:state())
  end)

  it("refuses past the bound of its line, and at once", function()
    local made = cell(1)
    made:configure(1, 2)
    local slot = made:enter(0)
    local waiting = { task.spawn(made.enter, made, 50), task.spawn(made.enter, made, 50) }
    task.yield()
    assert.same({ used = 1, max = 1, waiting = 2 }, made:state())
    local began = time.monotonic()
    assert.is_nil((made:enter(50)))
    assert.equal(began, time.monotonic())
    for _, one in ipairs(waiting) do
      one:cancel()
    end
    slot:leave()
    assert.same({ used = 0, max = 1, waiting = 0 }, made:state())
  end)

  it("cannot be waited for outside a task", function()
    local made = cell(1)
    local slot <close> = made:enter(0)
    assert.is_not_nil(slot)
    local ok, message = coroutine.wrap(pcall)(made.enter, made, 5)
    assert.is_false(ok)
    assert.matches("coroutine", message, 1, true)
    assert.same({ used = 1, max = 1, waiting = 0 }, made:state())
  end)

  it("frees a slot once, however often it is left", function()
    local made = cell(2)
    local slot = made:enter(0)
    slot:leave()
    slot:leave()
    assert.equal(0, made:state().used)
  end)

  it("has no limit until it is given one", function()
    local made, held = slots.of("spec-" .. uuid.v4()), {}
    for index = 1, 100 do
      held[index] = made:enter(0)
    end
    assert.equal(100, made:state().used)
    assert.is_nil(made:state().max)
    for _, slot in ipairs(held) do
      slot:leave()
    end
  end)
end)
