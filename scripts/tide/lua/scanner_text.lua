-- Texts in quotes, as a Lua source writes them: the bytes that they stand for.

local M = {}

local SIMPLE = {
  a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v", ["\\"] = "\\", ['"'] = '"', ["'"] = "'",
}


local function code_point(scanner, position)
  local _, last, digits = scanner.text:find("^{(%x+)}", position)
  local value = digits and #digits <= 16 and tonumber(digits, 16)
  if not value or value < 0 or value >= 0x80000000 then
    scanner:fault("\\u{…} wants a code point")
  end
  return utf8.char(value), last + 1
end


local function decimal(scanner, position)
  local digits = scanner.text:match("^%d%d?%d?", position)
  local value = tonumber(digits)
  if value > 255 then
    scanner:fault("\\" .. digits .. " is too large")
  end
  return string.char(value), position + #digits
end


-- `\z`: the white space after it, line breaks too.
local function skip_space(scanner, position)
  local after = scanner.text:find("[^ \t\v\f\r\n]", position) or #scanner.text + 1
  scanner:count_breaks(position, after - 1)
  return "", after
end


-- What stands after a backslash at `position`: its bytes, and what comes after.
local function escape(scanner, position)
  local char = scanner.text:sub(position, position)
  if SIMPLE[char] then
    return SIMPLE[char], position + 1
  elseif char == "\n" or char == "\r" then
    return "\n", scanner:skip_break(position)
  elseif char == "x" then
    local digits = scanner.text:match("^%x%x", position + 1) or scanner:fault("\\x wants two digits")
    return string.char(tonumber(digits, 16)), position + 3
  elseif char == "z" then
    return skip_space(scanner, position + 1)
  elseif char == "u" then
    return code_point(scanner, position + 1)
  elseif char:find("%d") then
    return decimal(scanner, position)
  end
  scanner:fault("invalid escape sequence")
end


--- The text whose opening quote is at `position`, and what comes after the closing one.
---@param scanner table
---@param position integer
---@return string bytes, integer after
function M.read(scanner, position)
  local text = scanner.text
  local quote = text:sub(position, position)
  local special = "[" .. quote .. "\\\r\n]"
  local parts, first = {}, position + 1
  while true do
    local at = text:find(special, first)
    local char = at and text:sub(at, at)
    if char ~= quote and char ~= "\\" then
      scanner:fault("a text is not closed")
    end
    parts[#parts + 1] = text:sub(first, at - 1)
    if char == quote then
      return table.concat(parts), at + 1
    end
    parts[#parts + 1], first = escape(scanner, at + 1)
  end
end


return M
