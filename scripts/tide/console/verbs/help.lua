-- `.help [VERB]`: what there is.

local columns = require "tide.columns"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "the verbs, or one of them"
M.usage = ".help [VERB]"


function M.fetch(_, arguments)
  local name = arguments[1] and arguments[1]:gsub("^%.", "")
  if name then
    local verb = verbs.find(name)
    if not verb then
      error(verbs.unknown(name), 0)
    end
    return { { name = name, usage = verb.usage, summary = verb.summary } }
  end
  local list = {}
  for index, known in ipairs(verbs.names()) do
    local verb = verbs.find(known)
    list[index] = { name = known, usage = verb.usage, summary = verb.summary }
  end
  return list
end


function M.show(session, list, arguments)
  local rows = {}
  for index, verb in ipairs(list) do
    rows[index] = { "  ." .. verb.name, verb.summary }
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  if arguments[1] then
    session:show("  usage: " .. list[1].usage)
  else
    session:show("\n.json VERB … or VERB … | json gives JSON; help() tells what a line of Lua has")
  end
end


function M.complete(_, arguments)
  return #arguments == 0 and verbs.names() or {}
end


return M
