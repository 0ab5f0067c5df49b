local cache = require "tide.state.cache"
local host = require "tide.host"
local task = require "tide.task"


-- A space that no other spec has used.
local made = 0
local function new_space()
  made = made + 1
  return assert(cache.space("spec_cache#" .. made))
end


-- Random numbers that a failure can be repeated with.
local function seed()
  local value = os.time()
  math.randomseed(value)
  return "seed " .. value
end


describe("tide.state.cache", function()
  before_each(function() host.freeze_clock() end)
  after_each(function() host.thaw_clock() end)


  it("gives the same space for the same name", function()
    assert.equal(cache.space("spec_same"), cache.space("spec_same"))
    assert.not_equal(cache.space("spec_same"), cache.space("spec_other"))
  end)


  it("gives back what was put, with its age and the time until it expires", function()
    local space = new_space()
    assert.is_nil(space:get("key"))
    assert.is_true(space:put("key\0more", "a\0b", 60, 30))
    assert.same({ "a\0b", 0, 60, false }, { space:get("key\0more") })
    host.advance_clock(45)
    assert.same({ "a\0b", 45, 15, false }, { space:get("key\0more") })
    host.advance_clock(20)
    assert.same({ "a\0b", 65, -5, false }, { space:get("key\0more") })
    host.advance_clock(25)
    assert.is_nil(space:get("key\0more"))
    assert.is_nil(space:get("key"))
  end)


  it("is not fresh any more when its time to live has just passed", function()
    local space = new_space()
    space:put("key", "value", 60, 30)
    host.advance_clock(60)
    assert.is_true(select(3, space:get("key")) < 0)
  end)


  it("marks what is negative", function()
    local space = new_space()
    space:put("key", "", 60, 0, nil, true)
    assert.same({ "", 0, 60, true }, { space:get("key") })
    space:put("key", "found", 60, 0, space:epoch())
    assert.same({ "found", 0, 60, false }, { space:get("key") })
  end)


  it("refuses what was made before a delete", function()
    local space = new_space()
    local epoch = space:epoch()
    assert.is_true(space:put("key", "value", 60, 0, epoch))
    assert.is_false(space:delete("other"))
    assert.same({ false, "epoch" }, { space:put("key", "older", 60, 0, epoch) })
    assert.equal("value", (space:get("key")))
    assert.is_true(space:delete("key"))
    assert.is_true(space:put("key", "newer", 60, 0))
    epoch = space:epoch()
    assert.equal(0, space:delete_matching("other*"))
    assert.same({ false, "epoch" }, { space:put("key", "older", 60, 0, epoch) })
    epoch = space:epoch()
    assert.equal(1, space:clear())
    assert.same({ false, "epoch" }, { space:put("key", "older", 60, 0, epoch) })
  end)


  it("deletes and counts by pattern, held against the key before its first NUL", function()
    local space = new_space()
    for number = 1, 20 do
      space:put(("track:%d\0hash of %d"):format(number, number), "value", 60, 0)
    end
    assert.equal(20, space:count_matching("track:*"))
    assert.equal(0, space:count_matching("*hash*"))
    assert.equal(11, space:delete_matching("track:1*"))
    assert.equal(1, space:delete_matching("track:?0"))
    assert.equal(8, space:count_matching("*"))
  end)


  it("lists keys by pattern, as many as asked, up to their first NUL and not beyond a bound", function()
    local space = new_space()
    for number = 1, 20 do
      space:put(("track:%02d\0hash of %d"):format(number, number), "value", 60, 0)
    end
    local keys, count = space:keys("track:1*", 100)
    table.sort(keys)
    assert.equal(10, count)
    assert.equal(10, #keys)
    assert.same({ "track:10", "track:19" }, { keys[1], keys[10] })
    keys, count = space:keys("*", 3)
    assert.same({ 3, 20 }, { #keys, count })
    assert.same({}, (space:keys("none", 5)))
    assert.same({}, (space:keys("*", 0)))
    space:put(("x"):rep(3000), "value", 60, 0)
    assert.equal(1024, #space:keys("x*", 1)[1])
    assert.has_error(function() space:keys("*", 10001) end)
    assert.equal(21, space:stats().entries)
  end)


  it("lists tens of thousands, with others in between", function()
    local space = new_space()
    for number = 1, 20000 do space:put("key " .. number, "value", 60, 0) end
    local keys, count = space:keys("*", 10000)
    assert.same({ 10000, 20000 }, { #keys, count })
  end)


  it("lets others run while it deletes many, and can be cancelled", function()
    local space = new_space()
    for number = 1, 20000 do space:put("key " .. number, "value", 60, 0) end
    local turns, done = 0, false
    local other = task.spawn(function()
      while not done do
        turns = turns + 1
        task.yield()
      end
    end)
    assert.equal(20000, space:count_matching("*"))
    assert.is_true(turns > 3)
    local deleting = task.spawn(function() space:clear() end)
    task.yield()
    deleting:cancel()
    local left = space:count_matching("*")
    assert.is_true(left > 0 and left < 20000)
    assert.equal(left, space:delete_matching("key *"))
    done = true
    other:join()
  end)


  it("refuses what is too large, and says so", function()
    local space = new_space()
    assert.same({ false, "too_large" }, { space:put("key", ("v"):rep(1048577), 60, 0) })
    assert.same({ false, "too_large" }, { space:put(("k"):rep(65537), "value", 60, 0) })
    assert.is_true(space:put(("k"):rep(65536), ("v"):rep(1048576), 60, 0))
    assert.equal(1048576, #space:get(("k"):rep(65536)))
    assert.equal(2, space:stats().refused)
    space:clear()
  end)


  it("stays within its limit", function()
    local space = new_space()
    local before = cache.stats()
    finally(function() cache.set_limit(before.max_bytes) end)
    for number = 1, 1000 do space:put("key " .. number, ("v"):rep(1000), 60, 0) end
    cache.set_limit(262144)
    local after = cache.stats()
    assert.equal(262144, after.max_bytes)
    assert.is_true(after.bytes <= 262144)
    assert.is_true(after.evictions > before.evictions)
    assert.is_true(space:stats().entries < 1000)
    assert.same({ false, "full" }, { space:put("key", ("v"):rep(16384), 60, 0) })
    assert.equal(before.refused + 1, cache.stats().refused)
  end)


  it("counts what it is told, and what it does itself", function()
    local space = new_space()
    for times, kind in ipairs { "hit", "stale", "miss", "negative" } do
      for _ = 1, times do space:count(kind) end
    end
    space:put("key", "value", 60, 0)
    space:put("other", "value", 60, 0)
    space:get("key")
    space:delete("key")
    local stats = space:stats()
    assert.is_true(stats.bytes > #"other" + #"value")
    stats.bytes = nil
    assert.same({ hits = 1, stale_hits = 2, misses = 3, negative_hits = 4, stores = 2, refused = 0, evictions = 0,
      deletes = 1, entries = 1 }, stats)
  end)


  it("refuses what makes no sense", function()
    local space = new_space()
    assert.has_error(function() cache.space("") end)
    assert.has_error(function() cache.space(("n"):rep(128)) end)
    assert.has_error(function() cache.set_limit(-1) end)
    assert.has_error(function() space:get() end)
    assert.has_error(function() space.get({}, "key") end)
    assert.has_error(function() space:put("key", {}, 60, 0) end)
    assert.has_error(function() space:put("key", "value", -1, 0) end)
    assert.has_error(function() space:put("key", "value", 0 / 0, 0) end)
    assert.has_error(function() space:put("key", "value", 1 / 0, 0) end)
    assert.has_error(function() space:put("key", "value", 60) end)
    assert.has_error(function() space:put("key", "value", 60, 0, "first") end)
    assert.has_error(function() space:count("hits") end)
    assert.has_error(function() space:delete_matching(("*"):rep(4097)) end)
    assert.equal(0, space:stats().entries)
  end)


  it("Property 30: what is stored expires after its time to live, whatever that is", function()
    local words = seed()
    local space = new_space()
    local entries = {}
    for step = 1, 400 do
      local key = "key " .. math.random(20)
      if math.random(3) == 1 then
        entries[key] = { value = tostring(step), ttl = math.random(0, 100), keep = math.random(0, 50), age = 0 }
        space:put(key, tostring(step), entries[key].ttl, entries[key].keep)
      else
        local seconds = math.random(0, 20)
        host.advance_clock(seconds)
        for _, entry in pairs(entries) do entry.age = entry.age + seconds end
      end
      for name, entry in pairs(entries) do
        local value, age, expires_in = space:get(name)
        if entry.age >= entry.ttl + entry.keep then
          assert.is_nil(value, words)
        else
          assert.equal(entry.value, value, words)
          assert.is_true(math.abs(entry.age - age) < 1e-6, words)
          assert.equal(entry.age < entry.ttl, expires_in > 0, words)
        end
      end
    end
  end)
end)
