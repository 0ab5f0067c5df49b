local json = require "tide.json"
local time = require "tide.time"
local support = require "spec.support.service"

local WORKERS = 2
local BYTE = "\xff"


local function answering(value)
  return ("return { operations = { ask = { run = function() return { value = %q } end } } }"):format(value)
end


-- What harms one reload must not harm the next: a service is never started again because of a file.
describe("a reload of files that do harm", function()
  local project, service


  local function serve(config)
    project = support.project { ["providers/work.lua"] = answering("first") }
    project:write("config.lua", "return {" .. (config or "") .. "}")
    service = project:serve { workers = WORKERS }
  end


  after_each(function()
    project:close()
  end)


  local function reload()
    local status, body = service:request("POST", "/api/v1/reload")
    assert.equal(200, status)
    return body.data
  end


  local function answer()
    local _, body = service:call("work", "ask")
    return body.data and body.data.value or body.code
  end


  -- A change of what is sound is taken at once.
  local function goes_on(value)
    project:write("providers/work.lua", answering(value))
    local started = time.monotonic()
    reload()
    assert.equal(value, answer())
    assert.is_true(time.monotonic() - started < 2)
  end


  it("goes on after a file whose name is not text", function()
    serve()
    project:write("providers/" .. BYTE .. ".lua", answering("other"))
    assert.matches("name", reload().errors[1])
    goes_on("second")
    os.remove(project.folder .. "/providers/" .. BYTE .. ".lua")
    assert.same({}, reload().errors)
  end)


  it("goes on after a shared script whose name is not text", function()
    serve()
    project:write("scripts/" .. BYTE .. ".lua", "return {}")
    reload()
    goes_on("second")
  end)


  it("goes on after a configuration with text that is none", function()
    serve()
    for _, text in ipairs { 'return { listen = "\\xff" }', 'return { tokens = { ["\\xff"] = "\\xff" } }',
      'return { providers = "\\xff" }', 'return { ["\\xff"] = {} }', 'error("\\xff")' } do
      project:write("config.lua", text)
      local result = reload()
      assert.equal("failed", result.outcome)
      assert.equal(1, #result.errors)
      assert.is_nil(result.errors[1]:find("internal", 1, true), result.errors[1])
    end
    project:write("config.lua", "return {}")
    goes_on("second")
  end)


  it("goes on after a provider that takes all memory as it is loaded", function()
    serve("memory_limit_mb = 32")
    project:write("providers/greedy.lua", "local t = {} for i = 1, 1e7 do t[i] = { i } end return {}")
    assert.matches("^providers/greedy.lua: .*stopped", reload().errors[1])
    goes_on("second")
    project:write("providers/greedy.lua", answering("other"))
    assert.same({}, reload().errors)
  end)


  it("goes on after a configuration that takes all memory", function()
    serve("memory_limit_mb = 32")
    project:write("config.lua", "local t = {} for i = 1, 1e7 do t[i] = { i } end return {}")
    assert.matches("^config.lua: .*stopped", reload().errors[1])
    project:write("config.lua", "return { memory_limit_mb = 32 }")
    goes_on("second")
  end)


  it("says what it did as lists, also when that was nothing", function()
    serve()
    local result = reload()
    assert.equal("unchanged", result.outcome)
    assert.is_true(json.is_array(result.errors))
  end)


  it("leaves the others alone when a file has the name of none", function()
    serve()
    project:write("providers/Work.lua", answering("other"))
    assert.matches("^providers/Work.lua: ", reload().errors[1])
    goes_on("second")
  end)


  it("leaves out what the process has no room for, and serves the others", function()
    project = support.project()
    project:write("full.lua", [[
      local call, host, live, rollout = require "tide.call", require "tide.host", require "tide.live",
        require "tide.reload.rollout"
      local slots = require "tide.state.slots"
      local TEXT = "return { operations = { ask = { run = function() return 1 end } } }"
      local function sources_of(names)
        local files = {}
        for index, name in ipairs(names) do
          files[index] = { name = name, path = name .. ".lua", text = TEXT }
        end
        return { config_path = "config.lua", config_text = "return {}", files = files, scripts = {}, bundled = {} }
      end
      live.publish(sources_of { "old" })
      local own = live.new(assert(live.build()))
      while pcall(slots.of, "taken" .. math.random(1 << 60)) do end
      local sources = sources_of { "old", "new" }
      local candidate = assert(own:build(sources, {}))
      assert(rollout.propose(candidate, sources, {}, 0))
      local present = rollout.commit(candidate, own)
      assert(#present.errors == 1 and present.errors[1]:find("^new.lua: "), present.errors[1])
      local _, err = call.run(present, "new", "ask", {})
      assert(err.code == "not_loaded", err.code)
      assert(call.run(present, "old", "ask", {}).json == "1")
      return 0
    ]])
    local code, _, err = project:run { "run", "full.lua" }
    assert.equal("", err)
    assert.equal(0, code)
  end)
end)
