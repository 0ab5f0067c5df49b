-- An example of a call as a person types it: with curl, and with `tidegate call`.

local json = require "tide.json"
local sorted = require "tide.sorted"

local M = {}


--- A word as a shell takes it.
---@param text string
---@return string
function M.quoted(text)
  if text:find("^[%w_@%%+=:,./-]+$") then
    return text
  end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end


-- Where the API of a project is found by those beside it.
local function first_address(listen)
  for _, address in ipairs(type(listen) == "table" and listen or { listen }) do
    if not address:find("^unix:") then
      return address
    end
  end
end


--- The origin of a project's API: as others reach it, else where it listens.
---@param config table
---@return string
function M.origin(config)
  if config.public_url then
    return (config.public_url:gsub("/+$", ""))
  end
  return (config.tls and "https://" or "http://") .. (first_address(config.listen) or "127.0.0.1:8080")
end


--- The commands of curl for a call.
---@param origin string
---@param path string
---@param input any|nil nil: it is in a file
---@return string
function M.curl(origin, path, input)
  local body = input ~= nil and assert(json.encode(input, { canonical = true })) or "@input.json"
  return table.concat({
    "curl -sS -X POST " .. M.quoted(origin .. path),
    '-H "Authorization: Bearer $TIDEGATE_TOKEN"',
    "-H 'Content-Type: application/json'",
    "-d " .. M.quoted(body),
  }, " \\\n  ")
end


-- key=value where `tidegate call` makes of it what is meant, key:=JSON elsewhere; nil where neither can say it.
local function word_of(name, value, schema)
  if not name:find("^[%w_]+$") then
    return nil
  end
  if type(value) == "string" and not value:find("^@") and schema:coerce(name, value) == value then
    return M.quoted(name .. "=" .. value)
  end
  return M.quoted(name .. ":=" .. assert(json.encode(value, { canonical = true })))
end


-- The members of an input as words; nil where they cannot be.
local function words_of(input, schema)
  if type(input) ~= "table" or json.is_array(input) then
    return nil
  end
  local words = {}
  for _, name in ipairs(sorted.names(input)) do
    words[#words + 1] = word_of(name, input[name], schema)
    if words[#words] == nil or #words > 8 then
      return nil
    end
  end
  return words
end


--- The command of this program for a call.
---@param integration string
---@param operation table
---@param input any|nil nil: it is in a file
---@return string
function M.command(integration, operation, input)
  local words = input ~= nil and operation.input and words_of(input, operation.input)
  local shown
  if words or type(input) == "table" and next(input) == nil then
    words = words or {}
    shown = table.concat(words, " ")
  elseif input == nil then
    shown = "--input @input.json"
  else
    shown = "--input " .. M.quoted(assert(json.encode(input, { canonical = true })))
  end
  local command = ("tidegate call %s %s %s"):format(integration, operation.name, shown)
  return (command:gsub("%s+$", ""))
end


return M
