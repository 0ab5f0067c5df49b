-- `integrations.NAME.OPERATION{…}`: what there is to call, as read-only tables that follow reloads.

local suggest = require "tide.suggest"
local sorted = require "tide.sorted"

local M = {}

-- What stands behind each: { kind, name, members }. Weak: it lives as long as somebody holds the table.
local behind = setmetatable({}, { __mode = "k" })
-- The names of integration and operation that a function calls. Weak, too.
local called_by = setmetatable({}, { __mode = "k" })


-- Keys are what a line gives; no code of theirs runs.
local function text_of(key)
  return type(key) == "string" and key or type(key)
end


local function read_only(_, key)
  error("integrations cannot be changed here: " .. text_of(key), 2)
end


-- `members()` gives what there is by name now, `make(name)` the value of one.
local function new(kind, name, members, make)
  local proxy, made = {}, {}
  local function get(key)
    if members()[key] == nil then
      return nil
    end
    made[key] = made[key] or make(key)
    return made[key]
  end
  behind[proxy] = { kind = kind, name = name, members = members, get = get }
  return setmetatable(proxy, {
    __index = function(_, key)
      local value = get(key)
      if value == nil then
        error(("there is no %s %s%s"):format(kind, text_of(key), suggest.hint(key, members())), 2)
      end
      return value
    end,
    __newindex = read_only,
    __pairs = function()
      local values = {}
      for _, key in ipairs(sorted.names(members())) do
        values[key] = get(key)
      end
      return next, values, nil
    end,
    __metatable = false,
  })
end


--- The table `integrations`. `generation()` gives the present one, `call(integration, operation, input)` calls.
function M.new(generation, call)
  return new("integration", nil, function() return generation().integrations end, function(name)
    local function operations()
      local integration = generation().integrations[name]
      return integration and integration.operations or {}
    end
    return new("operation", name, operations, function(operation)
      local function run(input)
        return call(name, operation, input)
      end
      called_by[run] = { name, operation }
      return run
    end)
  end)
end


--- The sorted names in one of these tables, and the name of its integration; nil for any other value.
---@return string[]|nil, string|nil
function M.names(value)
  local real = behind[value]
  if not real then
    return nil
  end
  return sorted.names(real.members()), real.name
end


--- The integration and the operation that a function of one of these tables calls; nil for any other value.
---@return string|nil integration, string|nil operation
function M.called_by(value)
  if called_by[value] then
    return table.unpack(called_by[value])
  end
end


--- A member of one of these tables, or nil; runs nothing of a script's.
function M.member(value, name)
  return behind[value].get(name)
end


--- How one is shown; nil for any other value.
---@return string|nil
function M.describe(value)
  local names, integration = M.names(value)
  if not names then
    return nil
  end
  local list = #names > 0 and table.concat(names, ", ") or "none"
  return integration and ("<%s: %s>"):format(integration, list) or ("<integrations: %s>"):format(list)
end


return M
