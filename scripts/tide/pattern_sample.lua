-- A text that a regular expression matches, for examples: of the usual notation, as far as it is usual.

local M = {}

local PATTERN_BYTES_MAX = 1000
local SAMPLE_BYTES_MAX = 1000
local DEPTH_MAX = 20

local CANDIDATES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ1234567890-_. :/@+,#"

local Reader = {}
Reader.__index = Reader

-- What a letter after a backslash stands for in a Lua set.
local CLASSES = { d = "%d", w = "%w_", s = "%s", D = "%D", S = "%S" }
local CONTROLS = { n = "\n", t = "\t", r = "\r" }
local ZERO_WIDTH = { b = true, B = true, A = true, z = true, Z = true }


function Reader:peek()
  return self.pattern:sub(self.at, self.at)
end


function Reader:take()
  local character = self:peek()
  self.at = self.at + 1
  return character
end


function Reader:eat(text)
  if self.pattern:sub(self.at, self.at + #text - 1) == text then
    self.at = self.at + #text
    return true
  end
  return false
end


-- Raised where the notation is not known here; caught by `of`.
local UNKNOWN = {}


-- One of the members of a set: the digits in turn, so that a number looks like one.
function Reader:pick(members)
  if members:find("[1-9]") and members:find("0") and not members:find("%a") then
    self.digit = self.digit % 10 + 1
    local digit = tostring(self.digit % 10)
    return members:find(digit, 1, true) and digit or members:match("%d")
  end
  return members:sub(1, 1)
end


-- The candidates that a Lua set of characters has, or has not.
local function members_of(set, negated)
  local found = {}
  for character in CANDIDATES:gmatch(".") do
    if (character:find("[" .. set .. "]") ~= nil) ~= negated then
      found[#found + 1] = character
    end
  end
  return table.concat(found)
end


local function quoted(character)
  return (character:gsub("%W", "%%%0"))
end


-- "[…]": the part of a Lua set that means the same.
function Reader:set_item()
  local character = self:take()
  if character == "" then
    error(UNKNOWN)
  end
  if character == "\\" then
    local escaped = self:take()
    if CLASSES[escaped] then
      return CLASSES[escaped]
    end
    if escaped:match("%w") and not CONTROLS[escaped] then
      error(UNKNOWN)
    end
    return quoted(CONTROLS[escaped] or escaped)
  end
  if character:byte() >= 0x80 or character == "[" and self:peek() == ":" then
    error(UNKNOWN)
  end
  local last = self.pattern:match("^%-(%w)", self.at)
  if last and character:match("%w") then
    self.at = self.at + 2
    return character .. "-" .. last
  end
  return quoted(character)
end


function Reader:set()
  local negated, parts = self:eat("^"), {}
  repeat
    parts[#parts + 1] = self:set_item()
  until self:eat("]")
  local members = members_of(table.concat(parts), negated)
  if members == "" then
    error(UNKNOWN)
  end
  return function() return self:pick(members) end
end


local function constant(text)
  return function() return text end
end


function Reader:escape()
  local character = self:take()
  if CLASSES[character] then
    local members = members_of(CLASSES[character], false)
    return function() return self:pick(members) end
  end
  if ZERO_WIDTH[character] then
    return constant("")
  end
  if character == "" or character:match("%w") and not CONTROLS[character] then
    error(UNKNOWN)
  end
  return constant(CONTROLS[character] or character)
end


function Reader:group(depth)
  local is_look = self:eat("?=") or self:eat("?!") or self:eat("?<=") or self:eat("?<!")
  if not is_look and not self:eat("?:") and self:peek() == "?" then
    error(UNKNOWN)
  end
  local inside = self:choice(depth + 1)
  if not self:eat(")") then
    error(UNKNOWN)
  end
  return is_look and constant("") or inside
end


function Reader:atom(depth)
  local character = self:take()
  if character == "(" then
    return self:group(depth)
  elseif character == "[" then
    return self:set()
  elseif character == "\\" then
    return self:escape()
  elseif character == "." then
    return constant("a")
  elseif character == "^" or character == "$" then
    return constant("")
  elseif character:find("[*+?{]") then
    error(UNKNOWN)
  end
  return constant(character)
end


-- The least and the most times that what stands before comes.
function Reader:quantifier()
  if self:eat("*") then
    return 0, math.huge
  elseif self:eat("+") then
    return 1, math.huge
  elseif self:eat("?") then
    return 0, 1
  end
  local least, comma, most, after = self.pattern:match("^{(%d+)(,?)(%d*)}()", self.at)
  if not after then
    return 1, 1
  end
  self.at = after
  least = tonumber(least)
  return least, comma == "" and least or tonumber(most) or math.huge
end


function Reader:repeated(depth)
  local atom = self:atom(depth)
  local least, most = self:quantifier()
  local _ = self:eat("?") or self:eat("+") -- lazy or possessive
  return function()
    local parts, count = {}, math.min(least + self.extra, most)
    if count > SAMPLE_BYTES_MAX then
      error(UNKNOWN)
    end
    for index = 1, count do
      parts[index] = atom()
      self.left = self.left - 1
      if self.left < 0 then
        error(UNKNOWN)
      end
    end
    return table.concat(parts)
  end
end


-- The first of alternatives.
function Reader:choice(depth)
  if depth > DEPTH_MAX then
    error(UNKNOWN)
  end
  local parts, first = {}, nil
  while self.at <= #self.pattern and self:peek() ~= ")" do
    if self:eat("|") then
      first, parts = first or parts, {}
    else
      parts[#parts + 1] = self:repeated(depth)
    end
  end
  first = first or parts
  return function()
    local texts = {}
    for index, part in ipairs(first) do
      texts[index] = part()
    end
    return table.concat(texts)
  end
end


--- A text that `pattern` may match; nil where its notation is not known here. Try it before use.
---@param pattern string
---@param extra? integer how often what may come more often does
---@return string|nil
function M.of(pattern, extra)
  if #pattern > PATTERN_BYTES_MAX then
    return nil
  end
  local reader = setmetatable({ pattern = pattern, at = 1, extra = extra or 0, digit = 0, left = SAMPLE_BYTES_MAX },
    Reader)
  local ok, text = pcall(function()
    local whole = reader:choice(1)
    if reader.at <= #pattern then
      error(UNKNOWN)
    end
    return whole()
  end)
  if not ok and text ~= UNKNOWN then
    error(text, 0)
  end
  return ok and text or nil
end


return M
