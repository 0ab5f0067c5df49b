-- Reloads in this process, with a service that refuses.

local task = require "tide.task"
local live = require "tide.live"
local project = require "tide.project"
local reloader = require "tide.reload.reloader"
local request = require "tide.reload.request"
local opened_store = require "spec.support.store"
local support = require "spec.support.service"


local function provider(value)
  return ("return { operations = { ask = { input = true, run = function() return %d end } } }"):format(value)
end


describe("the reloader", function()
  local folder, own, running, service


  setup(function()
    opened_store.open()
  end)


  before_each(function()
    folder = support.project { ["providers/work.lua"] = provider(1) }
    local opened = assert(project.read(folder.folder .. "/config.lua"))
    live.publish(opened.sources)
    own = live.new(assert(live.build()))
    service = { refusals = 0, prepare = function(self)
      if self.refusals > 0 then
        self.refusals = self.refusals - 1
        return nil, "the store is away"
      end
      return true
    end, adopt = function() end }
    local rollback = { go_back = function() return false end, substitutes = function() return {} end,
      settle = function() end, begin = function() end }
    running = reloader.new(opened, own, 0, service, rollback)
  end)


  after_each(function()
    folder:close()
  end)


  local function version()
    return own:current().integrations.work.version
  end


  -- Stops it at the end of the test.
  local function stopping(one)
    return setmetatable({}, { __close = function() one:stop() end })
  end


  it("changes nothing when the service is not ready, and tries again by itself", function()
    running:start()
    local guard <close> = stopping(running)
    assert(request.ask { actor = "files" })
    local before = version()
    service.refusals = 1
    folder:write("providers/work.lua", provider(2))
    support.wait("the refusal", function() return service.refusals == 0 end)
    assert.equal(before, version())
    support.wait("the fault", function() return request.faults()[1] == "the store is away" end)
    support.wait("the new version", function() return version() ~= before end)
    support.wait("no fault", function() return #request.faults() == 0 end)
  end)


  it("answers all who ask while one is under way by one more", function()
    local runs = 0
    running.reload = function()
      runs = runs + 1
      task.sleep(0.05)
      return { outcome = "ok", errors = {}, run = runs }
    end
    running.tasks = { task.detach(running.serve, running) }
    local guard <close> = stopping(running)
    local asking = {}
    for index = 1, 20 do
      asking[index] = task.spawn(request.ask, { actor = "test" })
      task.sleep(0.001)
    end
    for index = 1, 20 do
      local _, result = asking[index]:join()
      assert.is_true(result.run <= 3, result.run)
    end
    assert.is_true(runs <= 3, runs)
  end)


  it("survives a mistake of its own", function()
    running.service.prepare = function() error("oops") end
    running:start()
    local guard <close> = stopping(running)
    folder:write("providers/work.lua", provider(2))
    local result = request.ask { actor = "test" }
    assert.equal("failed", result.outcome)
    assert.matches("internal error: .*oops", result.errors[1])
    local before = version()
    running.service.prepare = function() return true end
    assert.not_equal("failed", request.ask({ actor = "test" }).outcome)
    assert.not_equal(before, version())
  end)
end)
