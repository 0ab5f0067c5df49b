-- What is wrong with stored secrets, for `/health`, for the words of `not_configured` and for whoever would
-- put another value in place of one that cannot be opened. One list for all workers.

local host = require "tide.host"
local json = require "tide.json"
local view = require "tide.view"

local M = {}

local PUBLISHED = "secret_faults"
-- Whose fault it is when it is no integration's.
M.SERVICE = "tidegate"

-- As this worker last decoded it.
local known = { version = 0, faults = {} }


--- The faults as they are now, by owner and name.
---@return table<string, table<string, string>>
function M.all()
  local bytes, version = host.published(PUBLISHED)
  if bytes and version ~= known.version then
    known = { version = version, faults = assert(json.decode(bytes)) }
  end
  return known.faults
end


--- What is wrong with a secret; nil when nothing is.
function M.find(owner, name)
  local faults = M.all()[owner]
  return faults and faults[name]
end


--- Notes a fault, or that there is none any more (nil). One at a time: the caller holds the lock of
--- secrets, or nobody else runs yet.
function M.set(owner, name, words)
  if M.find(owner, name) == words then
    return
  end
  local faults = M.all()
  faults[owner] = faults[owner] or {}
  faults[owner][name] = words
  if next(faults[owner]) == nil then
    faults[owner] = nil
  end
  host.publish(PUBLISHED, assert(json.encode(faults)))
end


--- Forgets faults of secrets that no integration of a generation declares (any more). The caller holds the
--- lock, as for `set`.
---@param generation table
function M.keep(generation)
  local declared = {}
  for _, integration in pairs(generation.integrations) do
    declared[integration.owner or integration.name] = integration.declared_secrets
  end
  for owner, faults in pairs(view.copy(M.all())) do
    for name in pairs(faults) do
      if owner ~= M.SERVICE and not (declared[owner] and declared[owner][name]) then
        M.set(owner, name, nil)
      end
    end
  end
end


--- One sentence each, sorted, of the owners that `sees(owner)` lets through.
function M.sentences(sees)
  local list = {}
  for owner, faults in pairs(M.all()) do
    for name, words in pairs(faults) do
      if owner == M.SERVICE then
        list[#list + 1] = words
      elseif sees(owner) then
        list[#list + 1] = ("the secret %s of %s %s"):format(name, owner, words)
      end
    end
  end
  table.sort(list)
  return list
end


return M
