-- The input of a call as it is written on a command line.

local host = require "tide.host"
local json = require "tide.json"

local M = {}

local BYTES_MAX = 16 * 1024 * 1024


local function read_file(path)
  local text, message = host.read_file(path, BYTES_MAX)
  if not text then
    return nil, message
  end
  return text
end


-- What --input gives: JSON, @FILE or - for standard input.
local function read_whole(text)
  local message
  if text == "-" then
    text, message = host.read_input(BYTES_MAX)
  elseif text:sub(1, 1) == "@" then
    text, message = read_file(text:sub(2))
  end
  if not text then
    return nil, message
  end
  local value
  value, message = json.decode(text)
  if value == nil then
    return nil, "--input: " .. message
  end
  if type(value) ~= "table" or json.is_array(value) then
    return nil, "--input must be a JSON object"
  end
  return value
end


-- The value of key=@FILE: text by the schema, bytes where the schema asks for base64.
local function read_attached(name, path, coerce)
  local content, message = read_file(path)
  if not content then
    return nil, message
  end
  local value = coerce and coerce(name, content, true)
  if value == nil then
    value = content
  end
  if type(value) == "string" and not utf8.len(value) then
    return nil, ("%s: %s is not UTF-8 text"):format(name, path)
  end
  return name, value
end


-- One argument: its name and its value.
local function read_member(argument, coerce)
  local name, text = argument:match("^([%w_.-]+):=(.*)$")
  if name then
    local value, message = json.decode(text)
    if value == nil then
      return nil, ("%s: %s"):format(name, message)
    end
    return name, value
  end
  name, text = argument:match("^([%w_.-]+)=(.*)$")
  if not name then
    return nil, argument .. " is neither key=value, key:=JSON nor key=@FILE"
  end
  if text:sub(1, 1) == "@" then
    return read_attached(name, text:sub(2), coerce)
  end
  local value = coerce and coerce(name, text)
  if value == nil then
    -- What has the wrong form is for the call to refuse, which names the pointer and the rule.
    value = text
  end
  return name, value
end


-- The input that arguments (key=value, key:=JSON, key=@FILE) and `whole` (of --input) make;
-- nil and what is wrong. `coerce(name, text, is_file)` gives key=value and key=@FILE their type;
-- text stays text without it.
function M.read(arguments, whole, coerce)
  local values = {}
  if whole then
    local read, message = read_whole(whole)
    if not read then
      return nil, message
    end
    values = read
  end
  for _, argument in ipairs(arguments) do
    local name, value = read_member(argument, coerce)
    if not name then
      return nil, value
    end
    values[name] = value
  end
  return values
end


return M
