-- The third party of a spec: an HTTP server whose answers are scripted.

local http = require "tide.http"
local json = require "tide.json"
local server = require "tide.server"
local task = require "tide.task"
local time = require "tide.time"

local M = {}

local ANSWER = {
  status = "number", json = "any", body = "string", headers = "table", delay = "number", close = "boolean",
}
local BODY_BYTES_MAX = 16 * 1024 * 1024

local Upstream = {}
Upstream.__index = Upstream


local function check_answer(answer)
  if type(answer) ~= "table" then
    error("an upstream answers with a table, not with a " .. type(answer), 0)
  end
  for name, value in pairs(answer) do
    local wanted = ANSWER[name]
    if wanted == nil then
      error(string.format("an upstream's answer has no member %q", tostring(name)), 0)
    end
    if wanted ~= "any" and type(value) ~= wanted then
      error(string.format("an upstream's answer: %s must be a %s", name, wanted), 0)
    end
  end
  return answer
end


-- What came, as specs look at it.
local function seen(request)
  local headers = {}
  for _, pair in ipairs(request:headers()) do
    headers[pair[1]:lower()] = pair[2]
  end
  setmetatable(headers, { __index = function(_, name) return rawget(headers, name:lower()) end })
  local kind = headers["content-type"] or ""
  return {
    method = request.method,
    target = request.target,
    path = request.path,
    query = request.query and http.decode_query(request.query) or {},
    headers = headers,
    body = request.body,
    json = kind:find("json", 1, true) and json.decode(request.body, { null = "absent" }) or nil,
    form = kind:find("x-www-form-urlencoded", 1, true) and http.decode_query(request.body) or nil,
    at = time.monotonic(),
  }
end


-- Exact matches first; a "*" at the end of a path stands for any rest, as a method for all.
local function matches(route, request)
  if route.method ~= "*" and route.method ~= request.method then
    return false
  end
  local against = route.path:find("?", 1, true) and request.target or request.path
  local prefix = route.path:match("^(.*)%*$")
  if prefix then
    return against:sub(1, #prefix) == prefix
  end
  return against == route.path
end


function Upstream:find(request)
  for index = #self.routes, 1, -1 do
    if matches(self.routes[index], request) then
      return self.routes[index]
    end
  end
end


local function is_list(answer)
  return type(answer) == "table" and answer[1] ~= nil
end


local function next_answer(route, request)
  local answer = route.answer
  if is_list(answer) then
    route.served = math.min(route.served + 1, #answer)
    answer = answer[route.served]
  end
  if type(answer) == "function" then
    answer = answer(request)
  end
  return check_answer(answer)
end


local function respond(request, answer)
  local headers, body = {}, answer.body or ""
  local has_type = false
  for name, value in pairs(answer.headers or {}) do
    headers[#headers + 1] = name
    headers[#headers + 1] = tostring(value)
    has_type = has_type or name:lower() == "content-type"
  end
  if answer.json ~= nil then
    body = assert(json.encode(answer.json))
    if not has_type then
      headers[#headers + 1] = "Content-Type"
      headers[#headers + 1] = "application/json"
    end
  end
  request:respond(answer.status or 200, headers, body)
end


function Upstream:fail(message)
  self.problem = self.problem or message
  return { status = 501, json = { error = message } }
end


function Upstream:handle(request)
  local record = seen(request)
  self.requests[#self.requests + 1] = record
  local route = self:find(request)
  local answer
  if route == nil then
    answer = self:fail(string.format("the provider sent %s %s, which the spec does not answer", request.method,
      request.target))
  else
    local ok, result = pcall(next_answer, route, record)
    answer = ok and result or self:fail("the scripted upstream failed: " .. tostring(result))
  end
  if answer.delay and not self:wait(request, answer.delay) then
    return
  end
  if answer.close then
    return self:hang_up()
  end
  respond(request, answer)
end


-- False when nobody waits for the answer any more.
function Upstream:wait(request, seconds)
  local sleeper <close> = task.spawn(task.sleep, seconds)
  self.sleepers[sleeper] = request
  local slept = sleeper:join()
  self.sleepers[sleeper] = nil
  return slept
end


-- Ends the answers that a call has left waiting which is over now. A server cannot see that
-- by itself: a client that has closed its side may still read.
function Upstream:settle(trace_id)
  for sleeper, request in pairs(self.sleepers) do
    local traceparent = request:header("traceparent") or ""
    if traceparent:find(trace_id, 1, true) then
      sleeper:cancel()
    end
  end
end


function Upstream:listen(address)
  local listener, message = server.listen(address, function(request)
    self:handle(request)
  end, { max_body_bytes = BODY_BYTES_MAX })
  if listener == nil then
    error("the scripted upstream could not listen: " .. message, 0)
  end
  self.listener = listener
end


-- Closes every connection without an answer, and serves on at the same address.
function Upstream:hang_up()
  local address = self.listener.address
  self.listener:close()
  self:listen(address)
end


function Upstream:script(pattern, answer)
  local method, path = tostring(pattern):match("^(%S+) (%S+)$")
  if method == nil or path:sub(1, 1) ~= "/" then
    error('an upstream is scripted as "GET /path", got ' .. tostring(pattern), 0)
  end
  if type(answer) ~= "function" and not is_list(answer) then
    check_answer(answer)
  end
  self.routes[#self.routes + 1] = { method = method, path = path, answer = answer, served = 0 }
end


-- Raises what went wrong in the spec itself, once.
function Upstream:check()
  local problem = self.problem
  self.problem = nil
  if problem then
    error(problem, 0)
  end
end


function Upstream:close()
  for sleeper in pairs(self.sleepers) do
    sleeper:cancel()
  end
  self.listener:close()
end


function M.new()
  local upstream = setmetatable({ requests = {}, routes = {}, sleepers = {} }, Upstream)
  upstream:listen("127.0.0.1:0")
  upstream.url = "http://" .. upstream.listener.address
  return upstream
end


return M
