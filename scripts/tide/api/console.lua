-- /api/v1/console: consoles inside the main worker, for whoever runs the service, at its Unix socket.

local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"
local errors = require "tide.errors"
local tokens = require "tide.tokens"
local record = require "tide.console.record"
local sessions = require "tide.console.sessions"
local exchange = require "tide.api.exchange"
local health = require "tide.api.health"

local M = {}

local WAIT_SECONDS_MAX = 20
-- A service that stops waits for nobody's console.
local LOOK_SECONDS = 1

-- Of this worker.
local open_sessions = sessions.new()


-- Opening -----------------------------------------------------------------------------------------


-- The identity of a console; nil and an error. A role may only take rights away.
local function identity_of(current, role)
  role = role == nil and current.identity.role or role
  local rights = tokens.ROLES[role]
  if not rights then
    return nil, exchange.invalid("#/role", "role must be caller, viewer, operator or admin")
  end
  for right in pairs(rights) do
    if not current.identity.rights[right] then
      return nil, errors.new("forbidden", "a console has no more rights than who opens it")
    end
  end
  return { name = "console", role = role, rights = rights }
end


local function project_path()
  local status = require "tide.api.status" -- here, as it needs the integrations' group
  local facts = json.decode(host.published(status.FACTS) or "{}")
  return type(facts.config) == "string" and facts.config or nil
end


-- A JSON object with `members` alone, each of its type; nil and an error.
local function read_object(current, members)
  local body, err = current:json_object()
  if not body then
    return nil, err
  end
  for name, value in pairs(body) do
    local wanted = members[name]
    if not wanted then
      return nil, exchange.invalid("#/" .. name, "there is no member " .. name)
    end
    if value ~= json.null and type(value) ~= wanted then
      return nil, exchange.invalid("#/" .. name, ("%s must be a %s"):format(name, wanted))
    end
    body[name] = value ~= json.null and value or nil
  end
  return body
end


local function open(current)
  local body, err = read_object(current, { role = "string", width = "number", is_color = "boolean" })
  local identity
  if body then
    identity, err = identity_of(current, body.role)
  end
  if not identity then
    return nil, err
  end
  local id, session = open_sessions:open {
    instance = current.instance, identity = identity, width = body.width, is_color = body.is_color,
    project = project_path(), on_line = record.of(identity, current.trace_id),
  }
  return { status = 201, json = { data = { id = id, banner = session.banner } } }
end


-- One console ---------------------------------------------------------------------------------------


local function find(current)
  local session = open_sessions:find(current.params.id)
  if not session then
    return nil, errors.new("not_found", "there is no console with this id: it was closed, or the service started anew")
  end
  return session
end


-- The console that the path names and the body; nil and an error.
local function find_with(current, members)
  local session, err = find(current)
  local body
  if session then
    body, err = read_object(current, members)
  end
  if not body then
    return nil, err
  end
  return session, body
end


local function start(current)
  local session, body = find_with(current, { text = "string" })
  if not session then
    return nil, body
  end
  local state, message = session:start(body.text or "")
  if not state then
    local is_busy = session.ended or session.state ~= "done"
    return nil, errors.new(is_busy and "conflict" or "invalid_input", message)
  end
  return { status = 200, json = { data = { state = state } } }
end


local function is_draining()
  return host.published(health.STATE) == "draining"
end


-- As session:read, for as long as the service is not stopping.
local function read(session, seconds)
  local ending = time.monotonic() + seconds
  while true do
    local left = ending - time.monotonic()
    local printed, state, failed = session:read(math.max(0, math.min(left, LOOK_SECONDS)))
    if is_draining() then
      session.ended = true
    end
    if printed ~= "" or state == "done" or left <= LOOK_SECONDS or session.ended then
      return printed, state, failed
    end
  end
end


local function output(current)
  local session, err = find(current)
  local query
  if session then
    query, err = current:query { wait = true }
  end
  local wait = query and tonumber(query.wait or "0")
  if query and not (wait and wait >= 0 and wait <= WAIT_SECONDS_MAX) then
    query, err = nil, exchange.invalid("#/wait", ("wait must be a number of seconds, 0 to %d"):format(WAIT_SECONDS_MAX))
  end
  if not query then
    return nil, err
  end
  local printed, state, failed = read(session, wait)
  return { status = 200, json = { data = { text = printed, state = state, failed = failed, ended = session.ended } } }
end


local function cancel(current)
  local session, err = find(current)
  if not session then
    return nil, err
  end
  session:cancel()
  return { status = 200, json = { data = { state = session.state } } }
end


local function complete(current)
  local session, body = find_with(current, { text = "string", at = "number" })
  if not session then
    return nil, body
  end
  local found = session:complete(body.text or "", math.tointeger(body.at or #(body.text or "")) or 0)
  return { status = 200, json = { data = { from = found.from, words = json.array(found.words) } } }
end


local function resize(current)
  local session, body = find_with(current, { width = "number" })
  if not session then
    return nil, body
  end
  session:resize(body.width)
  return { status = 200, json = { data = { width = session.width } } }
end


local function close(current)
  local session, err = find(current)
  if not session then
    return nil, err
  end
  open_sessions:close(current.params.id)
  return { status = 200, json = { data = { closed = true } } }
end


-- None is in the API's description: they are between the parts of one version.
M.routes = {
  { "POST", "/api/v1/console", needs = "socket", handler = open },
  { "PATCH", "/api/v1/console/{id}", needs = "socket", handler = resize },
  { "DELETE", "/api/v1/console/{id}", needs = "socket", handler = close },
  { "POST", "/api/v1/console/{id}/lines", needs = "socket", handler = start },
  { "DELETE", "/api/v1/console/{id}/lines", needs = "socket", handler = cancel },
  { "GET", "/api/v1/console/{id}/output", needs = "socket", handler = output },
  { "POST", "/api/v1/console/{id}/complete", needs = "socket", handler = complete },
}


return M
