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


local function noted_text(line)
  local shown = plain_text.safe(redact.text(line:sub(1, SEARCHED_BYTES_MAX)))
  return text.truncate(shown, NOTED_BYTES_MAX)
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
