-- `.call INTEGRATION OPERATION key=value …`: a call.

local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local printer = require "tide.console.printer"
local values = require "tide.console.values"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "call an operation"
M.usage = ".call INTEGRATION OPERATION [key=value | key:=JSON …] [--mock]"
M.complete = candidates.call


local function take_mock(arguments)
  local kept, is_mock = {}, false
  for _, argument in ipairs(arguments) do
    if argument == "--mock" then
      is_mock = true
    else
      kept[#kept + 1] = argument
    end
  end
  return kept, is_mock
end


function M.fetch(session, given)
  local arguments, is_mock = take_mock(given)
  local integration, operation = arguments[1], arguments[2]
  if not operation then
    verbs.misuse(M)
  end
  local input = values.input(session, integration, operation, arguments, 3)
  return session.api:ask("POST", inside.path("/api/v1/integrations/{}/{}", integration, operation), input,
    { ["X-Mock"] = is_mock and "1" or nil })
end


local function facts_of(meta)
  local facts = { ("%.1f ms"):format(meta.duration_ms or 0) }
  if meta.from_cache then
    facts[#facts + 1] = ("from the cache, %.0f s old"):format(meta.age_seconds or 0)
  else
    facts[#facts + 1] = ("attempts %d"):format(meta.attempts or 0)
  end
  for _, name in ipairs({ "stale", "fallback", "mock" }) do
    facts[#facts + 1] = meta[name] and name or nil
  end
  if meta.error then
    facts[#facts + 1] = ("hides %s"):format(meta.error.code)
  end
  facts[#facts + 1] = "trace " .. tostring(meta.trace_id)
  return table.concat(facts, ", ")
end


function M.show(session, answer)
  session:write(printer.text(answer.data, session:layout()) .. "\n")
  session:show(facts_of(answer.meta))
end


return M
