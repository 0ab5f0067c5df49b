-- What went wrong in a line, for who typed it: the words, the line itself, and the calls that led there, without
-- the framework's own.

local redact = require "tide.redact"
local errors = require "tide.errors"
local plain_text = require "tide.console.plain_text"
local printer = require "tide.console.printer"

local M = {}

local MESSAGE_BYTES_MAX = 2000
local LINE_COLUMNS_MAX = 120
local FRAMES_MAX = 10
local FAULTS_MAX = 20
-- What the function of a whole line is called where it is called (session.lua).
local MAIN = "chunk"

local STOPPED = {
  script_timeout = "stopped: the line used more than %d ms of CPU without waiting (script_timeout_ms)",
  out_of_memory = "stopped: the line needed more memory than there is (memory_limit_mb)",
  cancelled = "cancelled",
}


local function safe(text)
  if #text > MESSAGE_BYTES_MAX then
    text = text:sub(1, MESSAGE_BYTES_MAX) .. "…"
  end
  return plain_text.safe(redact.text(text))
end


-- "input3:2: words" -> words, "input3", 2. What a line's last call raises at its caller names the framework.
local function split(text)
  text = text:gsub("^scripts/tide/[%w_/]+%.lua:%d+: ", "")
  local name, line, words = text:match("^(input%d+):(%d+): (.*)$")
  if name then
    return words, name, math.tointeger(tonumber(line))
  end
  return text
end


-- The session's own calls of a traceback, innermost first: { name, line, callee } each.
local function frames_of(traceback)
  local frames = {}
  for name, line, words in (traceback or ""):gmatch("\n%s*(input%d+):(%d+): (in [^\n]*)") do
    if #frames == FRAMES_MAX then
      break
    end
    local callee = words:match("'([^']*)'")
    frames[#frames + 1] = {
      name = name, line = math.tointeger(tonumber(line)), callee = callee ~= MAIN and callee or nil,
    }
  end
  return frames
end


local function error_lines(err)
  local lines = { safe(tostring(err)) }
  for index, fault in ipairs(err.errors or {}) do
    if index > FAULTS_MAX then
      break
    end
    if fault.detail ~= err.message or fault.pointer ~= "#" then
      lines[#lines + 1] = safe(("  %s: %s"):format(tostring(fault.pointer or "#"), tostring(fault.detail)))
    end
  end
  local notes = {}
  for _, name in ipairs({ "integration", "operation", "policy", "retry_after", "trace_id" }) do
    if err[name] ~= nil then
      notes[#notes + 1] = ("%s %s"):format(name, tostring(err[name]))
    end
  end
  if #notes > 0 then
    lines[#lines + 1] = safe("  " .. table.concat(notes, ", "))
  end
  return lines
end


-- The words for what was raised, as lines, and the place that they name. Nothing of the value runs.
local function describe(raised, options)
  if type(raised) == "string" then
    local words, name, line = split(raised)
    return { "error: " .. safe(words) }, name, line
  end
  if errors.is(raised) then
    return error_lines(raised)
  end
  if raised == nil then
    return { "error: nil was raised" }
  end
  return { "error: " .. printer.text(raised, options) }
end


--- The text for a line that failed. `raised`, `kind` and `traceback` as task.guard gives them; `options` as for
--- printer.text, and `limit_ms`.
---@param inputs table of input.lua
---@return string
function M.text(inputs, raised, kind, traceback, options)
  local frames = frames_of(traceback)
  local lines, name, line
  if STOPPED[kind] then
    lines = { STOPPED[kind]:format(options.limit_ms) }
  else
    lines, name, line = describe(raised, options)
  end
  if not name and frames[1] then
    name, line = frames[1].name, frames[1].line
  end
  local source = name and inputs:line(name, line)
  if source then
    local shown = plain_text.fit(plain_text.safe(redact.text(source)), LINE_COLUMNS_MAX)
    lines[#lines + 1] = ("  %s:%d: %s"):format(name, line, shown)
  end
  for index = 2, #frames do
    local frame = frames[index]
    lines[#lines + 1] = safe(("    called from %s:%d%s"):format(frame.name, frame.line,
      frame.callee and ", in " .. frame.callee or ""))
  end
  return table.concat(lines, "\n")
end


return M
