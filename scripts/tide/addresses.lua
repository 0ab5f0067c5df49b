-- Where the service listens, in the main worker: what config.lua or the command line says, bound once to see that
-- it is free and to learn the number of port 0, then published for the workers to listen at (listeners.lua).

local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"
local listeners = require "tide.listeners"

local M = {}

local ANSWER_SECONDS = 5

local Addresses = {}
Addresses.__index = Addresses


-- `workers` is how many will listen.
function M.new(workers)
  return setmetatable({ workers = workers, bound = {} }, Addresses)
end


local function port_of(address)
  return address:match(":([1-9]%d*)$")
end


-- Whether one of the bound addresses has the port, so that it is ours: 127.0.0.1:8080 may become 0.0.0.0:8080.
function Addresses:is_ours(port)
  for _, address in pairs(self.bound) do
    if port ~= nil and port_of(address) == port then
      return true
    end
  end
  return false
end


-- Binds those that are not bound yet: by text of the configuration, what was bound; nil and a message.
function Addresses:reserve(texts)
  local bound, new, shared = {}, {}, {}
  for _, text in ipairs(texts) do
    bound[text] = self.bound[text]
    if not bound[text] then
      new[#new + 1] = text
      shared[#new] = self:is_ours(port_of(text))
    end
  end
  local reserved, message = {}, nil
  if #new > 0 then
    reserved, message = host.reserve(new, shared)
  end
  if not reserved then
    host.release()
    return nil, message
  end
  for index, text in ipairs(new) do
    bound[text] = reserved[index]
  end
  return bound
end


-- Publishes what is bound, in the order of the configuration. The version.
function Addresses:publish(texts)
  self.list = {}
  for index, text in ipairs(texts) do
    self.list[index] = self.bound[text]
  end
  return host.publish(listeners.ADDRESSES, json.encode(json.array(self.list)))
end


--- Reserves the first ones, for workers that are about to start; `host.release` when they listen. True, or nil and
--- a message.
function Addresses:open(texts)
  local bound, message = self:reserve(texts)
  if not bound then
    return nil, message
  end
  self.bound = bound
  self:publish(texts)
  return true
end


--- Whether `move` could be made now: true, or nil and a message.
function Addresses:check(texts)
  local bound, message = self:reserve(texts)
  host.release()
  return bound and true, message
end


-- What each worker said of a version; nil and a message.
function Addresses:wait(version)
  local deadline = time.monotonic() + ANSWER_SECONDS
  for worker = 1, self.workers do
    local changes = host.changes()
    local bytes = host.published(listeners.ANSWER .. worker)
    local answer = bytes and json.decode(bytes)
    while not answer or answer.version < version do
      if time.monotonic() >= deadline then
        return nil, ("worker %d did not listen within %d seconds"):format(worker, ANSWER_SECONDS)
      end
      changes = host.wait_changes(changes, math.max(0, deadline - time.monotonic()))
      bytes = host.published(listeners.ANSWER .. worker)
      answer = bytes and json.decode(bytes)
    end
    if answer.message then
      return nil, answer.message
    end
  end
  return true
end


--- Moves to other addresses while the service runs; those that stay are not touched. True when every worker
--- listens there, or nil and a message: one that is taken changes nothing.
function Addresses:move(texts)
  local bound, message = self:reserve(texts)
  if not bound then
    return nil, message
  end
  self.bound = bound
  local done
  done, message = self:wait(self:publish(texts))
  host.release()
  return done, message
end


return M
