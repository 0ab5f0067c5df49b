local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"
local server = require "tide.server"
local task = require "tide.task"
local time = require "tide.time"
local reload_load = require "spec.support.reload_load"
local support = require "spec.support.service"

local WORKERS = 2
local TRIES = 12
-- From a save to its effect on every worker.
local EFFECT_SECONDS = 1


-- A provider whose one operation answers `value`.
local function answering(value, rest)
  return ([[
return {
  operations = {
    ask = {
      input = true, run = function() return { value = %s } end, mock = function() return { value = %s } end,
    },
    wait = { input = true, run = function(ctx, input) ctx.sleep(input.seconds) return { value = %s } end },
  },
  %s
}
]]):format(value, value, value, rest or "")
end


describe("a reload", function()
  local project, service


  local function serve(files, config, options)
    project = support.project(files or { ["providers/work.lua"] = answering(1) })
    project:write("config.lua", "return {" .. (config or "") .. "}")
    options = options or {}
    options.workers = options.workers or WORKERS
    service = project:serve(options)
  end


  after_each(function()
    project:close()
    service = nil
  end)


  -- What the operation `ask` answers on a connection of its own, so on any worker: the value, or the code.
  local function ask(name)
    local _, body = service:request("POST", ("/api/v1/integrations/%s/ask"):format(name or "work"), {
      json = json.decode("{}"), fresh_connection = true,
    })
    return body.data and body.data.value or body.code
  end


  local function all_answer(value, name)
    for _ = 1, TRIES do
      if ask(name) ~= value then
        return false
      end
    end
    return true
  end


  local function wait_for(value, name)
    support.wait(tostring(value), function() return ask(name) == value end, EFFECT_SECONDS)
    assert.is_true(all_answer(value, name))
  end


  local function status()
    local _, body = service:request("GET", "/api/v1/status")
    return body.data
  end


  local function health()
    local _, body = service:request("GET", "/health")
    return body
  end


  local function reload()
    local code, body = service:request("POST", "/api/v1/reload")
    assert.equal(200, code)
    return body.data
  end


  local function wait_for_log(pattern)
    support.wait(pattern .. " in the log", function() return service:stdout():find(pattern) end)
  end


  describe("of a provider", function()
    it("takes effect within a second of the save, on every worker", function()
      serve()
      assert.is_true(all_answer(1))
      local versions = { status().generation.versions.work.version }
      for value = 2, 4 do
        project:write("providers/work.lua", answering(value))
        wait_for(value)
        versions[value] = status().generation.versions.work.version
        assert.not_equal(versions[value - 1], versions[value])
      end
    end)


    it("lets calls that are under way end on the version they began with", function()
      serve()
      local before = task.spawn(function()
        return select(2, service:call("work", "wait", { seconds = 1 }))
      end)
      support.wait("the call to run", function() return status().worker.number end)
      task.sleep(0.1)
      project:write("providers/work.lua", answering(2))
      wait_for(2)
      assert.equal("waiting", before:status())
      local _, body = before:join()
      assert.equal(1, body.data.value)
    end)


    it("serves the old version on when the new one does not load, and says FILE:LINE everywhere", function()
      serve()
      project:write("providers/work.lua", "return {\n  operations = {\n    oops oops\n")
      wait_for_log("providers/work%.lua:3: ")
      assert.is_true(all_answer(1))
      local state = status().generation
      assert.matches("^providers/work%.lua:3: ", state.errors[1])
      assert.equal(3, state.versions.work.error.line)
      assert.equal("healthy", state.integrations.work)
      assert.equal("degraded", health().status)
      assert.matches("providers/work%.lua:3: ", health().reasons[1])
      local _, body = service:request("GET", "/api/v1/integrations/work")
      assert.equal("providers/work.lua", body.data.error.file)
      project:write("providers/work.lua", answering(2))
      wait_for(2)
      assert.equal("healthy", health().status)
      assert.equal(0, #status().generation.errors)
    end)


    it("adds a new file as a new integration and ends a removed one", function()
      serve()
      project:write("providers/fresh.lua", answering(7))
      wait_for(7, "fresh")
      local before = task.spawn(function()
        return select(2, service:call("fresh", "wait", { seconds = 0.7 }))
      end)
      task.sleep(0.1)
      host.remove(project.folder .. "/providers/fresh.lua")
      wait_for("no_such_operation", "fresh")
      local _, body = before:join()
      assert.equal(7, body.data.value)
      assert.is_true(all_answer(1))
    end)


    it("of two files of one name takes that of the first folder, and the other when it is gone", function()
      serve({ ["providers/work.lua"] = answering(1), ["more/work.lua"] = answering(2) },
        'providers = { "providers", "more" }')
      assert.is_true(all_answer(1))
      host.remove(project.folder .. "/providers/work.lua")
      wait_for(2)
      project:write("providers/work.lua", answering(3))
      wait_for(3)
    end)


    it("is given up for one that loops while it is loaded, which is tried once only", function()
      serve(nil, "script_timeout_ms = 100")
      project:write("providers/work.lua", "while true do pcall(function() while true do end end) end")
      wait_for_log("providers/work%.lua: stopped while it was loaded")
      assert.is_true(all_answer(1))
      local started = time.monotonic()
      project:write("providers/other.lua", answering(5))
      wait_for(5, "other")
      assert.is_true(time.monotonic() - started < EFFECT_SECONDS)
      assert.is_true(all_answer(1))
    end)


    it("is given up everywhere when it fails on one worker", function()
      serve({ ["providers/work.lua"] = answering(1) }, "watch = false", { workers = 4 })
      for value = 2, 9 do
        local flaky = answering(value) .. ("-- %d\n"):format(value)
        project:write("providers/work.lua", 'if math.random() < 0.4 then error("bad luck") end\n' .. flaky)
        local result = reload()
        local version = result.errors[1] and "old" or "new"
        local seen = ask()
        for _ = 1, TRIES do
          assert.equal(seen, ask())
        end
        if version == "new" then
          assert.equal(value, seen)
        else
          assert.matches("providers/work%.lua:1: bad luck", result.errors[1])
          assert.not_equal(value, seen)
        end
      end
    end)


    it("runs its self_test first, and stays with the old version when that fails", function()
      serve()
      project:write("providers/work.lua", answering(2, [[
        self_test = function(ctx)
          local answer = ctx.call("work", "ask", {})
          assert(answer.value == 3, "two is not three")
        end,]]))
      wait_for_log("two is not three")
      assert.is_true(all_answer(1))
      assert.matches("providers/work%.lua:%d+: self_test failed: .*two is not three", status().generation.errors[1])
      project:write("providers/work.lua", answering(3, [[
        self_test = function(ctx) assert(ctx.mock and ctx.call("work", "ask", {}).value == 3) end,]]))
      wait_for(3)
    end)


    for what, text in pairs {
      ["that is empty"] = "", ["of invalid UTF-8"] = "return { \xff\xfe }", ["of NUL bytes"] = ("\0"):rep(100),
      ["of bytecode"] = "\27Lua", ["that returns nothing of use"] = "return 7",
      ["larger than any provider"] = ("-"):rep(4 * 1024 * 1024 + 1), ["cut in half"] = answering(2):sub(1, 100),
    } do
      it("leaves the old version alone for a file " .. what, function()
        serve()
        project:write("providers/work.lua", text)
        wait_for_log("does not load as it is now")
        assert.is_true(all_answer(1))
        assert.matches("^providers/work%.lua:", status().generation.errors[1])
      end)
    end


    it("leaves the others alone for a link to nowhere, a folder and a pipe of a provider's name", function()
      serve()
      os.execute(("cd '%s/providers' && ln -s nowhere dangling.lua && mkdir folder.lua && mkfifo pipe.lua")
        :format(project.folder))
      project:write("providers/work.lua", answering(2))
      wait_for(2)
      local errors = table.concat(reload().errors, "\n")
      for _, name in ipairs { "dangling", "folder", "pipe" } do
        assert.matches(("providers/%s%%.lua: could not be read: "):format(name), errors)
      end
      assert.is_true(all_answer(2))
    end)


    it("serves on while the folder is away", function()
      serve()
      os.rename(project.folder .. "/providers", project.folder .. "/away")
      assert.equal("failed", reload().outcome)
      assert.is_true(all_answer(1))
      assert.matches("providers: the folder is gone", table.concat(health().reasons, "\n"))
      project:write("away/work.lua", answering(2))
      os.rename(project.folder .. "/away", project.folder .. "/providers")
      wait_for(2)
      support.wait("health", function() return health().status == "healthy" end)
    end)
  end)


  describe("of a shared script", function()
    it("reloads what required it, and nothing else", function()
      serve {
        ["scripts/base.lua"] = "return 1", ["scripts/more.lua"] = 'return require "base" + 10',
        ["providers/work.lua"] = 'local n = require "more"\n' .. answering("n"),
        ["providers/other.lua"] = answering(5),
      }
      assert.is_true(all_answer(11))
      local other = status().generation.versions.other
      project:write("scripts/base.lua", "return 2")
      wait_for(12)
      assert.same(other, status().generation.versions.other)
    end)


    it("serves the old one on when it does not load", function()
      serve {
        ["scripts/base.lua"] = "return 1",
        ["providers/work.lua"] = 'local n = require "base"\n' .. answering("n"),
      }
      project:write("scripts/base.lua", "return\n  oops oops")
      wait_for_log("scripts/base%.lua:2: ")
      assert.is_true(all_answer(1))
      project:write("scripts/base.lua", "return 3")
      wait_for(3)
    end)
  end)


  describe("of config.lua", function()
    it("takes effect on every worker", function()
      serve()
      project:write("config.lua", "return { integrations = { work = { is_enabled = false } } }")
      wait_for("disabled")
      project:write("config.lua", "return {}")
      wait_for(1)
    end)


    it("stays as it was when it is wrong, and says key, expectation and FILE:LINE", function()
      serve()
      for fault, text in pairs {
        ["config%.lua:2: defaults%.timeout_seconds: "] = 'return {\n  defaults = { timeout_seconds = "soon" },\n}',
        ["config%.lua:3: "] = "return {\n\n  oops oops\n}",
        ["config%.lua:2: integrations%.work%.max_retrys: unknown key.*max_retries"] =
          "return { integrations = { work = {\n  max_retrys = 1 } } }",
      } do
        project:write("config.lua", text)
        wait_for_log("a reload changed nothing")
        support.wait("the fault", function() return table.concat(health().reasons or {}, "\n"):find(fault) end)
        assert.equal("failed", reload().outcome)
        assert.is_true(all_answer(1))
      end
      project:write("config.lua", "return {}")
      support.wait("health", function() return health().status == "healthy" end)
    end)


    it("moves to other addresses; connections to the old ones are answered to their end", function()
      local probe = server.listen("127.0.0.1:0", function() end)
      local port = tonumber(probe.address:match("%d+$"))
      probe:close()
      serve(nil, 'listen = "127.0.0.1:0"', { listen = false })
      local old = service.address
      local waiting = task.spawn(function()
        return service:call("work", "wait", { seconds = 0.7 })
      end)
      task.sleep(0.1)
      project:write("config.lua", ('return { listen = { "127.0.0.1:%d", "unix:var/api.sock" } }'):format(port))
      support.wait("the new address", function()
        return project:read("var/address") == ("127.0.0.1:%d\nunix:var/api.sock\n"):format(port)
      end)
      assert.equal(200, select(2, waiting:join()))
      service.origin = "http://127.0.0.1:" .. port
      assert.is_true(all_answer(1))
      assert.is_nil((http.request { method = "GET", url = "http://" .. old .. "/health", timeout_seconds = 2 }))
      local socket = { method = "GET", url = "http://localhost/health",
        unix_socket = project.folder .. "/var/api.sock" }
      assert.equal(200, http.request(socket).status)
    end)


    it("stays where it is while another address is taken, says so, and moves when it is free", function()
      local other <close> = server.listen("127.0.0.1:0", function() end)
      serve(nil, 'listen = "127.0.0.1:0"', { listen = false })
      project:write("config.lua", ('return { listen = "%s" }'):format(other.address))
      support.wait("the fault", function() return health().status == "degraded" end)
      assert.matches("^config.lua:1: listen: .*" .. other.address, health().reasons[1])
      assert.is_true(all_answer(1))
      other:close()
      service.origin = "http://" .. other.address
      support.wait("the move", function() return service:request("GET", "/health") == 200 end)
      assert.is_true(all_answer(1))
      assert.equal("healthy", health().status)
    end)


    it("moves to all addresses of the machine at the same port, and back", function()
      serve(nil, 'listen = "127.0.0.1:0"', { listen = false })
      local port = service.address:match("%d+$")
      for _, host_part in ipairs { "0.0.0.0:", "127.0.0.1:" } do
        project:write("config.lua", ('return { listen = "%s%s" }'):format(host_part, port))
        support.wait("the move", function() return project:read("var/address") == host_part .. port .. "\n" end)
        assert.is_true(all_answer(1))
      end
    end)


    it("names the keys that are in force at the next start only", function()
      serve()
      project:write("config.lua", 'return { store = "sqlite:var/other.db" }')
      wait_for_log("in force at the next start.*store")
      assert.is_true(all_answer(1))
    end)
  end)


  it("is asked for by SIGHUP, by the command and by the API, of operators", function()
    serve(nil, "watch = false")
    project:write("providers/work.lua", answering(2))
    service:signal("HUP")
    wait_for(2)
    project:write("providers/work.lua", answering(3))
    local code, out = project:run_beside { "reload" }
    assert.equal(0, code)
    assert.equal("work", json.decode(out).data.changed[1].name)
    assert.is_true(all_answer(3))
    project:write("providers/work.lua", answering(4))
    assert.equal("ok", reload().outcome)
    assert.is_true(all_answer(4))
    local _, made = service:request("POST", "/api/v1/tokens", { json = { name = "looker", role = "viewer" } })
    assert.equal(403, (service:request("POST", "/api/v1/reload", { token = made.data.token })))
    assert.equal("unchanged", reload().outcome)
  end)


  it("follows the folders that config.lua names, at once when they are others", function()
    serve()
    local _, real = host.stat(project.folder)
    support.wait("the folders to be watched", function() return #status().watch.folders == 2 end)
    assert.same({ enabled = true, folders = { real, real .. "/providers" }, polled = {} }, status().watch)
    project:write("more/other.lua", answering(1))
    project:write("config.lua", 'return { providers = { "providers", "more" } }')
    wait_for(1, "other")
    support.wait("the new folder to be watched", function() return #status().watch.folders == 3 end)
    project:write("more/other.lua", answering(2))
    wait_for(2, "other")
  end)


  it("of files that are not watched takes all of them or none", function()
    serve({ ["providers/work.lua"] = answering(1), ["providers/other.lua"] = answering(1) }, "watch = false")
    project:write("providers/work.lua", answering(2))
    project:write("providers/other.lua", "return {\n  oops")
    local code, _, err = project:run_beside { "reload" }
    assert.equal(1, code)
    assert.matches("providers/other%.lua:2: ", err)
    assert.is_true(all_answer(1))
    project:write("providers/other.lua", answering(2))
    assert.equal("ok", reload().outcome)
    assert.is_true(all_answer(2) and all_answer(2, "other"))
  end)


  it("writes an audit row for each change, and the version that ran", function()
    serve()
    project:write("providers/work.lua", answering(2))
    wait_for(2)
    local version = status().generation.versions.work.version
    local row = support.wait("the row", function()
      local _, body = service:request("GET", "/api/v1/audit?integration=work")
      return body.data[1]
    end)
    assert.equal("provider.reload", row.action)
    assert.equal(version, row.new_value.version)
    service:stop()
    local rows = project:query("SELECT version FROM provider_versions WHERE integration_name = 'work'")
    assert.equal(version, rows[#rows].version)
  end)


  it("keeps what is cached, counted and limited", function()
    serve({ ["providers/work.lua"] = answering(1) }, "defaults = { rate_limit_calls_per_minute = 60 }")
    local _, before = service:request("GET", "/metrics")
    project:write("providers/work.lua", answering(2))
    wait_for(2)
    local after = support.wait("the count", function()
      local _, text = service:request("GET", "/metrics")
      return text:find('tidegate_reloads_total{outcome="ok"} 1\n', 1, true) and text
    end)
    local tokens = 'tidegate_rate_limit_tokens{integration="work",window="minute"} '
    assert.equal(before:match(tokens .. "(%d+)"), after:match(tokens .. "(%d+)"))
    local _, versions = after:gsub("\ntidegate_provider_info{", "")
    assert.equal(1, versions)
  end)


  it("fails no call, while a provider and its configuration are changed again and again under load", function()
    project = support.project()
    local result = reload_load.run { workers = 2, rate = 200, seconds = 0.2, saves = 30, patches = 10,
      interval = 0.05 }
    assert.equal(0, result.failed, result.first_failure)
    assert.is_true(result.reloads >= 5, result.reloads)
  end)
end)
