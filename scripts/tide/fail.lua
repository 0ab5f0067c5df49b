-- `fail(code, message, fields)`: how a script says what went wrong.

local errors = require "tide.errors"
local message = require "tide.message"
local suggest = require "tide.suggest"


-- Where the script called, for the log.
local function caller(level)
  local info = debug.getinfo(level + 1, "Sl")
  if info and info.currentline > 0 then
    return ("%s:%d"):format(info.short_src, info.currentline)
  end
  return nil
end


local function is_known(code)
  local entry = type(code) == "string" and errors.codes[code]
  return entry and not entry.internal
end


local function fail(_, code, words, fields)
  if not is_known(code) then
    error(("fail: unknown error code %s%s"):format(message.clean(code, 100),
      suggest.hint(code, errors.codes)), 2)
  end
  if words ~= nil and type(words) ~= "string" then
    error("fail: the message must be a string, got " .. type(words), 2)
  end
  if fields ~= nil and type(fields) ~= "table" then
    error("fail: the fields must be a table, got " .. type(fields), 2)
  end
  local err = errors.new(code, words, fields)
  err.where = err.where or caller(2)
  error(err, 0)
end


-- A callable table, so that it is a module like the others.
return setmetatable({ name = "tide.fail" }, { __call = fail, __metatable = "tide.fail" })
