-- A project in a folder of its own, and the real binary run on it.

local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"

local M = {}

local WAIT_SECONDS = 8
local POLL_SECONDS = 0.01

local Project = {}
Project.__index = Project

local binary


local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end


-- The program that runs this spec.
function M.binary()
  if not binary then
    local pipe = assert(io.popen(("readlink /proc/%d/exe"):format(host.process().pid)))
    binary = pipe:read("l")
    pipe:close()
  end
  return binary
end


-- Waits until `condition` gives something true, and returns it. `seconds`: the longest, 8.
function M.wait(what, condition, seconds)
  local ending = time.monotonic() + (seconds or WAIT_SECONDS)
  while true do
    local value = condition()
    if value then
      return value
    end
    if time.monotonic() > ending then
      error("waited in vain for " .. what, 2)
    end
    task.sleep(POLL_SECONDS)
  end
end


local function write(path, text)
  assert(host.make_directory(path:match("^(.*)/"), 448))
  assert(host.write_file(path, text, 384))
end


-- A project with `files` by path; without a config.lua it gets an empty one.
function M.project(files)
  local folder = os.tmpname()
  os.remove(folder)
  local project = setmetatable({ folder = folder, running = {} }, Project)
  project:write("config.lua", "return {}")
  for path, text in pairs(files or {}) do
    project:write(path, text)
  end
  return project
end


function Project:write(path, text)
  write(self.folder .. "/" .. path, text)
end


function Project:read(path)
  return (assert(host.read_file(self.folder .. "/" .. path)))
end


function Project:exists(path)
  return host.stat(self.folder .. "/" .. path) ~= nil
end


-- "cd folder && VAR=value exec tidegate arguments"
function Project:command(arguments, environment)
  local parts = { "cd", quote(self.folder), "&&" }
  for name, value in pairs(environment or {}) do
    parts[#parts + 1] = name .. "=" .. quote(value)
  end
  parts[#parts + 1] = "exec " .. quote(M.binary())
  for _, argument in ipairs(arguments) do
    parts[#parts + 1] = quote(argument)
  end
  return table.concat(parts, " ")
end


-- Runs a command to its end: exit code, stdout, stderr. This worker stands still meanwhile.
function Project:run(arguments, environment, input)
  local out, err = os.tmpname(), os.tmpname()
  local from = input and ("printf %%s %s | "):format(quote(input)) or ""
  local redirected = ("%s( %s ) >%s 2>%s%s"):format(from, self:command(arguments, environment), out, err,
    input and "" or " </dev/null")
  local _, _, code = os.execute(redirected)
  local stdout, stderr = host.read_file(out), host.read_file(err)
  os.remove(out)
  os.remove(err)
  return code, stdout, stderr
end


-- The same, while this worker goes on (it may be what the command talks to).
function Project:run_beside(arguments, environment, input)
  local process = self:start(arguments, environment, input)
  process:wait()
  return process.code, process:stdout(), process:stderr()
end


local Process = {}
Process.__index = Process


-- Starts a command and does not wait for it.
function Project:start(arguments, environment, input)
  local base = os.tmpname()
  local process = setmetatable({ base = base, out = base .. ".out", err = base .. ".err", done = base .. ".done",
    from = input and base .. ".in" }, Process)
  if input then
    write(process.from, input)
  end
  local command = ("echo $$ >%s; %s"):format(base, self:command(arguments, environment))
  os.execute(("( sh -c %s >%s 2>%s <%s; echo $? >%s ) >/dev/null 2>&1 &"):format(quote(command), process.out,
    process.err, process.from or "/dev/null", process.done))
  process.pid = M.wait("the process to start", function()
    return math.tointeger(tonumber(host.read_file(base):match("%d+")))
  end)
  self.running[#self.running + 1] = process
  return process
end


function Process:stdout()
  return host.read_file(self.out) or ""
end


function Process:stderr()
  return host.read_file(self.err) or ""
end


-- Waits for the end, at most `seconds` (8); the exit code.
function Process:wait(seconds)
  self.code = self.code or M.wait("the process to end", function()
    return tonumber(((host.read_file(self.done) or ""):match("%d+")))
  end, seconds)
  return self.code
end


function Process:signal(name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end


function Process:forget()
  for _, path in ipairs { self.base, self.out, self.err, self.done, self.from } do
    os.remove(path)
  end
end


-- Starts the service and waits until it serves. `options`: listen (an address; left out, a free port; false: as
-- config.lua says), workers,
-- environment, and what its own requests bring for TLS, as `tls` of tide.http.
function Project:serve(options)
  options = options or {}
  local arguments = { "serve", "--workers", tostring(options.workers or 1) }
  if options.listen ~= false then
    table.move({ "--listen", options.listen or "127.0.0.1:0" }, 1, 2, 4, arguments)
  end
  local service = self:start(arguments, options.environment)
  service.project = self
  M.wait("the service", function()
    if host.read_file(service.done) then
      error("the service did not start: " .. service:stderr(), 0)
    end
    return service:stderr():find("listens on", 1, true)
  end)
  service.address = self:read("var/address"):match("%S+")
  service.origin = service.address:match("^https:") and service.address or "http://" .. service.address
  service.tls = options.tls
  service.token = self:exists("var/admin.token") and self:read("var/admin.token"):match("%S+") or nil
  return service
end


-- One request to the service, with the administrator's token unless `token` is given (false:
-- none). The status, the decoded body, and the headers by lower-case name.
function Process:request(method, path, options)
  options = options or {}
  local headers = {}
  local token = options.token == nil and self.token or options.token
  if token then
    headers[#headers + 1] = { "Authorization", "Bearer " .. token }
  end
  local body = options.body or options.json and assert(json.encode(options.json)) or nil
  if body and not (options.headers and options.headers["Content-Type"]) then
    headers[#headers + 1] = { "Content-Type", "application/json" }
  end
  for name, value in pairs(options.headers or {}) do
    headers[#headers + 1] = { name, value }
  end
  local response, message, _, sent = http.request {
    method = method, url = self.origin .. path, tls = self.tls, fresh_connection = options.fresh_connection,
    headers = headers, body = body,
    timeout_seconds = 9,
  }
  if not response then
    return nil, message, sent
  end
  local by_name = {}
  for _, pair in ipairs(response.headers) do
    by_name[pair[1]:lower()] = pair[2]
  end
  local value = json.decode(response.body)
  if value == nil then
    value = response.body
  end
  return response.status, value, by_name
end


-- A call: status, body, headers.
function Process:call(integration, operation, input, headers)
  return self:request("POST", ("/api/v1/integrations/%s/%s"):format(integration, operation), {
    json = input or json.decode("{}"), headers = headers,
  })
end


-- Ends the service; its exit code.
function Process:stop(signal)
  self:signal(signal or "TERM")
  return self:wait()
end


-- Ends what still runs and removes the folder.
function Project:close()
  for _, process in ipairs(self.running) do
    if not process.code then
      process:signal("KILL")
    end
    process:wait()
    process:forget()
  end
  os.execute("rm -rf " .. quote(self.folder))
end


-- The rows of a query on the store of a project whose service does not run, or on another database of it.
function Project:query(sql, database)
  self:write("query.lua", ([[
    local json, store, host = require "tide.json", require "tide.store", require "tide.host"
    assert(store.open("sqlite:" .. %q))
    host.write("stdout", json.encode(json.array(assert(store.query(%q)))))
    return 0
  ]]):format(database or "var/tidegate.db", sql))
  local code, out, err = self:run({ "run", "query.lua" })
  assert(code == 0, err)
  return json.decode(out)
end


return M
