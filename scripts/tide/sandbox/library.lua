-- What a provider's `_ENV` holds, as data: the allow list of the standard library, copied
-- so that no script changes another's.

local engine = require "tide.engine.sandbox"
local json = require "tide.json"
local log = require "tide.log"
local message = require "tide.message"
local time = require "tide.time"

local M = {}

-- The longest string that `string.rep` makes.
local MAX_REPEAT_BYTES = 64 * 1024 * 1024
local MAX_PRINT_BYTES = 8192

local PLAIN = {
  "select", "pairs", "ipairs", "next", "type", "tostring", "tonumber", "error", "assert", "rawget",
  "rawequal",
  "rawlen",
}

-- Left out of the libraries below: what makes bytecode, and what would change every script's
-- numbers.
local LEFT_OUT = { dump = true, randomseed = true }

-- Said when a script asks for something that others would expect.
M.MISSING = {
  io = "use tide.host in specs; a provider has no files",
  debug = "the debug library is not available to a provider",
  load = "code is loaded with `require`",
  loadstring = "code is loaded with `require`",
  loadfile = "code is loaded with `require`",
  dofile = "code is loaded with `require`",
  coroutine = "use ctx.all for several things at a time; whatever waits suspends by itself",
  package = "code is loaded with `require`",
  collectgarbage = "memory is managed by the host",
  rawset = "views are read-only",
  _G = "a provider has no table of globals",
}

local raw_rep = string.rep
local raw_getmetatable = getmetatable


-- C code that the budget cannot interrupt: bounded, and an empty result costs nothing.
local function bounded_rep(text, count, separator)
  if type(text) == "string" and math.type(count) == "integer" and count > 0 then
    local each = #text + (type(separator) == "string" and #separator or 0)
    if each == 0 then
      return ""
    end
    if count > MAX_REPEAT_BYTES // each then
      error("string.rep: the result would be longer than " .. MAX_REPEAT_BYTES .. " bytes", 2)
    end
  end
  return raw_rep(text, count, separator)
end


-- Only a script's own tables show their metatable: strings, handles and marked arrays share theirs
-- with everybody.
local function safe_getmetatable(value)
  if type(value) ~= "table" or json.is_array(value) then
    return nil
  end
  return raw_getmetatable(value)
end


local function print_to_log(...)
  local parts = {}
  for i = 1, math.min(select("#", ...), 100) do
    parts[i] = tostring((select(i, ...)))
  end
  log.info(message.clean(table.concat(parts, "\t"), MAX_PRINT_BYTES))
end


local function seconds_now()
  return math.floor(time.now())
end


local function os_time(fields)
  if fields == nil then
    return seconds_now()
  end
  return os.time(fields)
end


local function os_date(format, seconds)
  return os.date(format or "%c", seconds or seconds_now())
end


-- `bounded` holds what takes the place of functions that could run away in C.
local function copy_library(library, bounded)
  local copy = {}
  for name, member in pairs(library) do
    if not LEFT_OUT[name] then
      copy[name] = bounded and bounded[name] or member
    end
  end
  return copy
end


--- A fresh table of everything that a script sees besides `require`.
---@return table
function M.new()
  local env = {}
  for _, name in ipairs(PLAIN) do
    env[name] = _G[name]
  end
  env.pcall, env.xpcall, env.setmetatable = engine.pcall, engine.xpcall, engine.setmetatable
  env.getmetatable = safe_getmetatable
  env.print = print_to_log
  env.string = copy_library(string, engine.string)
  env.string.rep = bounded_rep
  env.math = copy_library(math)
  env.table = copy_library(table, engine.table)
  env.utf8 = copy_library(utf8)
  env.os = { time = os_time, date = os_date, clock = time.monotonic }
  return env
end


--- Makes methods of strings (`s:rep(n)`, `s:find(p)`) the bounded ones too: their metatable is shared by all
--- code of a Lua state. Once per state; again is harmless.
function M.protect_strings()
  rawset(string, "rep", bounded_rep)
  for name, bounded in pairs(engine.string) do
    rawset(string, name, bounded)
  end
end


return M
