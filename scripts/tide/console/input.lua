-- What was typed, compiled: an expression first, so that its values can be shown, else statements.

local M = {}

M.BYTES_MAX = 256 * 1024
-- Sources that are kept for the lines of errors, and the longest of them.
local KEPT = 100
local KEPT_BYTES_MAX = 16 * 1024

local Inputs = {}
Inputs.__index = Inputs


function M.new()
  return setmetatable({ number = 0, sources = {} }, Inputs)
end


local function compile(text, name, env)
  local chunk, message = load(text, "=" .. name, "t", env)
  if chunk then
    return chunk
  end
  -- The compiler's own stack ran out.
  return nil, type(message) == "string" and message or name .. ":1: it is nested too deeply"
end


local function is_unfinished(message)
  return message:find("near <eof>$") ~= nil
end


function Inputs:keep(text)
  self.number = self.number + 1
  self.sources[self.number - KEPT] = nil
  self.sources[self.number] = #text <= KEPT_BYTES_MAX and text or nil
end


--- The function that `text` is; "incomplete" when more lines have to follow; nil and a message.
---@param text string
---@param env table
---@return function|"incomplete"|nil, string? message
function Inputs:compile(text, env)
  local name = "input" .. self.number + 1
  local chunk, of_expression = compile("return " .. text, name, env)
  local message
  if not chunk then
    chunk, message = compile(text, name, env)
  end
  if not chunk and (is_unfinished(message) or is_unfinished(of_expression)) then
    return "incomplete"
  end
  self:keep(text)
  return chunk or nil, message
end


--- The line of an input, if it is still known: "input3", 1.
---@return string|nil
function Inputs:line(name, line)
  local source = self.sources[math.tointeger(tonumber(name:match("^input(%d+)$")))]
  local number = 0
  for text in ((source or "") .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    if source and number == line then
      return text
    end
  end
end


return M
