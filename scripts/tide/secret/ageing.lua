-- Secrets that are of no use any more go: previous values that have expired, and what integrations had that
-- are gone or declare it no longer. The main worker looks once a minute.

local log = require "tide.log"
local state = require "tide.state.secrets"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local secrets = require "tide.secrets"

local M = {}

local LOOK_SECONDS = 60
-- How often in a row a secret is found without who declares it before it goes: what still runs has it, and so
-- has what is about to be in force.
local LOOKS = 2

local CLEAN = "UPDATE secrets SET previous_encrypted = NULL, previous_expires_at = NULL WHERE previous_expires_at <= $1"

local Ageing = {}
Ageing.__index = Ageing


local function drop_expired(generation)
  for _, integration in pairs(generation.integrations) do
    for name in pairs(integration.declared_secrets) do
      secrets.pair(integration, name)
    end
  end
  local done, message = store.execute(CLEAN, time.format())
  if not done then
    log.warn("previous secrets that have expired could not be deleted", { error = message })
  end
end


-- Whether an entry of the table of secrets belongs to an integration, nil when that is gone.
local function is_used(integration, name)
  return integration ~= nil
    and (secrets.is_kept_by_host(name) or integration.declared_secrets[secrets.declared_name(name)] ~= nil)
end


-- Whether there is anything left of the owner.
function Ageing:look_at(owner, integration, absent)
  local is_any = false
  for _, entry in ipairs(state.list(owner)) do
    local key = owner .. "/" .. entry.name
    local looks = not is_used(integration, entry.name) and (self.absent[key] or 0) + 1
    if looks == LOOKS then
      state.remove(owner, entry.name, entry.version)
    else
      absent[key], is_any = looks or nil, true
    end
  end
  return is_any
end


function Ageing:drop_unused(generation)
  local guard <close> = secrets.enter()
  if not guard then
    return
  end
  local present, absent = {}, {}
  for _, integration in pairs(generation.integrations) do
    local owner = secrets.owner(integration)
    present[owner], self.owners[owner] = integration, true
  end
  for owner in pairs(self.owners) do
    if not self:look_at(owner, present[owner], absent) and not present[owner] then
      self.owners[owner] = nil
    end
  end
  self.absent = absent
end


--- Looks until cancelled; its task.
---@param generation_of fun(): table the generation as it is then
function M.start(generation_of)
  local ageing = setmetatable({ owners = {}, absent = {} }, Ageing)
  return task.keep("the ageing of secrets", function()
    while true do
      drop_expired(generation_of())
      ageing:drop_unused(generation_of())
      task.sleep(LOOK_SECONDS)
    end
  end)
end


return M
