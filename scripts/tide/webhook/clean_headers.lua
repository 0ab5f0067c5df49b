-- The headers of a webhook as they are stored, and as its handlers see them: without credentials.
--
-- Most headers of most requests are those of the request before. What was found to hold nothing is
-- remembered, until a secret changes: then anything might hold it.

local redact = require "tide.redact"
local state = require "tide.state.secrets"

local M = {}

local KNOWN_MAX = 1000
local KNOWN_BYTES_MAX = 256

local METATABLE = { __index = function(headers, name)
  return type(name) == "string" and rawget(headers, name:lower()) or nil
end }

local known = { changes = nil, count = 0, values = {} }


local function forget(changes)
  known.changes, known.count, known.values = changes, 0, {}
end


local function remember(name, value, shown)
  if #value > KNOWN_BYTES_MAX then
    return
  end
  if known.count >= KNOWN_MAX then
    forget(known.changes)
  end
  local values = known.values[name] or {}
  known.values[name] = values
  values[value] = shown
  known.count = known.count + 1
end


-- Bytes that are no text are not stored as such.
local function as_text(value)
  if utf8.len(value) then
    return value
  end
  return (value:gsub("[\128-\255]", "?"))
end


local function clean(name, value)
  local values = known.values[name]
  local shown = values and values[value]
  if shown == nil then
    local text = as_text(value)
    shown = redact.is_sensitive(name) and redact.MARK or redact.text(text)
    remember(name, value, shown)
  end
  return shown
end


-- How one header is shown. That which the scheme signs with stays as it is: it is no secret, and another
-- each time. One that holds the secret itself goes.
local function shown(definition, name, value)
  local extra = definition.integration.values.redact_fields
  if name == definition.hidden_header or (#extra > 0 and redact.is_sensitive(name, extra)) then
    return redact.MARK
  end
  local scheme = definition.scheme
  if name == scheme.signature_header and not scheme.is_script then
    return as_text(value)
  end
  return clean(name, value)
end


-- Looked up without regard to case from now on.
function M.open(headers)
  return setmetatable(headers, METATABLE)
end


-- The headers as they may be shown: the same table when there is nothing to hide.
function M.of(headers, definition)
  local changes = state.changes()
  if known.changes ~= changes then
    forget(changes)
  end
  local result = headers
  for name, value in next, headers do
    local text = shown(definition, name, value)
    if text ~= value then
      if result == headers then
        result = M.open({})
        for other, plain in next, headers do
          result[other] = plain
        end
      end
      result[name] = text
    end
  end
  return result
end


return M
