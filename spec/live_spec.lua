local host = require "tide.host"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local call = require "tide.call"
local live = require "tide.live"
local rollout = require "tide.reload.rollout"


local function provider(value, more)
  return ("return { operations = { ask = { input = true, run = function() return %s end } } %s }"):format(value,
    more or "")
end


local function sources_of(files, config)
  local list = {}
  for name, text in pairs(files) do
    list[#list + 1] = { name = name, path = "providers/" .. name .. ".lua", text = text }
  end
  return { config_path = "config.lua", config_text = config or "return {}", files = list, scripts = {}, bundled = {} }
end


describe("the generation of a worker", function()
  local own
  local settings_version = 0


  local function start(files, config)
    live.publish(sources_of(files, config))
    own = live.new(assert(live.build()))
  end


  local function publish_settings(overrides)
    local _, version = host.published(live.SETTINGS)
    settings_version = (version or 0) + 1
    host.publish(live.SETTINGS, json.encode(overrides), settings_version)
  end


  -- Puts other files in force; no other worker runs here.
  local function change(files, terms, config)
    local sources = sources_of(files, config)
    local candidate, faults = own:build(sources, terms or {})
    if not candidate then
      return nil, faults
    end
    assert(rollout.propose(candidate, sources, terms or {}, 0))
    return rollout.commit(candidate, own)
  end


  local function ask(name, generation)
    local result = assert(call.run(generation or own:current(), name, "ask", {}))
    return json.decode(result.json)
  end


  before_each(function()
    publish_settings {}
  end)


  teardown(function()
    publish_settings {}
  end)


  it("is another one from the commit on, and stays what it was for who holds the old one", function()
    start { one = provider(1), two = provider(10) }
    local before = own:current()
    change { one = provider(2), two = provider(10) }
    assert.equal(2, ask "one")
    assert.equal(1, ask("one", before))
    assert.equal(before, before)
    assert.not_equal(before, own:current())
  end)


  it("is the new one for all who ask after a change, also while one of them still takes it", function()
    local files, overrides = {}, {}
    for index = 1, 300 do
      local name = "many" .. index
      files[name], overrides[name] = provider(1), { timeout_seconds = 7 }
    end
    start(files)
    own:current()
    publish_settings(overrides)
    local version, asking = settings_version, {}
    for index = 1, 50 do
      asking[index] = task.spawn(function() return own:current().settings_version end)
    end
    for _, one in ipairs(asking) do
      assert.same({ true, version }, { one:join() })
    end
  end)


  it("loads nowhere what did not load in the main worker, though it would", function()
    host.freeze_clock()
    finally(host.thaw_clock)
    start { one = provider(1) }
    local other = live.new(assert(live.build()))
    if math.floor(time.now()) % 2 == 1 then
      host.advance_clock(1)
    end
    local sources = sources_of { one = "if os.time() % 2 == 0 then error('not now') end " .. provider(2) }
    local candidate = assert(own:build(sources, {}))
    assert.equal(1, #candidate.errors)
    host.advance_clock(1)
    assert(rollout.propose(candidate, sources, {}, 0))
    other:answer()
    rollout.commit(candidate, own)
    assert.same(own:current().errors, other:current().errors)
    assert.equal(candidate.version, other:current().version)
    assert.equal(1, ask("one", other:current()))
  end)


  it("shares with the one before whatever has not changed", function()
    start { one = provider(1), two = provider(10) }
    local before = own:current()
    change { one = provider(2), two = provider(10) }
    assert.equal(before.integrations.two, own:current().integrations.two)
    assert.not_equal(before.integrations.one, own:current().integrations.one)
  end)


  it("keeps the code of an integration whose file does not load, with what is wrong with it", function()
    start { one = provider(1) }
    change { one = "return {\n oops oops" }
    local integration = own:current().integrations.one
    assert.equal(1, ask "one")
    assert.equal(2, integration.error.line)
    assert.matches("^providers/one%.lua:2: ", own:current().errors[1])
    change { one = provider(3) }
    assert.equal(3, ask "one")
    assert.is_nil(own:current().integrations.one.error)
  end)


  it("does not try again what did not load, unless it is asked to", function()
    local slow = "local n = 0 for i = 1, 2e6 do n = n + i end error('after ' .. n)"
    start { one = provider(1) }
    change { one = slow }
    local rejected = own:current().integrations.one.rejected
    change { one = slow, two = provider(1) }
    assert.equal(rejected, own:current().integrations.one.rejected)
    change({ one = slow, two = provider(2) }, { tries_again = true })
    assert.equal(rejected.faults[1], own:current().errors[1])
  end)


  it("refuses a configuration as a whole", function()
    start { one = provider(1) }
    local built, faults = change({ one = provider(2) }, {}, "return {\n  workerz = 2 }")
    assert.is_nil(built)
    assert.matches("config%.lua:2: workerz: unknown key", faults[1])
    assert.equal(1, ask "one")
  end)


  it("is not touched by a proposal that is withdrawn", function()
    start { one = provider(1) }
    local before = own:current()
    local sources = sources_of { one = provider(2) }
    local candidate = assert(own:build(sources, {}))
    assert(rollout.propose(candidate, sources, {}, 0))
    rollout.withdraw()
    assert.equal(before, own:current())
  end)


  it("gives a proposal up when a worker does not answer", function()
    start { one = provider(1) }
    local sources = sources_of { one = provider(2) }
    local candidate = assert(own:build(sources, {}))
    host.freeze_clock()
    local finally = setmetatable({}, { __close = host.thaw_clock })
    local _ <close> = finally
    local proposing = task.spawn(rollout.propose, candidate, sources, {}, 1)
    host.advance_clock(6)
    local _, ready, faults = proposing:join()
    assert.is_nil(ready)
    assert.equal("worker 1 did not build it within 5 seconds", faults[1])
    assert.equal(1, ask "one")
  end)


  it("takes run-time settings at the next task, and makes anew only what they are about", function()
    start { one = provider(1), two = provider(10) }
    local before = own:current()
    publish_settings { one = { timeout_seconds = 3 } }
    local after = own:current()
    assert.equal(3, after.integrations.one.values.timeout_seconds)
    assert.equal("run-time", after.integrations.one.settings_sources.timeout_seconds)
    assert.equal(before.integrations.two, after.integrations.two)
    assert.equal(before.integrations.one.code, after.integrations.one.code)
    assert.equal(30, before.integrations.one.values.timeout_seconds)
    publish_settings {}
    assert.equal(30, own:current().integrations.one.values.timeout_seconds)
  end)


  it("leaves out a setting that is wrong, and says so", function()
    start { one = provider(1) }
    publish_settings { one = { timeout_seconds = "soon", max_retries = 7 } }
    local after = own:current()
    assert.equal(7, after.integrations.one.values.max_retries)
    assert.equal(30, after.integrations.one.values.timeout_seconds)
    assert.matches("timeout_seconds", after.errors[1])
  end)


  it("carries run-time settings over to the next one", function()
    start { one = provider(1) }
    publish_settings { one = { max_retries = 7 } }
    change { one = provider(2) }
    assert.equal(2, ask "one")
    assert.equal(7, own:current().integrations.one.values.max_retries)
  end)


  it("frees the ones before", function()
    start { one = provider(1) }
    local gone = setmetatable({}, { __mode = "k" })
    local function round(count)
      for value = 1, count do
        gone[own:current()] = true
        change { one = provider(value) }
        publish_settings { one = { max_retries = value % 10 } }
        gone[own:current()] = true
        ask "one"
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    local before = round(100)
    local after = round(1000)
    local left = 0
    for _ in pairs(gone) do
      left = left + 1
    end
    assert.is_true(left <= 2, left)
    assert.is_true(after < before * 1.02, ("%.0f KB after %.0f KB"):format(after, before))
  end)
end)
