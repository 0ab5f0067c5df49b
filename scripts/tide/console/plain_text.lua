-- Text that others wrote, fit for a terminal: what a terminal would act on, and bytes that are no UTF-8, are
-- shown as escapes. And how many columns a text takes there.

local M = {}

local WIDE = {
  { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xA960, 0xA97C }, { 0xAC00, 0xD7A3 },
  { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F },
  { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1FAFF }, { 0x20000, 0x3FFFD },
}
-- Marks that are drawn over the character before them, or not at all.
local NARROW = { { 0x300, 0x36F }, { 0x1160, 0x11FF }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F } }

-- Characters that nobody sees and that change how others are read: byte order, direction, joiners; and the
-- second set of control characters.
local HIDDEN = {
  { 0x80, 0x9F }, { 0x61C, 0x61C }, { 0x180E, 0x180E }, { 0x200B, 0x200F }, { 0x2028, 0x202E }, { 0x2060, 0x2069 },
  { 0xFEFF, 0xFEFF }, { 0xE0000, 0xE007F },
}


local function is_in(ranges, code)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then
      return true
    end
  end
  return false
end


local function escape_byte(byte)
  return ("\\x%02X"):format(byte:byte())
end


local function escape_hidden(character)
  local code = utf8.codepoint(character)
  return is_in(HIDDEN, code) and ("\\u{%X}"):format(code) or nil
end


-- `text` with each byte that is not part of valid UTF-8 as \xHH.
local function repair(text)
  local parts, start = {}, 1
  while start <= #text do
    local length, bad = utf8.len(text, start)
    if length then
      parts[#parts + 1] = text:sub(start)
      break
    end
    parts[#parts + 1] = text:sub(start, bad - 1)
    parts[#parts + 1] = escape_byte(text:sub(bad, bad))
    start = bad + 1
  end
  return table.concat(parts)
end


--- `text` as it may be written to a terminal; line breaks and tabs stay.
---@param text string
---@return string
function M.safe(text)
  if not utf8.len(text) then
    text = repair(text)
  end
  text = text:gsub("\r\n", "\n"):gsub("[%z\1-\8\11-\31\127]", escape_byte)
  -- The first bytes of hidden characters.
  if text:find("[\xC2\xD8\xE1\xE2\xEF\xF3]") then
    text = text:gsub("[\xC2\xD8\xE1\xE2\xEF\xF3][\x80-\xBF]+", escape_hidden)
  end
  return text
end


local NAMED = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

--- `text` as a string of Lua on one line.
---@param text string
---@return string
function M.quote(text)
  local quoted = text:gsub('[\n\r\t"\\]', NAMED)
  return '"' .. M.safe(quoted) .. '"'
end


-- Nothing but printable ASCII and no tabs: a column each.
local function is_simple(text)
  return not text:find("[^ -~]")
end


--- The columns that `text` (valid UTF-8, one line) takes.
---@param text string
---@return integer
function M.width(text)
  if is_simple(text) then
    return #text
  end
  local width = 0
  for _, code in utf8.codes(text, true) do
    if is_in(WIDE, code) then
      width = width + 2
    elseif not is_in(NARROW, code) then
      width = width + 1
    end
  end
  return width
end


--- `text` cut to `columns`, "…" at its end when something is missing, and padded to `columns` when `pad`.
---@param text string
---@param columns integer
---@param pad? boolean
---@return string
function M.fit(text, columns, pad)
  local width = M.width(text)
  if width > columns then
    local kept, used = {}, 0
    for _, code in utf8.codes(text, true) do
      local character = utf8.char(code)
      used = used + M.width(character)
      if used > columns - 1 then
        break
      end
      kept[#kept + 1] = character
    end
    text = table.concat(kept) .. "…"
    width = M.width(text)
  end
  return pad and text .. (" "):rep(columns - width) or text
end


return M
