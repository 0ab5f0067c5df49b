-- The listeners of one worker: one for each address that the main worker publishes (addresses.lua). They come and
-- go while requests are answered.

local host = require "tide.host"
local json = require "tide.json"
local server = require "tide.server"
local task = require "tide.task"

local M = {}

--- What is published: the addresses as JSON. Each worker answers with its version, and a message when one could
--- not be opened.
M.ADDRESSES = "listen"
M.ANSWER = "listen.answer."

local DRAIN_POLL_SECONDS = 0.005
local LOOK_SECONDS = 60

local Listeners = {}
Listeners.__index = Listeners


-- Of the API and of every webhook the largest; each has its own limit, looked at later.
local function largest_body(built)
  local most = built.config.max_request_bytes
  for _, integration in pairs(built.integrations) do
    if integration.webhooks then
      most = math.max(most, integration.values.webhook_max_bytes)
    end
  end
  return most
end


-- None yet; `handler` is that of each. Whether they speak TLS is decided here, once.
function M.new(handler, built)
  return setmetatable({ handler = handler, built = built, is_tls = built.config.tls ~= nil, open = {}, ending = {},
    version = 0 }, Listeners)
end


-- A Unix socket has one listener: it cannot be shared as a port can.
local function is_mine(address)
  return not address:match("^unix:") or host.worker == 1
end


function Listeners:listen(address)
  local is_port = not address:match("^unix:")
  return server.listen(address, self.handler, {
    reuse_port = is_port or nil,
    tls = self.is_tls and is_port,
    max_body_bytes = largest_body(self.built),
  })
end


-- Answers what has come, at its own pace, and is gone.
function Listeners:end_one(listener)
  self.ending[listener] = true
  task.detach(function()
    M.drain({ listener })
    listener:close()
    self.ending[listener] = nil
  end)
end


-- Opens and ends listeners so that they are those of `addresses`; nil and a message when one could not be
-- opened: the others are as they should be.
function Listeners:set(addresses)
  local wanted, failed = {}, nil
  for _, address in ipairs(addresses) do
    if is_mine(address) then
      wanted[address] = true
      if not self.open[address] then
        local listener, message = self:listen(address)
        self.open[address], failed = listener, failed or message
      end
    end
  end
  for address, listener in pairs(self.open) do
    if not wanted[address] then
      self.open[address] = nil
      self:end_one(listener)
    end
  end
  return failed == nil, failed
end


-- Takes the addresses that are published now.
function Listeners:take()
  local bytes, version = host.published(M.ADDRESSES)
  if version == self.version then
    return true
  end
  self.version = version
  return self:set(assert(json.decode(bytes)))
end


--- Goes on to take them, and answers, until cancelled.
function Listeners:follow()
  while true do
    local changes = host.changes()
    local before = self.version
    local _, message = self:take()
    if self.version ~= before then
      host.publish(M.ANSWER .. host.worker, json.encode { version = self.version, message = message })
    end
    host.wait_changes(changes, LOOK_SECONDS)
  end
end


--- Follows the configuration of another generation.
function Listeners:adopt(built)
  self.built = built
  for _, listener in pairs(self.open) do
    listener:limit_body(largest_body(built))
  end
end


--- Those that are open.
function Listeners:list()
  local list = {}
  for _, listener in pairs(self.open) do
    list[#list + 1] = listener
  end
  return list
end


--- Lets no connection in any more and returns when all are closed, each request answered.
function M.drain(list)
  for _, listener in ipairs(list) do
    listener:drain()
  end
  for _, listener in ipairs(list) do
    while listener:stats().connections > 0 do
      task.sleep(DRAIN_POLL_SECONDS)
    end
  end
end


--- The same for all of this worker, those that are ending too.
function Listeners:drain()
  local list = self:list()
  for listener in pairs(self.ending) do
    list[#list + 1] = listener
  end
  M.drain(list)
end


return M
