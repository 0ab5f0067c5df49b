-- One validation in progress: where it is, what it has found, and how a node is applied.

local crypto = require "tide.crypto"
local json = require "tide.json"
local message = require "tide.message"
local schema_value = require "tide.schema.value"

local M = {}

M.MAX_ERRORS = 100

local kind_of = schema_value.kind

local TYPE_NAMES = {
  string = "text", number = "a number", integer = "a whole number", boolean = "true or false",
  array = "a list", object = "an object", null = "null",
}
local FOUND_NAMES = {
  string = "text", number = "a number", boolean = "a boolean", array = "a list",
  object = "an object", empty = "an object", null = "null",
}

local Run = {}
Run.__index = Run


--- A validation of `value`. `direction` is "in" (defaults filled, base64 decoded) or "out" (base64
--- encoded).
function M.new(direction)
  local run = { path = {}, errors = {}, direction = direction, fill = true, quiet = false,
    failed = false }
  return setmetatable(run, Run)
end


--- Notes that the value at `level` of the path is wrong.
function Run:report(level, words)
  self.failed = true
  if self.quiet or #self.errors >= M.MAX_ERRORS then
    return
  end
  self.errors[#self.errors + 1] = {
    detail = schema_value.subject(self.path, level) .. " " .. words,
    pointer = schema_value.pointer(self.path, level),
  }
end


--- The same for a member of that value, which may be missing.
function Run:report_member(level, name, words)
  self.path[level + 1] = name
  self:report(level + 1, words)
  self.path[level + 1] = nil
end


--- Whether nothing more can be learnt: a quiet run has failed, or there are enough errors.
function Run:is_over()
  return self.failed and (self.quiet or #self.errors >= M.MAX_ERRORS)
end


--- Whether `value` satisfies `node`; changes nothing and reports nothing.
function Run:satisfies(node, value, level)
  local trial = setmetatable({
    path = self.path, direction = self.direction, fill = false, quiet = true, failed = false,
  }, Run)
  trial:apply(node, value, level)
  return not trial.failed
end


--- Applies `node` to a member and puts what becomes of it in its place.
function Run:apply_member(node, holder, key, level)
  self.path[level + 1] = key
  local value = holder[key]
  local result = self:apply(node, value, level + 1)
  self.path[level + 1] = nil
  if self.fill and not rawequal(result, value) then
    holder[key] = result
  end
end


local function is_integral(value)
  return math.type(value) == "integer" or value == math.floor(value)
end


local function has_type(types, kind, value)
  if kind == "number" then
    return types.number or (types.integer and is_integral(value))
  end
  if kind == "empty" then
    return types.object or types.array
  end
  return types[kind]
end


local function type_message(node, kind)
  local names = {}
  for _, name in ipairs(node.type_list) do
    names[#names + 1] = TYPE_NAMES[name]
  end
  local found = FOUND_NAMES[kind]
  if kind == "number" and #names == 1 and names[1] == TYPE_NAMES.integer then
    found = "a number with a fraction"
  end
  return "must be " .. message.choice(names) .. ", not " .. found
end


-- What a node of this type makes of a value that is right but could be written otherwise.
local function settle(node, kind, value)
  if kind == "empty" and not node.types.object then
    return json.array(value), "array"
  end
  if kind == "number" and not node.types.number then
    return math.tointeger(value) or value, kind
  end
  return value, kind
end


function Run:decode(value, level)
  local bytes = crypto.from_base64(value)
  if not bytes then
    self:report(level, "must be base64 text")
    return value
  end
  return self.fill and bytes or value
end


local function fits(wanted, kind)
  return wanted == nil or wanted == kind or (kind == "empty"
    and (wanted == "object" or wanted == "array"))
end


--- Checks `value` against `node`, reporting faults, and returns what becomes of it.
function Run:apply(node, value, level)
  if node.never then
    self:report(level, "is not allowed")
    return value
  end
  local kind = kind_of(value)
  if node.base64 and kind == "string" and self.direction == "out" then
    value = crypto.base64(value)
  end
  if node.types then
    if not has_type(node.types, kind, value) then
      self:report(level, type_message(node, kind))
      return value
    end
    value, kind = settle(node, kind, value)
  end
  for _, check in ipairs(node.checks) do
    if fits(check.kind, kind) then
      local result = check.run(value, self, level)
      if result ~= nil then
        value = result
      end
      if self:is_over() then
        return value
      end
    end
  end
  if node.base64 and kind == "string" and self.direction == "in" and not self.failed then
    return self:decode(value, level)
  end
  return value
end


return M
