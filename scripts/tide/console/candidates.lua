-- What can be completed of a service: the names of its integrations, operations, inputs and settings.

local schema = require "tide.settings.schema"

local M = {}


local function names_of(members, ending)
  local names = {}
  for name in pairs(members or {}) do
    if type(name) == "string" then
      names[#names + 1] = name .. (ending or "")
    end
  end
  return names
end


function M.integrations(session)
  return names_of(session:generation().integrations)
end


function M.operations(session, integration)
  local known = session:generation().integrations[integration]
  return names_of(known and known.operations)
end


--- The members of an operation's input, each with `ending`.
function M.inputs(session, integration, operation, ending)
  local known = session:generation().integrations[integration]
  local definition = known and known.operations[operation]
  local input = definition and definition.input and definition.input.definition
  return names_of(type(input) == "table" and input.properties or nil, ending)
end


--- The keys of an integration's configuration.
function M.settings(ending)
  return names_of(schema.integration_by_name, ending)
end


--- For verbs that take an integration, an operation and its input.
function M.call(session, arguments)
  if #arguments == 0 then
    return M.integrations(session)
  end
  if #arguments == 1 then
    return M.operations(session, arguments[1])
  end
  return M.inputs(session, arguments[1], arguments[2], "=")
end


return M
