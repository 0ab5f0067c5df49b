--- One JSON line per event: time, level, message, then the fields. See docs/api/log.lua.

local engine = require "tide.engine.log"
local json = require "tide.json"
local redact = require "tide.redact"
local time = require "tide.time"

local MESSAGE_BYTES_MAX <const> = 16384

local M = {
  set_level = engine.set_level,
  enabled = engine.enabled,
  stats = engine.stats,
}


-- json.encode sorts nothing; what people look for first stands first.
local function member(name, value)
  local encoded = json.encode(value)
  if not encoded then encoded = json.encode(tostring(value)) or '"(not UTF-8)"' end
  return json.encode(name) .. ":" .. encoded
end


local function write(level, message, fields)
  if not engine.enabled(level) then return end
  message = tostring(message)
  if #message > MESSAGE_BYTES_MAX then message = message:sub(1, MESSAGE_BYTES_MAX) .. "…" end
  local parts = {
    member("time", time.format()),
    member("level", level),
    member("message", redact.text(message)),
  }
  local rest = {}
  for name, value in pairs(redact.value(fields or {})) do
    if name ~= "time" and name ~= "level" and name ~= "message" then
      rest[#rest + 1] = member(tostring(name), value)
    end
  end
  table.sort(rest)
  table.move(rest, 1, #rest, #parts + 1, parts)
  engine.write("{" .. table.concat(parts, ",") .. "}")
end


for _, level in ipairs { "debug", "info", "warn", "error" } do
  M[level] = function(message, fields)
    if fields ~= nil and type(fields) ~= "table" then error("fields must be a table", 2) end
    write(level, message, fields)
  end
end


return M
