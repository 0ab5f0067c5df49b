-- A console inside the running service, by its API over the Unix socket: the methods of a session (session.lua).

local M = {}

local BASE = "/api/v1/console"
local WAIT_SECONDS_MAX = 20

local Remote = {}
Remote.__index = Remote


-- The answer's data; nil and what went wrong.
local function data_of(status, value)
  if not status then
    return nil, value
  end
  if type(value) ~= "table" or status >= 400 then
    return nil, type(value) == "table" and (value.detail or value.title) or ("the service answered %d"):format(status)
  end
  return value.data
end


function Remote:ask(method, path, body)
  return data_of(self.client:request(method, self.path .. path, body))
end


function Remote:start(text)
  local data, message = self:ask("POST", "/lines", { text = text })
  self.failed = data == nil
  return data and data.state, message
end


function Remote:read(seconds)
  local data, message = self:ask("GET", ("/output?wait=%.3f"):format(math.max(0, math.min(seconds, WAIT_SECONDS_MAX))))
  if not data then
    return nil, message
  end
  self.failed, self.ended = data.failed, self.ended or data.ended
  return data.text, data.state, data.failed
end


function Remote:cancel()
  self:ask("DELETE", "/lines")
end


function Remote:complete(text, at)
  return self:ask("POST", "/complete", { text = text, at = at }) or { from = at, words = {} }
end


function Remote:resize(width)
  self:ask("PATCH", "", { width = width })
end


function Remote:close()
  self.ended = true
  self:ask("DELETE", "")
end


--- Opens a console in the service of `client` (client.lua). `options`: role, width, is_color.
---@return table|nil session, string? message
function M.open(client, options)
  local data, message = data_of(client:request("POST", BASE, {
    role = options.role, width = options.width, is_color = options.is_color or false,
  }))
  if not data then
    return nil, message
  end
  return setmetatable({
    client = client, path = BASE .. "/" .. data.id, banner = data.banner, ended = false, failed = false,
  }, Remote)
end


return M
