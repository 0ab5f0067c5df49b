-- `.help [VERB]`: what there is.

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
  for _, verb in ipairs(list) do
    session:show(("  %-12s %s"):format("." .. verb.name, verb.summary))
    if arguments[1] then
      session:show("  usage: " .. verb.usage)
    end
  end
  if not arguments[1] then
    session:show("\n.json VERB … or VERB … | json gives JSON; help() tells what a line of Lua has")
  end
end


function M.complete(_, arguments)
  return #arguments == 0 and verbs.names() or {}
end


return M
