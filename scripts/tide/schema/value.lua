-- JSON values as the schema sees them: kinds, copies, equality, pointers.

local json = require "tide.json"
local view = require "tide.view"

local M = {}

M.MAX_DEPTH = 64
M.MAX_NODES = 1000000

local null = json.null


--- "null", "boolean", "number", "string", "array", "object", or nil for what JSON has not.
--- An empty table without the array mark is "empty": both an array and an object.
---@return string|nil
function M.kind(value)
  if value == null then
    return "null"
  end
  local kind = type(value)
  if kind ~= "table" then
    return (kind == "boolean" or kind == "number" or kind == "string") and kind or nil
  end
  if json.is_array(value) then
    return "array"
  end
  return next(value) == nil and "empty" or "object"
end


-- How a table would be encoded: "array", "object", or nil and why not.
local function table_kind(value)
  local count, texts, top = 0, 0, 0
  for key in next, value do
    count = count + 1
    if type(key) == "string" then
      texts = texts + 1
    elseif math.type(key) == "integer" and key > 0 then
      top = math.max(top, key)
    else
      return nil, "has a key that is neither text nor a position"
    end
  end
  if texts == count and not json.is_array(value) then
    return "object", count
  end
  if texts > 0 then
    return nil, "mixes list positions and named members"
  end
  if top ~= count then
    return nil, "is a list with holes"
  end
  return "array", count
end


-- One value of a copy; raises { path..., message } through `state.fail`.
local function copy_value(value, state, depth)
  local kind = type(value)
  if kind ~= "table" then
    if kind == "string" or kind == "boolean" or value == null then
      return value
    end
    if kind == "number" then
      if value ~= value or value == math.huge or value == -math.huge then
        return state:fail("is not a finite number")
      end
      return value
    end
    return state:fail("cannot be written as JSON: it is a " .. kind)
  end
  return state:copy_table(value, depth)
end


local Copy = {}
Copy.__index = Copy


-- Keeps the first fault only; the copy is thrown away then.
function Copy:fail(words)
  if not self.message then
    self.message = words
    self.pointer = M.pointer(self.path, #self.path)
  end
  return nil
end


function Copy:copy_table(value, depth)
  if view.is(value) then
    value = view.copy(value)
  end
  if depth > M.MAX_DEPTH then
    return self:fail("is nested deeper than " .. M.MAX_DEPTH .. " levels")
  end
  local kind, count = table_kind(value)
  if not kind then
    return self:fail(count)
  end
  self.nodes = self.nodes + count
  if self.nodes > M.MAX_NODES then
    return self:fail("has more than " .. M.MAX_NODES .. " members")
  end
  local result = kind == "array" and json.array() or {}
  local path = self.path
  local level = #path + 1
  for key, member in next, value do
    path[level] = key
    result[key] = copy_value(member, self, depth + 1)
    if self.message then
      return nil
    end
  end
  path[level] = nil
  return result
end


--- A deep copy of a JSON value: lists marked as arrays, nothing shared, no metatables of others.
---@return any value, table|nil fault { detail, pointer }
function M.copy(value)
  local state = setmetatable({ path = {}, nodes = 0 }, Copy)
  local result = copy_value(value, state, 1)
  if state.message then
    return nil, { detail = M.subject(state.path, #state.path) .. " " .. state.message,
      pointer = state.pointer }
  end
  return result
end


--- Equality as JSON Schema means it: 1 and 1.0 are equal, the order of members does not matter.
---@return boolean
function M.equal(left, right)
  if left == right then
    return true
  end
  if type(left) ~= "table" or type(right) ~= "table" then
    return false
  end
  local left_kind, right_kind = M.kind(left), M.kind(right)
  if left_kind ~= right_kind and left_kind ~= "empty" and right_kind ~= "empty" then
    return false
  end
  local count = 0
  for key, member in next, left do
    count = count + 1
    local other = right[key]
    if other == nil or not M.equal(member, other) then
      return false
    end
  end
  for _ in next, right do
    count = count - 1
  end
  return count == 0
end


local function escape_byte(byte)
  return ("%%%02X"):format(byte:byte())
end


--- `path[1..count]` as a JSON pointer in a URI fragment; list positions count from 0.
---@param path (string|integer)[]
---@return string
function M.pointer(path, count)
  local parts = { "#" }
  for i = 1, count do
    local token = path[i]
    if type(token) == "string" then
      token = token:gsub("~", "~0"):gsub("/", "~1")
      token = token:gsub("[^%w%-%._~!$&'()*+,;=:@?]", escape_byte)
    else
      token = tostring(token - 1)
    end
    parts[i + 1] = token
  end
  return table.concat(parts, "/")
end


--- What a message calls the value at `path`: "amount", "items[0]", "the input".
---@return string
function M.subject(path, count)
  local positions = ""
  for i = count, 1, -1 do
    local token = path[i]
    if type(token) == "string" then
      if #token > 100 then
        token = token:sub(1, utf8.offset(token, 0, 100) - 1) .. "…"
      end
      if token == "" or not utf8.len(token) or token:find("[%c%s]") then
        token = ("%q"):format(token)
      end
      return token .. positions
    end
    positions = "[" .. (token - 1) .. "]" .. positions
  end
  return "the value" .. (positions ~= "" and " at " .. positions or "")
end


return M
