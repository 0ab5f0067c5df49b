local database = require "tide.database"
local host = require "tide.host"
local json = require "tide.json"
local reload_request = require "tide.reload.request"
local reloader = require "tide.reload.reloader"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"

local WORKERS = 2
local TRIES = 8
-- From the error that is one too many to its effect on every worker.
local EFFECT_SECONDS = 1
local ON = "return { defaults = { reload_rollback = true } }"


-- A provider whose operation `ask` answers `value`, and fails as its input says where it `can_fail`.
local function answering(value, can_fail)
  return ([[
    local fail = require "tide.fail"
    local function ask(_, input)
      if %s and input.fault == "script" then error("boom") end
      if %s and input.fault == "loop" then while true do end end
      if input.fault == "upstream" then fail("upstream_error", "gone") end
      return { value = %s }
    end
    return { operations = { ask = { input = true, run = ask, mock = ask } } }
  ]]):format(can_fail or false, can_fail or false, value)
end


describe("reload_rollback", function()
  local project, service


  local function start()
    service = project:serve { workers = WORKERS }
  end


  local function serve(files, config)
    project = support.project(files or { ["providers/work.lua"] = answering(1) })
    project:write("config.lua", config or ON)
    start()
  end


  local function restart(signal)
    service:signal(signal or "TERM")
    service:wait()
    start()
  end


  after_each(function()
    project:close()
  end)


  -- On a connection of its own, so on any worker: the value, or the code.
  local function ask(fault, name, headers)
    local _, body = service:request("POST", ("/api/v1/integrations/%s/ask"):format(name or "work"), {
      json = fault and { fault = fault } or json.decode("{}"), fresh_connection = true, headers = headers,
    })
    return body.data and body.data.value or body.code
  end


  local function all_answer(value, name)
    for _ = 1, TRIES do
      if ask(nil, name) ~= value then
        return false
      end
    end
    return true
  end


  local function version_of(name)
    local _, body = service:request("GET", "/api/v1/integrations/" .. (name or "work"))
    return body.data.version, body.data.error
  end


  local function reload()
    local _, body = service:request("POST", "/api/v1/reload")
    return body.data
  end


  -- Puts a file in force; its version.
  local function save(path, text, name)
    local before = version_of(name)
    project:write(path, text)
    return support.wait("the new version", function()
      local version = version_of(name)
      return version ~= before and version
    end)
  end


  local function save_bad(value)
    return save("providers/work.lua", answering(value or 2, true))
  end


  local function fail_times(count, fault, name)
    for _ = 1, count do
      assert.equal(fault == "loop" and "script_timeout" or "script_error", ask(fault or "script", name))
    end
  end


  local function wait_for(value, name)
    local started = time.monotonic()
    support.wait("the value " .. tostring(value), function() return ask(nil, name) == value end, EFFECT_SECONDS)
    assert.is_true(time.monotonic() - started < EFFECT_SECONDS)
    assert.is_true(all_answer(value, name))
  end


  local function alerts()
    local _, body = service:request("GET", "/api/v1/alerts")
    return body.data
  end


  local function rows(sql)
    service:stop()
    return project:query(sql)
  end


  describe("of a version that fails", function()
    it("brings the one before back on every worker, within a second of the fifth error", function()
      serve()
      local first = version_of()
      local bad = save_bad()
      assert.is_true(all_answer(2))
      fail_times(5)
      wait_for(1)
      local version, fault = version_of()
      assert.equal(first, version)
      assert.matches(bad .. " was rolled back to " .. first .. ": 5 of its first 13 calls failed by its own fault",
        fault.message)
      assert.equal("providers/work.lua", fault.file)
    end)


    it("says so in health, with an alert and in the audit log", function()
      serve()
      local first = version_of()
      local bad = save_bad()
      fail_times(5)
      wait_for(1)
      local _, health = service:request("GET", "/health")
      assert.equal("degraded", health.status)
      assert.matches("providers/work%.lua: version " .. bad .. " was rolled back", table.concat(health.reasons, "\n"))
      local alert = alerts()[1]
      assert.equal("reload_rollback", alert.kind)
      assert.equal("critical", alert.severity)
      assert.equal("work", alert.integration_name)
      assert.equal(bad, alert.details.version)
      local _, audit = service:request("GET", "/api/v1/audit?integration=work")
      assert.equal("provider.rollback", audit.data[1].action)
      assert.equal(bad, audit.data[1].old_value.version)
      assert.equal(first, audit.data[1].new_value.version)
      local found = rows("SELECT version, reason FROM provider_versions WHERE is_rolled_back = 1")
      assert.equal(1, #found)
      assert.equal(bad, found[1].version)
      assert.matches("was rolled back", found[1].reason)
    end)


    it("lets no other call fail while it goes back", function()
      serve({ ["providers/work.lua"] = answering(1), ["providers/other.lua"] = answering(7) })
      save_bad()
      local is_over, answered = false, 0
      local callers = {}
      for caller = 1, 4 do
        callers[caller] = task.spawn(function()
          while not is_over do
            assert.equal(7, ask(nil, "other"))
            answered = answered + 1
          end
          return true
        end)
      end
      fail_times(5)
      wait_for(1)
      local seen = answered
      support.wait("more calls", function() return answered > seen end)
      is_over = true
      for _, caller in ipairs(callers) do
        assert.is_true(caller:join())
      end
    end)


    it("stays away from it while the file is the same, whoever asks", function()
      serve()
      save_bad()
      fail_times(5)
      wait_for(1)
      project:write("providers/work.lua", answering(2, true))
      assert.matches("was rolled back", reload().errors[1])
      service:signal("HUP")
      assert.equal(1, (project:run_beside { "reload" }))
      project:write("config.lua", "return { defaults = { reload_rollback = false } }")
      assert.is_true(reload().config_changed)
      assert.is_true(all_answer(1))
    end)


    it("stays away from it when settings change, or its file was away or half written meanwhile", function()
      serve()
      save_bad()
      fail_times(5)
      wait_for(1)
      local code = service:request("PATCH", "/api/v1/integrations/work/config", { json = { timeout_seconds = 7 } })
      assert.equal(200, code)
      assert.matches("was rolled back", select(2, version_of()).message)
      assert.is_true(all_answer(1))
      host.remove(project.folder .. "/providers/work.lua")
      wait_for("no_such_operation")
      project:write("providers/work.lua", answering(2, true))
      wait_for(1)
      project:write("providers/work.lua", "return {")
      support.wait("the fault", function() return select(2, version_of()).line == 1 end)
      project:write("providers/work.lua", answering(2, true))
      support.wait("the fault", function() return select(2, version_of()).message:find("was rolled back") end)
      assert.is_true(all_answer(1))
    end)


    it("is over when the file is that of the version before", function()
      serve()
      save_bad()
      fail_times(5)
      wait_for(1)
      project:write("providers/work.lua", answering(1))
      support.wait("health", function() return select(2, version_of()) == json.null end)
      assert.is_true(all_answer(1))
      save_bad()
      fail_times(5)
      wait_for(1)
    end)


    it("loads the next one, and ends the alert", function()
      serve()
      save_bad()
      fail_times(5)
      wait_for(1)
      save("providers/work.lua", answering(3))
      wait_for(3)
      local _, fault = version_of()
      assert.equal(json.null, fault)
      support.wait("the end of the alert", function() return alerts()[1].resolved_at ~= json.null end)
      local _, health = service:request("GET", "/health")
      assert.equal("healthy", health.status)
      assert.equal(0, #rows("SELECT version FROM provider_versions WHERE is_rolled_back = 1"))
    end)


    it("goes back once more when the next one fails, too", function()
      serve()
      for value = 2, 4 do
        save_bad(value)
        fail_times(5)
        wait_for(1)
      end
      assert.equal(1, #rows("SELECT version FROM provider_versions WHERE is_rolled_back = 1"))
    end)


    it("goes back past one that had begun to fail", function()
      serve()
      save_bad(2)
      fail_times(4)
      save_bad(3)
      fail_times(5)
      wait_for(1)
    end)


    it("tries the same file again when another was in force in between", function()
      serve()
      local bad = save_bad()
      fail_times(5)
      wait_for(1)
      save("providers/work.lua", answering(3))
      assert.equal(bad, save_bad())
      assert.is_true(all_answer(2))
      fail_times(5)
      wait_for(3)
    end)


    it("counts scripts that are stopped", function()
      serve(nil, "return { script_timeout_ms = 50, defaults = { reload_rollback = true } }")
      save_bad()
      fail_times(5, "loop")
      wait_for(1)
    end)


    it("goes back also when config.lua is wrong by now", function()
      serve()
      save_bad()
      project:write("config.lua", "return {\n  oops oops\n}")
      assert.equal("failed", reload().outcome)
      fail_times(5)
      wait_for(1)
      local _, health = service:request("GET", "/health")
      assert.matches("config%.lua:2: ", table.concat(health.reasons, "\n"))
    end)


    it("goes back while the store takes no rows, and stores it when it does", function()
      serve()
      local other <close> = assert(database.open(project.folder .. "/var/tidegate.db"))
      local holding = assert(other:begin(5))
      save_bad()
      fail_times(5)
      wait_for(1)
      holding:rollback()
      support.wait("the alert", function() return alerts()[1] end)
      restart("KILL")
      assert.is_true(all_answer(1))
    end)


    it("goes back where files are not watched, and lets others be reloaded", function()
      serve({ ["providers/work.lua"] = answering(1), ["providers/other.lua"] = answering(7) },
        "return { watch = false, defaults = { reload_rollback = true } }")
      project:write("providers/work.lua", answering(2, true))
      assert.equal("ok", reload().outcome)
      fail_times(5)
      wait_for(1)
      project:write("providers/other.lua", answering(8))
      assert.equal("partial", reload().outcome)
      assert.is_true(all_answer(8, "other") and all_answer(1))
    end)


    it("goes back with two integrations at once", function()
      serve({ ["providers/work.lua"] = answering(1), ["providers/other.lua"] = answering(7) })
      project:write("providers/other.lua", answering(8, true))
      project:write("providers/work.lua", answering(2, true))
      wait_for(8, "other")
      wait_for(2)
      local failing = {}
      for index, name in ipairs { "work", "other" } do
        failing[index] = task.spawn(function() fail_times(5, nil, name) end)
      end
      for _, running in ipairs(failing) do
        running:join()
      end
      wait_for(1)
      wait_for(7, "other")
      assert.equal(2, #alerts())
    end)


    it("goes back to the scripts of before, when a shared one is the culprit", function()
      local using = [[
        local ask = require "shared"
        return { operations = { ask = { input = true, run = ask, mock = ask } } }
      ]]
      local shared = "return function(_, input) if %s and input.fault then error('boom') end return { value = %d } end"
      serve({ ["scripts/shared.lua"] = shared:format("false", 1), ["providers/work.lua"] = using,
        ["providers/other.lua"] = using })
      save("scripts/shared.lua", shared:format("true", 2))
      assert.is_true(all_answer(2, "other"))
      fail_times(5)
      wait_for(1)
      assert.is_true(all_answer(2, "other"))
      restart("KILL")
      assert.is_true(all_answer(1) and all_answer(2, "other"))
      project:write("scripts/shared.lua", shared:format("false", 3))
      wait_for(3)
      wait_for(3, "other")
    end)


    it("counts what a webhook's handler does", function()
      local receiving = [[
        local function ask() return { value = %d } end
        return {
          operations = { ask = { input = true, run = ask, mock = ask } },
          webhooks = { signature = "none", event_type = "type", event_id = "id", on = { ["*"] = function() %s end } },
        }
      ]]
      serve({ ["providers/work.lua"] = receiving:format(1, "") })
      save("providers/work.lua", receiving:format(2, "error('boom')"))
      for number = 1, 5 do
        local code = service:request("POST", "/api/v1/webhooks/work", { json = { type = "a", id = tostring(number) } })
        assert.equal(200, code)
      end
      wait_for(1)
    end)
  end)


  describe("over a restart", function()
    for _, signal in ipairs { "TERM", "KILL" } do
      it("keeps what was rolled back, after " .. signal, function()
        serve()
        local first = version_of()
        save_bad()
        fail_times(5)
        support.wait("the version before", function() return ask() == 1 end, EFFECT_SECONDS)
        restart(signal)
        assert.is_true(all_answer(1))
        local version, fault = version_of()
        assert.equal(first, version)
        assert.matches("was rolled back", fault.message)
        assert.matches("was rolled back", reload().errors[1])
        assert.is_true(all_answer(1))
        save_bad(3)
        fail_times(5)
        wait_for(1)
      end)
    end


    it("loads a file that was changed meanwhile", function()
      serve()
      save_bad()
      fail_times(5)
      wait_for(1)
      service:stop()
      project:write("providers/work.lua", answering(3))
      start()
      assert.is_true(all_answer(3))
      assert.equal(0, #rows("SELECT version FROM provider_versions WHERE is_rolled_back = 1"))
    end)


    it("loads the file when what is stored of the version before makes no sense", function()
      serve()
      local bad = save_bad()
      fail_times(5)
      wait_for(1)
      service:stop()
      project:write("damage.lua", [[
        local store = require "tide.store"
        assert(store.open("sqlite:var/tidegate.db"))
        local damage = "UPDATE provider_versions SET substitute = $1 WHERE is_rolled_back = 1"
        assert(store.execute(damage, store.blob("\1\2")))
        return 0
      ]])
      assert.equal(0, (project:run { "run", "damage.lua" }))
      start()
      assert.is_true(all_answer(2))
      assert.matches(bad, service:stdout())
    end)
  end)


  describe("does nothing", function()
    it("where it is off", function()
      serve(nil, "return {}")
      save_bad()
      fail_times(20)
      assert.is_true(all_answer(2))
      assert.equal(0, #alerts())
    end)


    it("at four errors in twenty calls, and at errors after that", function()
      serve()
      local bad = save_bad()
      fail_times(4)
      for _ = 1, 16 do
        assert.equal(2, ask())
      end
      fail_times(10)
      assert.is_true(all_answer(2))
      assert.equal(bad, (version_of()))
    end)


    it("for failures of the third party", function()
      serve(nil, "return { defaults = { reload_rollback = true, circuit_breaker_enabled = false, max_retries = 0 } }")
      save_bad()
      for _ = 1, 20 do
        assert.equal("upstream_error", ask("upstream"))
      end
      assert.is_true(all_answer(2))
      assert.equal(0, #alerts())
    end)


    it("for the version of the start", function()
      serve({ ["providers/work.lua"] = answering(1, true) })
      fail_times(6)
      assert.is_true(all_answer(1))
      assert.equal(0, #alerts())
    end)


    it("but raise an alert when there is no version before", function()
      serve()
      project:write("providers/fresh.lua", answering(5, true))
      wait_for(5, "fresh")
      fail_times(5, nil, "fresh")
      local alert = support.wait("the alert", function() return alerts()[1] end)
      assert.matches("^fresh: version %x+ stays.*no earlier version is kept", alert.message)
      assert.is_true(all_answer(5, "fresh"))
    end)


    it("for the fault of another integration that it calls", function()
      serve({ ["providers/other.lua"] = answering(7, true), ["providers/work.lua"] = answering(1) })
      save("providers/work.lua", [[
        local function ask(ctx, input) return ctx.call("other", "ask", input) end
        return { operations = { ask = { input = true, run = ask, mock = ask } } }
      ]])
      for _ = 1, 6 do
        assert.equal("script_error", ask("script"))
      end
      assert.is_true(all_answer(7))
      assert.equal(0, #alerts())
    end)
  end)


  it("tries again when the version before could not be put in force", function()
    project = support.project()
    local fails = 0
    local reloads = reloader.new({ sources = { config_path = "", config_text = "", files = {}, scripts = {},
      bundled = {} } }, {
        generation = { version = 1, integrations = {}, errors = {} },
        build = function()
          fails = fails + 1
          return nil, { "no memory" }
        end,
      }, 1, {}, { go_back = function() return true end, substitutes = function() return {} end })
    reloads.tasks = {}
    local _, before = host.published("reload.wanted")
    reloads:go_back()
    reloads:go_back()
    assert.equal(2, fails)
    support.wait("the next try", function()
      local by, number = host.published("reload.wanted")
      return number ~= before and by:find("rollback")
    end)
    reloads:stop()
    reload_request.set_faults({})
  end)


  it("can be turned on while the service runs, for the versions that come", function()
    serve(nil, "return {}")
    local code = service:request("PATCH", "/api/v1/integrations/work/config", { json = { reload_rollback = true } })
    assert.equal(200, code)
    save_bad()
    fail_times(5)
    wait_for(1)
  end)
end)
