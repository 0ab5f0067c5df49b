-- A change of run-time settings as a JSON Merge Patch (RFC 7396): checked as a whole, applied, and made of
-- two states.

local json = require "tide.json"
local redact = require "tide.redact"
local known_secrets = require "tide.state.secrets"
local schema = require "tide.settings.schema"
local settings = require "tide.settings"
local settings_type = require "tide.settings.type"
local suggest = require "tide.suggest"

local M = {}

M.DEPTH_MAX = 32


--- The pointer of a key: "#/extra_config".
---@return string
function M.pointer(name)
  return "#/" .. name:gsub("~", "~0"):gsub("/", "~1")
end


-- Checking ----------------------------------------------------------------------------------------


-- Numbers are equal however JSON wrote them: 30.0 is 30.
local function normal(value)
  if type(value) == "number" then
    return math.tointeger(value) or value
  end
  if type(value) ~= "table" then
    return value
  end
  local result = json.is_array(value) and json.array() or {}
  for name, member in next, value do
    result[name] = normal(member)
  end
  return result
end


local function is_too_deep(value, left)
  if type(value) ~= "table" then
    return false
  end
  if left == 0 then
    return true
  end
  for _, member in next, value do
    if is_too_deep(member, left - 1) then
      return true
    end
  end
  return false
end


-- What an answer shows instead of a value, or the value of a secret, has no business in the store.
local function secret_fault(value)
  local text = assert(json.encode(value))
  if text:find(redact.MARK, 1, true) then
    return ("%s stands for a value that is not shown: give the value itself, or leave it out"):format(redact.MARK)
  end
  if known_secrets.redact(text) ~= text then
    return "it holds the value of a secret: secrets are stored with `tidegate secret set`"
  end
end


local function check_member(name, value, present)
  local key = schema.integration_by_name[name]
  if value == json.null and present[name] ~= nil then
    return nil
  end
  if not key then
    return "unknown key" .. suggest.hint(name, schema.integration_by_name)
  end
  if not key.live then
    return "it cannot be changed while the service runs: it belongs into config.lua"
  end
  if value == json.null then
    return nil
  end
  if is_too_deep(value, M.DEPTH_MAX) then
    return ("it is nested deeper than %d levels"):format(M.DEPTH_MAX)
  end
  return settings_type.fault(key, value) or secret_fault(value)
end


--- Checks each member of a patch: the patch with its numbers in one form, or nil and all faults. What is set can
--- be taken away, also when no version of this program knows it any more.
---@param patch table
---@param present? table<string, any> what is set now
---@return table|nil patch, { pointer: string, detail: string }[]? faults
function M.check(patch, present)
  local faults, result = {}, {}
  for name, value in next, patch do
    local detail = check_member(name, value, present or {})
    if detail then
      faults[#faults + 1] = { pointer = M.pointer(name), detail = detail }
    else
      result[name] = normal(value)
    end
  end
  table.sort(faults, function(left, right) return left.pointer < right.pointer end)
  if #faults > 0 then
    return nil, faults
  end
  return result
end


--- The keys of a patch that need the role admin, sorted.
---@return string[]
function M.admin_keys(patch)
  local names = {}
  for name in next, patch do
    local key = schema.integration_by_name[name]
    if key and key.admin then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end


-- Applying ----------------------------------------------------------------------------------------


--- What `overrides` become by a patch that was checked.
---@return table
function M.apply(overrides, patch)
  local result = settings.merge(overrides, patch)
  -- Layers of it are merged: an empty one says nothing.
  if result.extra_config and next(result.extra_config) == nil then
    result.extra_config = nil
  end
  return result
end


local function is_object(value)
  return type(value) == "table" and not json.is_array(value)
end


local function same(left, right)
  return json.encode(left, { canonical = true }) == json.encode(right, { canonical = true })
end

M.same = same


--- The patch that makes `after` of `before`.
---@return table
function M.between(before, after)
  local patch = {}
  for name in next, before do
    if after[name] == nil then
      patch[name] = json.null
    end
  end
  for name, value in next, after do
    if is_object(value) and is_object(before[name]) then
      local inner = M.between(before[name], value)
      patch[name] = next(inner) and inner or nil
    elseif before[name] == nil or not same(before[name], value) then
      patch[name] = value
    end
  end
  return patch
end


return M
