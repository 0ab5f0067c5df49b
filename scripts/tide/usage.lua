-- What the usage line of a command says: which words may stand at which place.
--
--     token create --name NAME | list | revoke ID
--     docs [configuration | INTEGRATION]
--     run FILE [ARGUMENT ...]
--
-- Small letters are words as they are, capitals say what kind of thing stands there, `key=value` is a member
-- of an input or a query, "..." lets the last come again. Options are not looked at: they have a table.

local M = {}

local Reader = {}
Reader.__index = Reader


local function option_of(command, text)
  for _, option in ipairs(command.options or {}) do
    if text == "--" .. option.name or text == "-" .. (option.short or "") then
      return option
    end
  end
end


-- Adds what a token allows to a slot: nothing where it is prose.
local function add(slot, token)
  for part in token:gmatch("[^|]+") do
    if part:find("^key") then
      slot.kinds[#slot.kinds + 1] = "KEY=VALUE"
    elseif part:find("^%l[%l-]+$") then
      slot.words[#slot.words + 1] = part
    elseif part:find("^%u[%u-]*") then
      slot.kinds[#slot.kinds + 1] = part:match("^%u[%u-]*")
    end
  end
end


local function new_slot()
  return { words = {}, kinds = {}, repeats = false }
end


local function is_empty(slot)
  return #slot.words == 0 and #slot.kinds == 0
end


function Reader:last_slot()
  local slots = self.alternatives[#self.alternatives]
  return slots[#slots]
end


function Reader:put(slot)
  if not is_empty(slot) then
    local slots = self.alternatives[#self.alternatives]
    slots[#slots + 1] = slot
  end
end


-- "[…]": options, or what may stand at one place.
function Reader:group(inside)
  if inside:find("^%-") or inside:find("'", 1, true) then
    return
  end
  local slot = new_slot()
  for token in inside:gmatch("%S+") do
    if token == "..." or token == "…" then
      slot.repeats = true
    elseif token ~= "|" then
      add(slot, token)
    end
  end
  self:put(slot)
end


function Reader:token(token)
  local base = token:gsub("…$", ""):gsub("%.%.%.$", "")
  if base ~= "" then
    local slot = new_slot()
    add(slot, base)
    self:put(slot)
  end
  if base ~= token and self:last_slot() then
    self:last_slot().repeats = true
  end
end


-- The rest of the line after the next piece of it.
function Reader:step(text)
  local inside, rest = text:match("^%[([^%]]*)%]%s*(.*)$")
  if inside then
    self:group(inside)
    return rest
  end
  local token
  token, rest = text:match("^(%S+)%s*(.*)$")
  if token == "|" then
    self.alternatives[#self.alternatives + 1] = {}
  elseif token:find("^%-") then
    local option = option_of(self.command, token)
    return option and option.value and rest:match("^%S+%s*(.*)$") or rest
  else
    self:token(token)
  end
  return rest
end


-- What stands between bars outside of brackets.
local function alternatives_of(line)
  local parts, depth = { {} }, 0
  for word in line:gmatch("%S+") do
    if word == "|" and depth == 0 then
      parts[#parts + 1] = {}
    else
      table.insert(parts[#parts], word)
      depth = depth + select(2, word:gsub("%[", "")) - select(2, word:gsub("%]", ""))
    end
  end
  return parts
end


local function on_one_line(name, command)
  local line = command.usage:gsub("\n%s+tidegate " .. name .. " ", " | "):gsub("^" .. name .. "%s*", "")
  return (line:gsub("%s+", " "))
end


--- The usage of a command, one line for each of its alternatives: "token list".
---@param command table
---@return string[]
function M.lines(command)
  local name = command.usage:match("^%S+")
  local lines = {}
  for index, words in ipairs(alternatives_of(on_one_line(name, command))) do
    lines[index] = (name .. " " .. table.concat(words, " ")):gsub(" $", "")
  end
  return lines
end


--- The alternatives of a command's usage, each a list of slots { words, kinds, repeats }.
---@param name string
---@param command table
---@return table[]
function M.parse(name, command)
  local reader = setmetatable({ command = command, alternatives = { {} } }, Reader)
  local rest = on_one_line(name, command)
  while rest ~= "" do
    rest = reader:step(rest)
  end
  return reader.alternatives
end


return M
