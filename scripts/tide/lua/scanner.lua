-- The tokens of a Lua 5.4 source, one after the other, each with its line; comments are kept aside.
--
-- A token is { kind, value, line }: kind "name", "string", "number" or "eof", else the keyword or operator itself.

local scanner_text = require "tide.lua.scanner_text"

local M = {}

M.KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do
  M.KEYWORDS[word] = true
end

-- Operators by length, the longest first.
local OPERATORS = { {}, {}, {} }
for operator in ("... .. == ~= <= >= << >> // :: + - * / % ^ # & ~ | < > = ( ) { } [ ] ; : , ."):gmatch("%S+") do
  OPERATORS[#operator][operator] = true
end

local Scanner = {}
Scanner.__index = Scanner


function Scanner:fault(words)
  error({ line = self.line, message = words }, 0)
end


-- Moves behind a line break: "\n", "\r", "\r\n" or "\n\r".
function Scanner:skip_break(position)
  self.line = self.line + 1
  local pair = self.text:sub(position, position + 1)
  return position + ((pair == "\r\n" or pair == "\n\r") and 2 or 1)
end


function Scanner:count_breaks(first, last)
  local at = self.text:find("[\r\n]", first)
  while at and at <= last do
    at = self.text:find("[\r\n]", self:skip_break(at))
  end
end


-- The content of a long bracket that begins at `position`, and what comes after it; nil when none begins there.
function Scanner:long_bracket(position)
  local _, opened, equals = self.text:find("^%[(=*)%[", position)
  if not opened then
    return nil
  end
  local close = "]" .. equals .. "]"
  local first, last = self.text:find(close, opened + 1, true)
  if not first then
    self:fault("a long bracket is not closed")
  end
  self:count_breaks(opened + 1, first - 1)
  local content = self.text:sub(opened + 1, first - 1)
  return content, last + 1
end


function Scanner:comment(position)
  local line = self.line
  local content, after = self:long_bracket(position + 2)
  if not content then
    after = self.text:find("[\r\n]", position) or #self.text + 1
    content = self.text:sub(position + 2, after - 1)
  end
  self.comments[#self.comments + 1] = { line = line, last_line = self.line, text = content }
  return after
end


-- The position of the next token.
function Scanner:skip()
  local position = self.position
  while true do
    position = self.text:find("[^ \t\v\f]", position) or #self.text + 1
    local byte = self.text:byte(position)
    if byte == 10 or byte == 13 then
      position = self:skip_break(position)
    elseif byte == 45 and self.text:byte(position + 1) == 45 then
      position = self:comment(position)
    else
      return position
    end
  end
end


function Scanner:number(position)
  local text = self.text
  local _, last = text:find("^0[xX][%x.]*", position)
  local sign
  if last then
    _, sign = text:find("^[pP][+-]?", last + 1)
  else
    _, last = text:find("^[%d.]*", position)
    _, sign = text:find("^[eE][+-]?", last + 1)
  end
  if sign then
    _, last = text:find("^[%x.]*", sign + 1)
  end
  local digits = text:sub(position, last)
  local value = tonumber(digits)
  if not value or text:find("^[%w_]", last + 1) then
    self:fault("malformed number near " .. digits)
  end
  return "number", value, last + 1
end


function Scanner:quoted(position)
  local decoded, after = scanner_text.read(self, position)
  return "string", decoded, after
end


function Scanner:long_string(position)
  local content, after = self:long_bracket(position)
  if not content then
    return nil
  end
  return "string", (content:gsub("^\r\n", "", 1):gsub("^[\r\n]", "", content:find("^\r\n") and 0 or 1)), after
end


function Scanner:operator(position)
  for length = 3, 1, -1 do
    local operator = self.text:sub(position, position + length - 1)
    if OPERATORS[length][operator] then
      return operator, nil, position + length
    end
  end
  self:fault("unexpected symbol")
end


-- Kind, value and the position after the token at `position`.
function Scanner:scan(position)
  local text = self.text
  if position > #text then
    return "eof", nil, position
  end
  local _, last = text:find("^[%a_][%w_]*", position)
  if last then
    local word = text:sub(position, last)
    return M.KEYWORDS[word] and word or "name", word, last + 1
  end
  if text:find("^%.?%d", position) then
    return self:number(position)
  end
  local byte = text:byte(position)
  if byte == 34 or byte == 39 then
    return self:quoted(position)
  end
  if byte == 91 then
    local kind, value, after = self:long_string(position)
    if kind then
      return kind, value, after
    end
  end
  return self:operator(position)
end


-- The token after the one before.
function Scanner:next()
  local position = self:skip()
  local line = self.line
  local kind, value, after = self:scan(position)
  self.position = after
  return { kind = kind, value = value, line = line }
end


--- A scanner of `text`, behind a mark of the byte order and a first line that begins with "#".
---@param text string
---@return table scanner with `next()` and `comments`, a list of { line, last_line, text }; a fault raises
---  { line, message }
function M.new(text)
  local position = text:sub(1, 3) == "\xEF\xBB\xBF" and 4 or 1
  if text:sub(position, position) == "#" then
    position = text:find("[\r\n]", position) or #text + 1
  end
  return setmetatable({ text = text, position = position, line = 1, comments = {} }, Scanner)
end


return M
