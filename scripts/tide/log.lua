--- One JSON line per event: time, level, message, then the fields. See docs/api/log.lua.

local engine = require "tide.engine.log"
local json = require "tide.json"
local redact = require "tide.redact"
local text = require "tide.message"
local time = require "tide.time"

local MESSAGE_BYTES_MAX <const> = 16384
-- Below the longest line that the writer takes, which drops what is longer.
local LINE_BYTES_MAX <const> = 256 * 1024

local RESERVED <const> = { time = true, level = true, message = true }

local M = {
  set_level = engine.set_level,
  write_to = engine.write_to,
  enabled = engine.enabled,
  stats = engine.stats,
}


-- What cannot be encoded (NaN, text that is not UTF-8) is shown as well as it can be: a line
-- that is lost helps nobody.
local function encode(value)
  return json.encode(value) or json.encode(text.clean(tostring(value), MESSAGE_BYTES_MAX))
end


local function member(name, value)
  return encode(name) .. ":" .. encode(value)
end


-- Redacted before it is cut: half a secret would not be recognised.
local function shown(message)
  if type(message) ~= "string" then
    local ok, described = pcall(tostring, message)
    message = ok and described or "(" .. type(message) .. ")"
  end
  message = redact.text(message)
  if #message <= MESSAGE_BYTES_MAX and utf8.len(message) then return message end
  return text.clean(message, MESSAGE_BYTES_MAX)
end


-- Sorted, so that lines of one kind look alike; what people look for first stands first.
local function members(fields)
  local list = {}
  for name, value in pairs(redact.value(fields)) do
    if not RESERVED[name] then list[#list + 1] = member(tostring(name), value) end
  end
  table.sort(list)
  return list
end


local function write(level, message, fields)
  if not engine.enabled(level) then return end
  local head = table.concat({
    member("time", time.format()),
    member("level", level),
    member("message", shown(message)),
  }, ",")
  local list = fields and members(fields) or {}
  table.insert(list, 1, head)
  local line = "{" .. table.concat(list, ",") .. "}"
  if #line > LINE_BYTES_MAX then line = "{" .. head .. ',"fields":"(too long)"}' end
  engine.write(line)
end


for _, level in ipairs { "debug", "info", "warn", "error" } do
  M[level] = function(message, fields)
    if fields ~= nil and type(fields) ~= "table" then error("fields must be a table", 2) end
    write(level, message, fields)
  end
end


return M
