-- Text that others wrote (scripts, upstreams, files), made fit for a message: bounded,
-- valid UTF-8, without control characters that a terminal or a log would act on.

local json = require "tide.json"

local M = {}

M.MAX_BYTES = 4096

local REPLACEMENT = "\u{FFFD}"
local ELLIPSIS = "…"


-- Replaces each byte that is not part of valid UTF-8.
local function repair(text)
  local parts, start = {}, 1
  while start <= #text do
    local length, bad = utf8.len(text, start)
    if length then
      parts[#parts + 1] = text:sub(start)
      break
    end
    parts[#parts + 1] = text:sub(start, bad - 1)
    parts[#parts + 1] = REPLACEMENT
    start = bad + 1
  end
  return table.concat(parts)
end


-- At most `limit` bytes, not cut inside a character.
local function shorten(text, limit)
  if #text <= limit then
    return text
  end
  local stop = math.max(limit - #ELLIPSIS, 0)
  while stop > 0 and (text:byte(stop + 1) & 0xC0) == 0x80 do
    stop = stop - 1
  end
  return text:sub(1, stop) .. ELLIPSIS
end


--- `text` as one bounded piece of printable text; line breaks and tabs stay.
---@param text any other than a string or number: its type's name
---@param max_bytes? integer 4096
---@return string
function M.clean(text, max_bytes)
  if type(text) == "number" then
    text = tostring(text)
  elseif type(text) ~= "string" then
    return "(" .. type(text) .. ")"
  end
  local limit = max_bytes or M.MAX_BYTES
  text = shorten(text, limit)
  if not utf8.len(text) then
    text = shorten(repair(text), limit)
  end
  return (text:gsub("[%z\1-\8\11-\31\127]", "?"):gsub("\xC2[\x80-\x9F]", "?"))
end


--- A list of texts, each of them clean.
---@param texts any[]
---@return string[]
function M.clean_all(texts)
  local list = json.array()
  for index, text in ipairs(texts) do
    list[index] = M.clean(text)
  end
  return list
end


--- A word with its article: "an integer", "a string"; "nothing" for "nil".
---@return string
function M.article(word)
  if word == "nil" then
    return "nothing"
  end
  return (word:match("^[aeiouAEIOU]") and "an " or "a ") .. word
end


--- "a", "a or b", "a, b or c".
---@param words string[]
---@return string
function M.choice(words)
  if #words < 2 then
    return words[1] or ""
  end
  return table.concat(words, ", ", 1, #words - 1) .. " or " .. words[#words]
end


return M
