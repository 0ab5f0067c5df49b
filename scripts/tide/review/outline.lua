-- Where the keys of the table that a file returns stand, as far as they are written down: `return { … }`, or a local
-- that is filled and returned.

local tree = require "tide.lua.tree"

local M = {}

-- A local may be made of another one, and so on.
local MAX_STEPS = 20

local Outline = {}
Outline.__index = Outline


-- What a name was given that is written once.
local function value_of(node)
  for _ = 1, MAX_STEPS do
    if node == nil then
      return nil
    elseif node.kind == "paren" then
      node = node[1]
    elseif node.kind == "name" and node.variable and node.variable.writes == 0 and node.variable.value then
      node = node.variable.value
    else
      return node
    end
  end
end

M.value_of = value_of


-- Assignments to members of a local: { variable -> { key -> { line, value } } }.
local function assigned(source)
  local members = {}
  local function note(target, value)
    local object = target.kind == "index" and target.name and target[1]
    if object and object.kind == "name" and object.variable then
      members[object.variable] = members[object.variable] or {}
      members[object.variable][target.name] = members[object.variable][target.name]
        or { line = target.line, value = value }
    end
  end
  tree.walk(source.tree, function(node)
    if node.kind == "assign" and node.targets == 1 then
      note(node[1], node[2])
    elseif node.kind == "function_statement" then
      note(node[1], node[2])
    end
  end)
  return members
end


local function returned(source)
  local last = source.tree[#source.tree]
  return last and last.kind == "return" and last[1] or nil
end


function Outline:member(node, key)
  local variable = node.kind == "name" and node.variable
  local set = variable and self.assigned[variable] and self.assigned[variable][key]
  local value = value_of(node)
  for _, item in ipairs(value and value.kind == "table" and value or {}) do
    if item.name == key then
      return { line = item.line, value = item[1] }
    end
  end
  return set
end


--- The member at a path of keys: { line, value }; nil where it cannot be told.
---@param keys string[]
function Outline:find(keys)
  local at = { value = self.root }
  for _, key in ipairs(keys) do
    at = at.value and self:member(at.value, key)
    if not at then
      return nil
    end
  end
  return at
end


--- The line of a path of keys; nil where it cannot be told.
function Outline:line(keys)
  local found = self:find(keys)
  return found and found.line
end


---@param source table of tide.lua.parser
function M.new(source)
  return setmetatable({ root = returned(source), assigned = assigned(source) }, Outline)
end


return M
