-- For specs: an integration in a runtime of its own, with fresh state, a virtual clock and a
-- scripted upstream behind a real socket.

local database = require "tide.database"
local host = require "tide.host"
local task = require "tide.task"
local json = require "tide.json"
local uuid = require "tide.uuid"
local call = require "tide.call"
local generation = require "tide.generation"
local migrations = require "tide.migrations"
local secrets = require "tide.secrets"
local singleflight = require "tide.state.singleflight"
local client = require "tide.upstream.client"
local once = require "tide.test.once"
local upstream = require "tide.test.upstream"
local webhook = require "tide.test.webhook"

local M = {}

-- How long the end of a shared run is waited for.
local TURNS_MAX = 100
local FILE_BYTES_MAX = 4 * 1024 * 1024
local OPTIONS = {
  secrets = "table", config = "table", source = "string", also = "table", clock = "string", migrations = "string",
}

-- Runtimes that are open, to be closed when the test that made them ends.
local open = {}
-- Whether somebody is already moving the clock.
local moving = false
-- Whether the clock was frozen here.
local frozen = false

local Runtime = {}
local METATABLE = {}


-- Closes every runtime made since `first` and lets the clock go.
local function close_since(first)
  for index = #open, first, -1 do
    open[index]:close()
    open[index] = nil
  end
  if #open == 0 and frozen then
    host.thaw_clock()
    frozen = false
  end
end


-- Inside busted a runtime ends with the test, or the block of tests, that made it.
local function hook()
  local loaded, busted = pcall(require, "busted")
  if not loaded or type(busted) ~= "table" or not busted.subscribe then
    return
  end
  local marks = {}
  local function enter()
    marks[#marks + 1] = #open + 1
    return nil, true
  end
  local function leave()
    close_since(table.remove(marks) or 1)
    return nil, true
  end
  busted.subscribe({ "test", "start" }, enter)
  busted.subscribe({ "test", "end" }, leave)
  busted.subscribe({ "file", "end" }, function()
    close_since(1)
    return nil, true
  end)
end


local function check_options(options)
  for name, value in pairs(options) do
    if OPTIONS[name] == nil then
      error(string.format("t.integration: unknown option %q", tostring(name)), 3)
    end
    if type(value) ~= OPTIONS[name] then
      error(string.format("t.integration: %s must be a %s", name, OPTIONS[name]), 3)
    end
  end
end


local function read(path)
  local text, message = host.read_file(path, FILE_BYTES_MAX)
  if text == nil then
    error(string.format("t.integration: could not read %s: %s", path, message), 0)
  end
  return text
end


-- The file of a provider: given, at a path, in the project, in the binary.
local function provider_file(name_or_path, source)
  local name = name_or_path:match("([^/]+)%.lua$") or name_or_path
  if source then
    return { name = name, path = "providers/" .. name .. ".lua", text = source }
  end
  if name ~= name_or_path then
    return { name = name, path = name_or_path, text = read(name_or_path) }
  end
  local path = "providers/" .. name .. ".lua"
  if host.stat(path) == "file" then
    return { name = name, path = path, text = read(path) }
  end
  local text = host.asset(path)
  if text == nil then
    error("t.integration: there is no provider " .. name .. " in providers/ or in the binary", 0)
  end
  return { name = name, path = path, text = text }
end


local function project_scripts()
  local files = {}
  if host.stat("scripts") ~= "directory" then
    return files
  end
  for _, file in ipairs(host.list("scripts") or {}) do
    local name = file:match("^([^.].*)%.lua$")
    if name then
      local path = "scripts/" .. file
      files[#files + 1] = { name = name, path = path, text = read(path) }
    end
  end
  return files
end


local function build(parts)
  local files, integrations = {}, {}
  for name, part in pairs(parts) do
    files[#files + 1] = part.file
    integrations[name] = part.config or {}
  end
  local built, faults = generation.build({
    config = { integrations = integrations },
    config_path = "config.lua",
    files = files,
    scripts = project_scripts(),
  })
  if built == nil then
    error(table.concat(faults, "\n"), 0)
  end
  for name in pairs(parts) do
    local integration = built.integrations[name]
    if not integration.provider then
      error(table.concat(integration.error.faults, "\n"), 0)
    end
  end
  return built
end


-- The token endpoint of oauth2 is the scripted upstream, too; its path stays.
local function redirect_tokens(provider, origin)
  local auth = provider.auth
  local path = type(auth) == "table" and auth.token_url and auth.token_url:match("^%a[%w+.-]*://[^/?#]*(.*)$")
  if path then
    provider.auth = setmetatable({ token_url = origin .. path }, { __index = auth })
  end
end


-- The integration's requests go to the scripted upstream; the path of its base_url stays.
local function redirect_to(integration, origin, config)
  if config and config.base_url then
    return
  end
  local base = client.of(integration).base
  if base then
    integration.values.base_url = origin .. base.url:match("^[^:]+://[^/]+(.*)$")
  end
  redirect_tokens(integration.provider, origin)
  integration.client = nil
end


local function adopt(runtime, name, part)
  local integration = runtime.generation.integrations[name]
  -- Unlike any before, also of a spec file that ran earlier: what lives in C goes by this name.
  integration.owner = name .. "#" .. runtime.id
  redirect_to(integration, runtime.url, part.config)
  for secret, value in pairs(part.secrets or {}) do
    if not integration.declared_secrets[secret] then
      error(string.format("t.integration: %s declares no secret %q", name, secret), 0)
    end
    secrets.put(integration, secret, value, "environment")
  end
end


-- A database of the project's tables for this runtime alone; none when there are no migrations.
local function open_database(runtime, folder)
  local list, faults = migrations.read(folder, "sqlite")
  if not list then
    error(table.concat(faults, "\n"), 0)
  end
  if #list == 0 then
    return
  end
  runtime.database_path = os.tmpname()
  os.remove(runtime.database_path)
  local opened = assert(database.open(runtime.database_path))
  runtime.generation.database = opened
  local applied, message = opened:migrate(list)
  if not applied then
    error("t.integration: " .. message, 0)
  end
end


local function close_database(runtime)
  if not runtime.database_path then
    return
  end
  runtime.generation.database:close()
  migrations.remove_database(runtime.database_path)
end


local function parts_of(name_or_path, options)
  local file = provider_file(name_or_path, options.source)
  local parts = { [file.name] = { file = file, config = options.config, secrets = options.secrets } }
  for name, other in pairs(options.also or {}) do
    parts[name] = {
      file = provider_file(other.path or name, other.source),
      config = other.config,
      secrets = other.secrets,
    }
  end
  return parts, file.name
end


-- A runtime with one integration (and those of `also`, for ctx.call). `options`: secrets,
-- config, source (the provider's text, in place of its file), also = { NAME = { source,
-- path, secrets, config } }, clock = "real" for a clock that is not frozen, migrations = the folder
-- of the tables behind ctx.db, which are empty in each runtime ("migrations").
function M.integration(name_or_path, options)
  options = options or {}
  if type(name_or_path) ~= "string" then
    error("t.integration expects the name of a provider or its path", 2)
  end
  check_options(options)
  local parts, name = parts_of(name_or_path, options)
  local runtime = setmetatable({ name = name, generation = build(parts), rows = {}, ended = {},
    seen = {}, event_ids = {}, running = 0, id = uuid.span_id() }, METATABLE)
  if options.clock ~= "real" then
    host.freeze_clock()
    frozen = true
  end
  runtime.server = upstream.new()
  runtime.requests = runtime.server.requests
  runtime.url = runtime.server.url
  open[#open + 1] = runtime
  for part_name, part in pairs(parts) do
    adopt(runtime, part_name, part)
  end
  runtime.generation.capture = function(row)
    runtime.rows[#runtime.rows + 1] = row
  end
  runtime.generation.once = once.new()
  open_database(runtime, options.migrations or "migrations")
  call.bind(runtime.generation)
  runtime.config = runtime.generation.integrations[name].settings
  return runtime
end


-- Scripts the answer to "METHOD PATH": a table { status, json, body, headers, delay, close },
-- a list of those (the last one stays), or a function of the request that returns one.
function Runtime.upstream(self, pattern, answer)
  self.server:script(pattern, answer)
end


-- Runs `fn(...)` and moves the virtual clock on whenever it waits for time to pass.
function M.run(fn, ...)
  if moving then
    return fn(...)
  end
  local work <close> = task.spawn(fn, ...)
  moving = true
  local moved, problem = pcall(host.advance_clock, nil, work)
  moving = false
  if not moved and not tostring(problem):find("not frozen", 1, true) then
    error(problem, 0)
  end
  local results = table.pack(work:join())
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end


-- Runs each function of `list` at the same time; their results in order.
function M.all(list, options)
  return M.run(task.all, list, options or { limit = #list })
end


-- Moves the virtual clock on; timers fire in order, tasks and sockets come to rest between.
function M.advance(seconds)
  host.advance_clock(seconds)
end


-- Ends the answers that nobody waits for any more. A request may be shared by calls that run on:
-- while there is such a one, what has ended is remembered.
local function settle(runtime, trace_id)
  if trace_id then
    runtime.ended[trace_id] = true
  end
  -- A run that its last caller has left ends a few turns of the loop later.
  local turns = runtime.running == 0 and TURNS_MAX or 0
  while singleflight.count() > 0 and turns > 0 do
    task.sleep(0)
    turns = turns - 1
  end
  if singleflight.count() > 0 then
    return
  end
  for ended in pairs(runtime.ended) do
    runtime.ended[ended] = nil
    runtime.server:settle(ended)
  end
end


local function counted(runtime, operation, input, options)
  local ending <close> = setmetatable({}, { __close = function() runtime.running = runtime.running - 1 end })
  runtime.running = runtime.running + 1
  return call.run(runtime.generation, runtime.name, operation, input, options)
end


local function perform(runtime, operation, input, options)
  local result, err = counted(runtime, operation, input, options)
  settle(runtime, result and result.meta.trace_id or err.trace_id)
  return result, err
end


-- Calls an operation: data, meta; raises the error table. `options` as for a call over HTTP:
-- timeout_ms, mock, debug, caller, user_id, trace_id, idempotency_key.
function Runtime.call(self, operation, input, options)
  local result, err = M.run(perform, self, operation, input, options)
  self.server:check()
  if err then
    error(err, 0)
  end
  return json.decode(result.json), result.meta
end


-- Sends a webhook and runs its event once: see test/webhook.lua. As acme.webhook(source, payload, options);
-- the source may be left out.
function Runtime.webhook(self, source, payload, options)
  if type(source) == "table" then
    source, payload, options = nil, source, payload
  end
  local record = M.run(webhook.send, self, source, payload, options)
  self.server:check()
  return record
end


-- The rows of integration_call_logs that were written, oldest first.
function Runtime.logs(self)
  return self.rows
end


-- Ends the runtime: its upstream, its secrets. Done by itself at the end of a test.
function Runtime.close(self)
  self.server:close()
  close_database(self)
  for _, integration in pairs(self.generation.integrations) do
    secrets.forget(integration)
  end
end


-- Methods are called with a dot, as acme.call(operation, input), and with a colon.
METATABLE.__index = function(self, name)
  local method = Runtime[name]
  if method == nil then
    return nil
  end
  local bound = function(first, ...)
    if first == self then
      return method(self, ...)
    end
    return method(self, first, ...)
  end
  rawset(self, name, bound)
  return bound
end


function M.reset()
  close_since(1)
end


hook()

return M
