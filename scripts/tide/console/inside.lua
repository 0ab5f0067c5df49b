-- The API, asked from inside the process with an identity: the same handlers and the same rights as over the
-- network.

local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local errors = require "tide.errors"

local M = {}

-- Of a problem, what the error that is raised for it keeps.
local KEPT = { "errors", "integration", "operation", "trace_id", "attempts", "policy", "retry_after", "retryable" }

local Request = {}
Request.__index = Request


function Request:header(name)
  return self.header_values[name]
end


function Request:respond(status, _, body)
  self.status, self.answer = status, body
  return true
end


local function new_request(method, target, body, headers)
  local path, query = target:match("^([^?]*)%??(.*)$")
  local values = {}
  for name, value in pairs(headers or {}) do
    values[name:lower()] = value
  end
  if body ~= nil then
    values["content-type"] = "application/json"
  end
  return setmetatable({
    method = method, path = path, query = query ~= "" and query or nil, peer = "console", version = "1.1", gone = false,
    body = body ~= nil and assert(json.encode(body)) or "", header_values = values,
  }, Request)
end


local Inside = {}
Inside.__index = Inside


-- `instance` as for api.new; `identity`: name, role, rights.
function M.new(instance, identity)
  -- The API's groups ask for consoles themselves.
  local api = require "tide.api"
  return setmetatable({ handler = api.new(instance), identity = identity }, Inside)
end


local function handle(inside, request)
  task.budget(nil)
  inside.handler(request, inside.identity)
end


-- In a task of its own: what a script may use between two waits is neither shared with the handler nor changed
-- by it.
local function run(inside, request)
  local ending <close> = task.spawn(handle, inside, request)
  local ok, message = ending:join()
  if not ok then
    error(message, 0)
  end
end


--- The status and the decoded answer, or its text when it is not JSON.
---@param method string
---@param target string the path, with its query
---@param body? table
---@param headers? table<string, string>
---@return integer status, any value
function Inside:request(method, target, body, headers)
  local request = new_request(method, target, body, headers)
  run(self, request)
  local value = request.answer and json.decode(request.answer)
  if value == nil then
    value = request.answer
  end
  return request.status, value
end


--- The answer; a problem is raised as an error.
function Inside:ask(method, target, body, headers)
  local status, value = self:request(method, target, body, headers)
  if status < 400 then
    return value
  end
  local fields = { status = value.upstream_status }
  for _, name in ipairs(KEPT) do
    fields[name] = value[name]
  end
  error(errors.new(value.code, value.detail, fields), 0)
end


--- A path whose `{}` are filled with `...`, encoded.
function M.path(template, ...)
  local parts, index = { ... }, 0
  return (template:gsub("{}", function()
    index = index + 1
    return http.encode(tostring(parts[index]))
  end))
end


return M
