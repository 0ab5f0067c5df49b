-- Read-only views: what a script may look at and cannot change. A view is an empty table
-- in front of the real one, so `pairs`, `ipairs`, `#` and indexing work, while `next`,
-- `rawget` and `rawlen` see nothing; `plain` gives a copy that holds everything.

local json = require "tide.json"

local M = {}

-- The real table behind each view. Weak: a view lives as long as somebody holds it.
local behind = setmetatable({}, { __mode = "k" })

local MAX_DEPTH = 64

local make


local function iterate(view, key)
  local real = behind[view]
  local next_key, value = next(real, key)
  if next_key == nil then
    return nil
  end
  return next_key, type(value) == "table" and make(value) or value
end


local function pairs_of(view)
  return iterate, view, nil
end


local function refuse(name)
  return function(_, key)
    error(("%s is read-only: %s cannot be set"):format(name, tostring(key)), 2)
  end
end


-- Views of tables inside views are made when asked for and kept, so that equal stays equal.
local kept = setmetatable({}, { __mode = "k" })


make = function(real, name)
  if behind[real] then
    return real
  end
  local view = kept[real]
  if view then
    return view
  end
  view = {}
  behind[view] = real
  kept[real] = view
  return setmetatable(view, {
    __index = function(_, key)
      local value = real[key]
      return type(value) == "table" and make(value) or value
    end,
    __newindex = refuse(name or "this table"),
    __pairs = pairs_of,
    __len = function() return #real end,
    __metatable = false,
    -- For the JSON encoder, which sees an empty table otherwise.
    view_of = real,
    __name = "tide.view",
  })
end


--- A read-only view of `real`, of everything inside it too. The same table gives the same view.
---@param real table
---@param name? string what a refused assignment calls it: "ctx.config"
---@return table
function M.readonly(real, name)
  if type(real) ~= "table" then
    error("view.readonly expects a table, got " .. type(real), 2)
  end
  return make(real, name)
end


--- Whether `value` is a view.
---@return boolean
function M.is(value)
  return behind[value] ~= nil
end


local function copy(value, depth, seen)
  if type(value) ~= "table" then
    return value
  end
  local real = behind[value] or value
  if seen[real] then
    return seen[real]
  end
  if depth > MAX_DEPTH then
    error("a value is nested deeper than " .. MAX_DEPTH .. " levels", 0)
  end
  local result = json.is_array(real) and json.array() or {}
  seen[real] = result
  for key, member in next, real do
    result[key] = copy(member, depth + 1, seen)
  end
  return result
end


-- Each table is looked into once, so that shared or cyclic ones end.
local function holds_view(value, depth, seen)
  if behind[value] then
    return true
  end
  if depth > MAX_DEPTH or seen[value] then
    return false
  end
  seen[value] = true
  for _, member in next, value do
    if type(member) == "table" and holds_view(member, depth + 1, seen) then
      return true
    end
  end
  return false
end


--- `value` itself when no view is in it, else a copy without views. For whatever is encoded.
---@generic T
---@param value T
---@return T
function M.plain(value)
  if type(value) ~= "table" or not holds_view(value, 1, {}) then
    return value
  end
  return copy(value, 1, {})
end


--- A deep copy of the tables in `value` (views included); only the array mark is kept.
---@generic T
---@param value T
---@return T
function M.copy(value)
  return copy(value, 1, {})
end


return M
