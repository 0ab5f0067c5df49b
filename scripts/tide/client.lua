-- The running service, as the command line sees it: its HTTP API over its Unix socket.

local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"

local M = {}

local TIMEOUT_SECONDS = 3600
local RESPONSE_BYTES_MAX = 64 * 1024 * 1024

local Client = {}
Client.__index = Client


-- Sends one request, its headers as a list of pairs and its body as they are. The status and the decoded
-- answer, or its text when it is not JSON; nil and a message when there is no answer.
function M.send(request)
  request.timeout_seconds, request.max_response_bytes = TIMEOUT_SECONDS, RESPONSE_BYTES_MAX
  local response, message = http.request(request)
  if not response then
    return nil, message
  end
  local value = json.decode(response.body)
  if value == nil then
    value = response.body
  end
  return response.status, value
end


-- The same to the service; `path` with its query.
function Client:send(method, path, headers, body)
  return M.send {
    method = method, url = "http://localhost" .. path, headers = headers, body = body, unix_socket = self.socket,
  }
end


-- The same for the API; `body` is encoded.
function Client:request(method, path, body, headers)
  local list = { { "Accept", "application/json" } }
  if body ~= nil then
    list[2] = { "Content-Type", "application/json" }
  end
  for name, value in pairs(headers or {}) do
    list[#list + 1] = { name, value }
  end
  return self:send(method, path, list, body ~= nil and assert(json.encode(body)) or nil)
end


-- The service of a project; nil when none runs.
function M.find(project)
  local socket = project:file("socket")
  if not host.stat(socket) then
    return nil
  end
  local client = setmetatable({ socket = socket }, Client)
  -- A socket is left behind by a service that was killed.
  if not client:request("GET", "/health") then
    return nil
  end
  return client
end


-- The same, or nil and a message for whoever needs one that runs.
function M.need(project)
  local client = M.find(project)
  if client then
    return client
  end
  if project.faults then
    return nil, table.concat(project.faults, "\n")
  end
  return nil, ("no service runs in %s (tidegate serve starts one)"):format(project.config.data_dir)
end


-- What a problem says, with a line for each fault that it names.
function M.explain(problem)
  if type(problem) ~= "table" then
    return tostring(problem)
  end
  local parts = { ("%s: %s"):format(problem.code or "error", problem.detail or problem.title or "unknown error") }
  for _, fault in ipairs(problem.errors or {}) do
    if fault.detail ~= problem.detail then
      parts[#parts + 1] = ("  %s: %s"):format(fault.pointer or "#", fault.detail)
    elseif fault.pointer and fault.pointer ~= "#" then
      parts[1] = ("%s (%s)"):format(parts[1], fault.pointer)
    end
  end
  return table.concat(parts, "\n")
end


return M
