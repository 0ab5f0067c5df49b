-- Lines of consoles in the audit log.

local log = require "tide.log"
local redact = require "tide.redact"
local store = require "tide.store"
local task = require "tide.task"
local text = require "tide.text"
local audit = require "tide.audit"
local plain_text = require "tide.console.plain_text"

local M = {}

local NOTED_BYTES_MAX = 1000
local SEARCHED_BYTES_MAX = 65536
local NOTE_SECONDS = 5


-- `password`, `["api-key"]`, and what stands between them and a value.
local ASSIGNED = "%f[%w_%-%.]([%w_%-%.]+)([\"']?%]?%s*==?%s*)"
local QUOTES = { ['"'] = "\\x22", ["'"] = "\\x27" }


local function mask(name, between, quote)
  return redact.is_sensitive(name) and name .. between .. quote .. redact.MARK .. quote or nil
end


-- What a line of Lua assigns to names that sound like a secret.
local function without_literals(line)
  line = line:gsub("\\(.)", QUOTES)
  for at, name, between in line:gmatch("()" .. ASSIGNED .. "%[=*%[") do
    if redact.is_sensitive(name) then
      line = line:sub(1, at - 1) .. name .. between .. redact.MARK
      break
    end
  end
  line = line:gsub(ASSIGNED .. "([\"'])(.-)%3", mask)
  return (line:gsub(ASSIGNED .. "%d[%w.]*", function(name, between) return mask(name, between, "") end))
end


local function noted_text(line)
  local shown = redact.text(line:sub(1, SEARCHED_BYTES_MAX))
  return text.truncate(plain_text.safe(without_literals(shown)), NOTED_BYTES_MAX)
end


--- What notes the lines of a console before they run (`on_line` of a session); nil for who can change nothing. A
--- store that does not take it keeps nobody from the console.
---@param identity { name: string, rights: table }
---@param trace_id? string
---@return fun(line: string)|nil
function M.of(identity, trace_id)
  if not identity.rights.operate then
    return nil
  end
  return function(line)
    local noted, done, message = task.timeout(NOTE_SECONDS, store.transaction, {
      audit.statement("console.line", "console", nil, { line = noted_text(line) },
        { actor = identity.name, trace_id = trace_id }),
    })
    if not (noted and done) then
      log.error("a line of the console could not be noted in the audit log", { error = message or done })
    end
  end
end


return M
