-- What a line of a console sees: the allow list of the sandbox, and the service, with the rights of whoever is
-- at the console.

local json = require "tide.json"
local library = require "tide.sandbox.library"
local redact = require "tide.redact"
local sandbox = require "tide.sandbox"
local task = require "tide.task"
local time = require "tide.time"
local tokens = require "tide.tokens"
local view = require "tide.view"
local cache_policy = require "tide.policy.cache"
local context_cache = require "tide.context.cache"
local context_db = require "tide.context.db"
local errors = require "tide.errors"
local help = require "tide.console.help"
local inside = require "tide.console.inside"
local integrations = require "tide.console.integrations"
local unknown = require "tide.unknown"

local M = {}

local SLEEP_SECONDS_MAX = 86400
local JSON_BYTES_MAX = 1024 * 1024
local CALL = "/api/v1/integrations/{}/{}"

local NOT_HERE = {
  io = "the console has no files", debug = "the debug library is not available",
  coroutine = "whatever waits suspends by itself", package = "use require",
  load = "type the code itself", loadstring = "type the code itself", loadfile = "the console has no files",
  dofile = "the console has no files", collectgarbage = "memory is managed by the host",
  rawset = "views are read-only", _G = "globals are read by their names",
}


-- Rights ------------------------------------------------------------------------------------------


local function demand(session, right, name)
  local identity = session.identity
  if not identity.rights[right] then
    error(errors.new("forbidden", ("the role %s may not use %s%s"):format(identity.role, name,
      tokens.needed(right))), 0)
  end
end


local function find_integration(session, name)
  if type(name) ~= "string" then
    error("the name of an integration is expected, got " .. type(name), 0)
  end
  local integration = session:generation().integrations[name]
  if not integration then
    error(unknown.integration(session:generation(), name), 0)
  elseif not integration.provider then
    error(errors.new("not_loaded", name .. " did not load"), 0)
  end
  return integration
end


-- Calls -------------------------------------------------------------------------------------------


local function call(session, integration, operation, input)
  if type(integration) ~= "string" or type(operation) ~= "string" then
    error("call expects the names of an integration and an operation", 0)
  end
  if input == nil then
    input = {}
  elseif type(input) ~= "table" then
    error("the input of a call is a table, got " .. type(input), 0)
  end
  local answer = session.api:ask("POST", inside.path(CALL, integration, operation), view.plain(input))
  return answer.data, answer.meta
end


local function sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= SLEEP_SECONDS_MAX) then
    error(("sleep expects a number of seconds, 0 to %d"):format(SLEEP_SECONDS_MAX), 0)
  end
  task.sleep(seconds)
end


-- The text that `value` is as JSON; at the prompt it is shown as it is, without what redaction removes.
local function to_json(session, value)
  local plain = view.plain(value)
  local text, message = json.encode(plain, { pretty = true, max_bytes = JSON_BYTES_MAX })
  if not text then
    error(message, 0)
  end
  session.json_text, session.json_shown = text, json.encode(redact.value(plain), { pretty = true })
  return text
end


local function require_module(name)
  local module, message = sandbox.module(name)
  if module == nil then
    error(message, 0)
  end
  return module
end


-- An integration's own cache, the project's tables ---------------------------------------------------


-- What ctx.cache and ctx.db know of the call that they are used in.
local function call_like(session, integration)
  return {
    generation = session:generation(), integration = integration, effects = 0, forget = cache_policy.forget,
    mock = integration and integration.values.is_mock_mode, settings = integration and integration.values,
  }
end


local CACHE_RIGHTS = { get = "read", set = "operate", delete = "operate", delete_pattern = "operate",
  forget = "operate" }


local function cache_of(session)
  local members = {}
  for name, right in pairs(CACHE_RIGHTS) do
    members[name] = function(integration, ...)
      demand(session, right, "cache." .. name)
      return context_cache.new(call_like(session, find_integration(session, integration)))[name](...)
    end
  end
  return members
end


local function db_of(session)
  return {
    query = function(...)
      demand(session, "admin", "db.query")
      return context_db.new(call_like(session)).query(...)
    end,
  }
end


-- The whole -----------------------------------------------------------------------------------------


local function members_of(session)
  local members = library.new()
  members.os.clock = time.monotonic
  members.require = require_module
  members.print = function(...) session:print(...) end
  members.call = function(...) return call(session, ...) end
  members.integrations = integrations.new(function() return session:generation() end, members.call)
  members.json = function(value) return to_json(session, value) end
  members.config = function(name)
    return session.api:ask("GET", inside.path("/api/v1/integrations/{}/config", name)).data
  end
  members.status = function() return session.api:ask("GET", "/api/v1/status").data end
  members.sleep = sleep
  members.cache = cache_of(session)
  members.db = db_of(session)
  members.null = json.null
  members.help = function(subject, operation) session:show(help.text(session, subject, operation)) end
  return members
end


--- The environment of a session's lines: a table of its globals, before the members that it began with.
---@return table env, table members
function M.new(session)
  library.protect_strings()
  local members = members_of(session)
  return setmetatable({}, {
    __index = function(_, name)
      if NOT_HERE[name] then
        error(("%s is not available here: %s"):format(name, NOT_HERE[name]), 2)
      end
      return members[name]
    end,
    __metatable = false,
  }), members
end


return M
