-- What a console has printed and nobody has read yet: bounded. Who prints more waits for the reader, for some
-- time; then what is printed is left out, and a note says so.

local time = require "tide.time"
local bell = require "tide.console.bell"

local M = {}

M.BYTES_MAX = 1024 * 1024
M.PATIENCE_SECONDS = 10

local NOTE = "\n… what was printed here was left out: nobody read it\n"

local Buffer = {}
Buffer.__index = Buffer


-- `options`: bytes_max and patience_seconds, for specs.
function M.new(options)
  options = options or {}
  return setmetatable({
    parts = {}, bytes = 0, bell = bell.new(), read_at = time.monotonic(),
    bytes_max = options.bytes_max or M.BYTES_MAX, patience_seconds = options.patience_seconds or M.PATIENCE_SECONDS,
    is_cut = false,
  }, Buffer)
end


function Buffer:has_room()
  return self.bytes < self.bytes_max
end


local function cut(text, bytes)
  while bytes > 0 and ((text:byte(bytes + 1) or 0) & 0xC0) == 0x80 do
    bytes = bytes - 1
  end
  return text:sub(1, bytes)
end


function Buffer:put(text)
  self.parts[#self.parts + 1] = text
  self.bytes = self.bytes + #text
  self.bell:ring()
end


-- Nothing more until somebody reads.
function Buffer:give_up()
  self.is_cut = true
  self:put(NOTE)
end


-- Room for something, waited for where the caller can wait; false when there is none.
function Buffer:make_room()
  if self:has_room() then
    return true
  end
  local waited = coroutine.isyieldable() and self.bell:wait(self.patience_seconds, function()
    return self:has_room() or self.is_cut
  end)
  if waited and not self.is_cut then
    return true
  end
  if not self.is_cut then
    self:give_up()
  end
  return false
end


--- Prints `text`, which is fit for a terminal.
function Buffer:write(text)
  while text ~= "" and not self.is_cut and self:make_room() do
    local part = cut(text, self.bytes_max - self.bytes)
    -- Less room than one character takes.
    part = part == "" and text:match("^" .. utf8.charpattern) or part
    self:put(part)
    text = text:sub(#part + 1)
  end
end


--- What is there, "" for nothing.
function Buffer:take()
  local text = table.concat(self.parts)
  self.parts, self.bytes, self.is_cut, self.read_at = {}, 0, false, time.monotonic()
  self.bell:ring()
  return text
end


return M
