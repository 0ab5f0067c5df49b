-- Values as people read them: tables sorted, on one line where there is room, else indented. Raw reads only: no
-- code of the value runs. What redaction takes out is taken out by name and by value.

local json = require "tide.json"
local redact = require "tide.redact"
local secrets = require "tide.state.secrets"
local view = require "tide.view"
local plain_text = require "tide.console.plain_text"

local M = {}

local MAX_ENTRIES = 100
local MAX_DEPTH = 8
-- Of one value as a whole.
local MAX_NODES = 2000
local MAX_BYTES = 200000
local MAX_STRING_BYTES = 2000
-- What a string is searched for secrets in: one that begins in what is shown ends here.
local SEARCHED_BYTES = 65536
-- Keys that are sorted, and keys that are counted.
local MAX_SORTED = 10000
local MAX_COUNTED = 100000

local INDENT = "  "
local RESET = "\27[0m"
local COLOURS = { string = "\27[32m", number = "\27[36m", word = "\27[33m", other = "\27[35m", note = "\27[2m" }

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do
  KEYWORDS[word] = true
end

local Printing = {}
Printing.__index = Printing


-- Leaves ------------------------------------------------------------------------------------------


function Printing:leaf(text, kind)
  self.bytes = self.bytes + #text
  return { text = text, width = plain_text.width(text), kind = kind }
end


-- "1234567" -> "1,234,567"
local function grouped(number)
  local text = tostring(number)
  local head = (#text - 1) % 3 + 1
  return text:sub(1, head) .. text:sub(head + 1):gsub("%d%d%d", ",%0")
end


local function redacted(text)
  return redact.text(#text > SEARCHED_BYTES and text:sub(1, SEARCHED_BYTES) or text)
end


-- Not inside a character.
local function cut(text, bytes)
  while bytes > 0 and ((text:byte(bytes + 1) or 0) & 0xC0) == 0x80 do
    bytes = bytes - 1
  end
  return text:sub(1, bytes)
end


local function string_text(text)
  local shown = redacted(text)
  if #text <= MAX_STRING_BYTES then
    return plain_text.quote(shown)
  end
  local kept = cut(shown, MAX_STRING_BYTES)
  return ("%s … %s more bytes"):format(plain_text.quote(kept), grouped(#text - #kept))
end


local function number_text(number)
  if math.type(number) == "integer" then
    return tostring(number)
  end
  if number ~= number then
    return "nan"
  end
  if number == math.huge or number == -math.huge then
    return number > 0 and "inf" or "-inf"
  end
  local text = tostring(number)
  return tonumber(text) == number and text or ("%.17g"):format(number)
end


local function function_text(fn)
  local info = debug.getinfo(fn, "S")
  local source = info.source:match("^=(input%d+)$")
  return source and ("<function %s:%d>"):format(source, info.linedefined) or "<function>"
end


local function userdata_text(value)
  if value == json.null then
    return "null"
  end
  local metatable = debug.getmetatable(value)
  local name = type(metatable) == "table" and rawget(metatable, "__name")
  return type(name) == "string" and "<" .. plain_text.safe(name:sub(1, 100)) .. ">" or "<userdata>"
end


local LEAVES = {
  ["nil"] = function() return "nil", "word" end,
  boolean = function(value) return value and "true" or "false", "word" end,
  number = function(value) return number_text(value), "number" end,
  string = function(value) return string_text(value), "string" end,
  ["function"] = function(value) return function_text(value), "other" end,
  thread = function() return "<coroutine>", "other" end,
  userdata = function(value) return userdata_text(value), value == json.null and "word" or "other" end,
}


-- Keys --------------------------------------------------------------------------------------------


local function is_name(key)
  return #key <= 200 and key:find("^[%a_][%w_]*$") ~= nil and not KEYWORDS[key]
end


local function key_text(key)
  if type(key) == "string" then
    if is_name(key) then
      return secrets.redact(key)
    end
    return "[" .. string_text(key) .. "]"
  end
  local make = LEAVES[type(key)]
  return "[" .. (make and make(key) or "<table>") .. "]"
end


local RANKS = { number = 1, string = 2, boolean = 3 }


local function is_before(left, right)
  local left_type, right_type = type(left), type(right)
  local left_rank, right_rank = RANKS[left_type] or 4, RANKS[right_type] or 4
  if left_rank ~= right_rank then
    return left_rank < right_rank
  end
  if left_rank <= 2 then
    return left < right
  end
  return left_rank == 3 and left == false and right == true
end


-- The keys of `real` besides 1 to `length`, sorted, and how many more there are; a second true: at least.
local function keys_of(real, length)
  local keys, more, looked = {}, 0, 0
  for key in next, real do
    looked = looked + 1
    if looked > MAX_COUNTED + length then
      return keys, more, true
    end
    local is_listed = math.type(key) == "integer" and key >= 1 and key <= length
    if not is_listed then
      if #keys < MAX_SORTED then
        keys[#keys + 1] = key
      else
        more = more + 1
      end
    end
  end
  table.sort(keys, is_before)
  return keys, more
end


-- Tables ------------------------------------------------------------------------------------------


-- Says only whether there is something.
local function is_masked(key, value)
  return type(key) == "string" and redact.is_sensitive(key)
    and type(value) ~= "boolean" and value ~= json.null and value ~= "" and type(value) ~= "function"
end


function Printing:is_full()
  return self.nodes > MAX_NODES or self.bytes > MAX_BYTES
end


function Printing:add(node, key, value)
  local entry
  if is_masked(key, value) then
    entry = self:leaf(redact.MARK, "note")
  else
    entry = self:node(value)
  end
  local text
  if key ~= nil then
    text = key_text(key) .. " = "
    self.bytes = self.bytes + #text
  end
  node[#node + 1] = { key = text, node = entry }
  node.width = node.width + entry.width + (text and plain_text.width(text) or 0) + 2
  node.is_long = node.is_long or entry.is_long
end


function Printing:note_more(node, more, is_least)
  if more > 0 or is_least then
    local words = is_least and "… and more" or ("… %s more"):format(grouped(more))
    local entry = self:leaf(words, "note")
    node[#node + 1] = { node = entry }
    node.width = node.width + entry.width + 2
  end
end


function Printing:add_list(node, real, length)
  for index = 1, length do
    if #node >= MAX_ENTRIES or self:is_full() then
      return self:note_more(node, length - index + 1)
    end
    self:add(node, nil, rawget(real, index))
  end
end


function Printing:add_fields(node, real, length)
  local keys, more, is_least = keys_of(real, length)
  local shown = 0
  for _, key in ipairs(keys) do
    if shown >= MAX_ENTRIES or self:is_full() then
      break
    end
    shown = shown + 1
    self:add(node, key, rawget(real, key))
  end
  self:note_more(node, #keys - shown + more, is_least)
end


-- The real table behind a view, where it is one.
local function real_of(value)
  if not view.is(value) then
    return value
  end
  return debug.getmetatable(value).view_of
end


function Printing:table_node(value)
  local described = self.describe and self.describe(value)
  if described then
    return self:leaf(described, "other")
  end
  local real = real_of(value)
  if self.above[real] then
    return self:leaf("<cycle>", "note")
  end
  if next(real) == nil then
    return self:leaf("{}")
  end
  if self.depth >= MAX_DEPTH then
    return self:leaf("{ … }", "note")
  end
  local node = { width = 2 }
  self.above[real], self.depth = true, self.depth + 1
  local length = rawlen(real)
  self:add_list(node, real, length)
  if not json.is_array(real) then
    self:add_fields(node, real, length)
  end
  self.above[real], self.depth = nil, self.depth - 1
  return node
end


function Printing:node(value)
  self.nodes = self.nodes + 1
  if type(value) == "table" then
    return self:table_node(value)
  end
  local text, kind = LEAVES[type(value)](value)
  return self:leaf(text, kind)
end


-- Layout ------------------------------------------------------------------------------------------


function Printing:put(text, kind)
  local colour = self.is_color and COLOURS[kind]
  self.parts[#self.parts + 1] = colour and colour .. text .. RESET or text
end


function Printing:put_flat(node)
  if node.text then
    return self:put(node.text, node.kind)
  end
  self:put("{ ")
  for index, entry in ipairs(node) do
    if entry.key then
      self:put(entry.key)
    end
    self:put_flat(entry.node)
    self:put(index < #node and ", " or " ")
  end
  self:put("}")
end


-- `column`: where the node begins; `margin`: where its lines do.
function Printing:lay(node, column, margin)
  if node.text or column + node.width <= self.width then
    return self:put_flat(node)
  end
  local inner = margin .. INDENT
  self:put("{\n")
  for _, entry in ipairs(node) do
    self:put(inner)
    if entry.key then
      self:put(entry.key)
    end
    self:lay(entry.node, #inner + plain_text.width(entry.key or "") + 1, inner)
    self:put(entry.node.kind == "note" and not entry.key and "\n" or ",\n")
  end
  self:put(margin .. "}")
end


--- `value` as text without a line break at its end. `options`: `width` (80), `is_color`, and
--- `describe(table)`, which gives a text for tables that are shown otherwise.
---@param value any
---@param options? { width?: integer, is_color?: boolean, describe?: fun(value: table): string|nil }
---@return string
function M.text(value, options)
  options = options or {}
  local printing = setmetatable({
    width = options.width or 80, is_color = options.is_color, describe = options.describe,
    parts = {}, above = {}, depth = 0, nodes = 0, bytes = 0,
  }, Printing)
  printing:lay(printing:node(value), 0, "")
  -- Numbers too can be secrets.
  return secrets.redact(table.concat(printing.parts))
end


return M
