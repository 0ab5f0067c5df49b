local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"
local server = require "tide.server"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"

local WORK = [[
return {
  operations = {
    quick = { input = true, run = function() return { done = true } end },
    slow = {
      input = { type = "object", properties = { seconds = { type = "number" } } },
      run = function(ctx, input) ctx.sleep(input.seconds) return { slept = input.seconds } end,
    },
    spin = { run = function() while true do pcall(function() while true do end end) end end },
    -- Long inside of one C function, where no hook reaches: until the memory ends.
    stick = { run = function()
      return table.concat(setmetatable({}, { __len = function() return 1 << 53 end, __index = rawlen }))
    end },
  },
}
]]


describe("the service", function()
  local project


  local function make(config, files)
    project = support.project(files or { ["providers/work.lua"] = WORK })
    project:write("config.lua", "return {" .. (config or "") .. "}")
    return project
  end


  after_each(function()
    project:close()
  end)


  local function mode_of(path)
    local pipe = assert(io.popen(("stat -c %%a '%s/%s'"):format(project.folder, path)))
    local mode = pipe:read("l")
    pipe:close()
    return mode
  end


  local function log_of(service)
    local lines = {}
    for line in service:stdout():gmatch("[^\n]+") do
      lines[#lines + 1] = assert(json.decode(line), line)
    end
    return lines
  end


  it("says where it listens, where the token is and what to try", function()
    local service = make():serve { workers = 2 }
    local first = support.wait("the first line of the log", function() return log_of(service)[1] end)
    assert.equal(("listening on %s with 2 workers"):format(service.address), first.message)
    assert.equal(2, first.workers)
    assert.matches("listens on 127%.0%.0%.1:%d+\n", service:stderr())
    assert.matches("token is in var/admin%.token\n", service:stderr())
    local curl = service:stderr():match("\n  (curl [^\n]+)\n")
    local pipe = assert(io.popen(("cd '%s' && %s"):format(project.folder, curl)))
    local answer = pipe:read("a")
    pipe:close()
    assert.equal("work", json.decode(answer).data[1].name)
  end)


  it("keeps its files from others, and the token over a restart", function()
    local service = make():serve()
    assert.equal("700", mode_of("var"))
    for _, path in ipairs { "var/admin.token", "var/tidegate.sock", "var/tidegate.db", "var/tidegate.lock" } do
      assert.equal("600", mode_of(path), path)
    end
    assert.equal(0, service:stop())
    assert.is_false(project:exists("var/address"))
    assert.is_false(project:exists("var/tidegate.sock"))
    local again = project:serve()
    assert.equal(service.token, again.token)
    assert.equal(200, (again:request("GET", "/api/v1/tokens")))
  end)


  it("answers at its socket without a token, for whoever owns it", function()
    local service = make():serve()
    local response = assert(http.request { method = "GET", url = "http://localhost/api/v1/tokens",
      unix_socket = project.folder .. "/var/tidegate.sock" })
    assert.equal(200, response.status)
    assert.equal(401, (service:request("GET", "/api/v1/tokens", { token = false })))
  end)


  it("is one for each data directory", function()
    local service = make():serve()
    local code, _, err = project:run { "serve", "--listen", "127.0.0.1:0" }
    assert.equal(1, code)
    assert.matches("held by another tidegate, pid " .. service.pid, err)
    assert.equal(200, (service:request("GET", "/health")))
  end)


  it("starts again after it was killed", function()
    local service = make():serve()
    service:stop("KILL")
    assert.is_true(project:exists("var/tidegate.sock"))
    local again = project:serve()
    assert.equal(200, (again:request("GET", "/api/v1/logs", { token = service.token })))
    assert.equal(0, again:stop())
  end)


  it("ends when a worker does not come back from C, and says which script it is in", function()
    local service = make("worker_stuck_seconds = 1"):serve()
    local call = task.spawn(function() service:call("work", "stick") end)
    assert.is_true(service:wait() ~= 0)
    call:cancel()
    local lines = log_of(service)
    assert.matches("has not returned to its loop", lines[#lines].message)
    assert.equal("work.stick", lines[#lines].script)
    assert.is_string(lines[#lines].time)
    assert.equal(0, project:serve():stop())
  end)


  it("leaves no core dump, which would hold every secret", function()
    local service = make():serve()
    local limits = assert(host.read_file(("/proc/%d/limits"):format(service.pid)))
    -- One byte: under it the kernel neither writes a file nor runs a program that takes dumps.
    assert.matches("Max core file size%s+1%s+1%s", limits)
  end)


  it("does not start where somebody else listens, or at what is no address", function()
    make()
    local guard <close> = assert(server.listen("127.0.0.1:0", function() end))
    local code, _, err = project:run { "serve", "--listen", guard.address }
    assert.equal(1, code)
    assert.matches(guard.address:gsub("%.", "%%."), err)
    code, _, err = project:run { "serve", "--listen", "somewhere" }
    assert.equal(1, code)
    assert.matches("somewhere", err)
  end)


  it("listens at each address that the configuration names", function()
    make('listen = { "127.0.0.1:0", "unix:var/api.sock" }, workers = 2')
    local service = project:start { "serve" }
    support.wait("the service", function() return project:exists("var/address") end)
    local address, socket = project:read("var/address"):match("^(%S+)\n(%S+)\n$")
    assert.matches("^127%.0%.0%.1:%d+$", address)
    assert.equal("unix:var/api.sock", socket)
    assert.equal(200, assert(http.request { method = "GET", url = "http://" .. address .. "/health" }).status)
    assert.equal(200, assert(http.request { method = "GET", url = "http://localhost/health",
      unix_socket = project.folder .. "/var/api.sock" }).status)
    assert.equal(0, service:stop())
  end)


  it("serves the providers that load, unless it is to be strict", function()
    make(nil, { ["providers/work.lua"] = WORK, ["providers/bad.lua"] = "return {\n  oops" })
    local code, _, err = project:run { "serve", "--listen", "127.0.0.1:0", "--strict" }
    assert.equal(1, code)
    assert.matches("providers/bad%.lua:2: ", err)
    local service = project:serve()
    assert.equal(200, (service:call("work", "quick")))
    assert.equal(503, (service:call("bad", "quick")))
    assert.matches("providers/bad%.lua:2: ", service:stdout())
  end)


  it("goes on after SIGHUP, and ends well at SIGINT", function()
    local service = make():serve()
    service:signal("HUP")
    assert.equal(200, (service:request("GET", "/health")))
    assert.equal(0, service:stop("INT"))
  end)


  it("says that it drains while it still accepts", function()
    local service = make("drain_delay_seconds = 1"):serve()
    service:signal("TERM")
    local status, answer, headers
    support.wait("draining", function()
      status, answer, headers = service:request("GET", "/health")
      return status == 503
    end)
    assert.equal("draining", answer.status)
    assert.equal("1", headers["retry-after"])
    assert.equal(200, (service:call("work", "quick")))
    assert.equal(0, service:wait())
  end)


  it("answers what runs before it ends, and cancels what takes too long", function()
    local service = make("drain_seconds = 1"):serve()
    local brief = task.spawn(function() return service:call("work", "slow", { seconds = 0.5 }) end)
    local long = task.spawn(function() return service:call("work", "slow", { seconds = 30 }) end)
    support.wait("both calls", function()
      local _, status = service:request("GET", "/api/v1/status")
      return status.data.worker.live_operations >= 2 and status.data.worker.tasks >= 5
    end)
    local started = time.monotonic()
    assert.equal(0, service:stop())
    assert.is_true(time.monotonic() - started < 5)
    assert.equal(200, select(2, brief:join()))
    local _, status, problem, headers = long:join()
    assert.equal(503, status)
    assert.equal("unavailable", problem.code)
    assert.is_false(problem.retryable)
    assert.equal("1", headers["retry-after"])
    local rows = project:query("SELECT is_success, error_type FROM integration_call_logs ORDER BY is_success")
    assert.equal(2, #rows)
    assert.same({ 0, "cancelled", 1 }, { rows[1].is_success, rows[1].error_type, rows[2].is_success })
  end)


  it("takes a token away from all workers at once", function()
    local service = make():serve { workers = 2 }
    local _, made = service:request("POST", "/api/v1/tokens", { json = { name = "a", role = "viewer" } })
    local function statuses()
      local counts = {}
      for _ = 1, 10 do
        local status = service:request("GET", "/api/v1/logs", { token = made.data.token,
          headers = { Connection = "close" } })
        counts[status] = (counts[status] or 0) + 1
      end
      return counts
    end
    assert.same({ [200] = 10 }, statuses())
    assert.equal(204, (service:request("DELETE", "/api/v1/tokens/" .. made.data.id)))
    assert.is_nil(statuses()[200])
  end)


  it("answers others while a script loops without end", function()
    local service = make("script_timeout_ms = 600"):serve()
    service:call("work", "quick")
    local spinner = task.spawn(function() return service:call("work", "spin") end)
    local seconds = {}
    while spinner:status() ~= "done" do
      local started = time.monotonic()
      assert.equal(200, (service:call("work", "quick")))
      seconds[#seconds + 1] = time.monotonic() - started
      task.sleep(0.005)
    end
    local _, status, problem = spinner:join()
    assert.equal(500, status)
    assert.equal("script_timeout", problem.code)
    assert.is_true(#seconds >= 5, #seconds)
    -- A few slices each. Single ones may be late on a machine that is busy with other things.
    table.sort(seconds)
    assert.is_true(seconds[(#seconds + 1) // 2] < 0.05, seconds[(#seconds + 1) // 2])
  end)


  it("answers every request that it accepted when it is told to end under load", function()
    local service = make():serve { workers = 2 }
    local answered, dropped, finished = 0, 0, 0
    local clients = {}
    local function client()
      while true do
        local status, message, sent = service:call("work", "quick")
        if status == 200 then
          answered = answered + 1
        elseif not status and not sent then
          finished = finished + 1
          return message
        else
          dropped = dropped + 1
          return status or message
        end
      end
    end
    for index = 1, 32 do
      clients[index] = task.spawn(client)
    end
    support.wait("load", function() return answered > 300 end)
    assert.equal(0, service:stop("TERM"))
    for _, running in ipairs(clients) do
      assert.is_true(running:join())
    end
    assert.equal(32, finished)
    assert.equal(0, dropped)
    local rows = project:query("SELECT count(*) AS count, sum(is_success) AS good FROM integration_call_logs")
    assert.same({ count = answered, good = answered }, rows[1])
  end)
end)
