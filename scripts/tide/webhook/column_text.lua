-- Text of a sender as a column of webhook_events takes it: valid UTF-8 without NUL, no longer than the
-- column is. No byte of a rightly signed event can make storing it fail.

local M = {}

-- Bytes of the columns.
M.TYPE_MAX, M.TEXT_MAX = 100, 255


local function cut(text, length)
  if #text <= length then
    return text
  end
  -- Not in the middle of a character.
  local at = utf8.offset(text, 0, length + 1)
  return text:sub(1, (at or length + 1) - 1)
end


local function clean(text, length)
  if text == nil then
    return nil
  end
  if not utf8.len(text) or text:find("\0", 1, true) then
    text = text:gsub("[\0\128-\255]", "?")
  end
  return cut(text, length)
end


-- nil stays nil.
function M.of(text)
  return clean(text, M.TEXT_MAX)
end


-- The type of an event.
function M.type(text)
  return clean(text, M.TYPE_MAX)
end


return M
