-- Where in a Lua source a key stands, for "FILE:LINE: message". Best effort: the text is
-- searched for the keys of the path in turn, each after the one that holds it.

local M = {}


-- Whole-line comments become spaces, so that an example in one is not taken for the key.
local function without_comments(text)
  return (("\n" .. text):gsub("\n([ \t]*)(%-%-[^\n]*)", function(indent, comment)
    return "\n" .. indent .. (" "):rep(#comment)
  end):sub(2))
end


local function escape(text)
  return (text:gsub("%W", "%%%0"))
end


-- The position of `key = ` or `["key"] = ` after `start`.
local function find_key(text, key, start)
  local name = escape(key)
  local best
  for _, pattern in ipairs({
    "%f[%w_]()" .. name .. "%f[^%w_]%s*=[^=]",
    "%[%s*[\"']()" .. name .. "[\"']%s*%]%s*=",
    "[\"']()" .. name .. "[\"']",
  }) do
    local position = text:match(pattern, start)
    if position and (not best or position < best) then
      best = position
    end
    if best and pattern:sub(1, 2) ~= "%f" then
      break
    end
  end
  return best
end


local function line_of(text, position)
  local _, breaks = text:sub(1, position - 1):gsub("\n", "")
  return breaks + 1
end


--- Makes `locate(path_of_keys) -> "FILE:LINE"`; without a key or a text, "FILE".
---@param path string shown as it is
---@param text string|nil
---@return fun(keys: (string|integer)[]|string|nil): string
function M.new(path, text)
  local searched = text and #text <= 1024 * 1024 and without_comments(text) or nil
  return function(keys)
    if not searched or keys == nil then
      return path
    end
    if type(keys) == "string" then
      keys = { keys }
    end
    local position, found = 1, nil
    for _, key in ipairs(keys) do
      local at = type(key) == "string" and find_key(searched, key, position)
      if at then
        position, found = at, at
      end
    end
    if not found then
      return path
    end
    return path .. ":" .. line_of(searched, found)
  end
end


--- Lua shortens a long path in its messages to "...end of the path"; this writes it out again.
---@return string
function M.restore(text, path)
  local tail, rest = text:match("^%.%.%.(.-)(:%d+: .*)$")
  if tail and #tail > 0 and path:sub(-#tail) == tail then
    return path .. rest
  end
  return text
end


--- Splits "FILE:LINE: message" as Lua writes it.
---@param text string
---@return string message, string|nil file, integer|nil line
function M.split(text)
  local file, line, message = text:match("^(.-):(%d+): (.*)$")
  if not file or file:find("\n", 1, true) then
    return text, nil, nil
  end
  return message, file, math.tointeger(tonumber(line))
end


return M
