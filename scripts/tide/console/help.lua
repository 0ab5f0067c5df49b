-- What `help(x)` says at a console.

local json = require "tide.json"
local integrations = require "tide.console.integrations"
local unknown = require "tide.unknown"

local M = {}

-- Members of the environment besides Lua's own, with what they are for.
M.MEMBERS = {
  { "call", "call(integration, operation, input) -> data, meta" },
  { "integrations", "integrations.NAME.OPERATION{ … } -> data, meta" },
  { "json", "json(value) -> its JSON, indented" },
  { "print", "print(...) shows values" },
  { "config", "config(integration) -> its settings, and where each comes from" },
  { "status", "status() -> the state of the service" },
  { "sleep", "sleep(seconds)" },
  { "cache", "cache.get, set, delete, delete_pattern (integration, …), cache.forget(integration, operation, input)" },
  { "db", "db.query(sql, ...) on the project's own tables -> rows, changes" },
  { "require", 'require "tide.json", and the other modules that a provider can require' },
  { "null", "a JSON null" },
  { "help", 'help(integrations.NAME.OPERATION), help("NAME", "OPERATION")' },
}


local function overview()
  local lines = { "Lines are Lua; the value of an expression is shown and kept in _; verbs begin with a dot: .help" }
  for _, member in ipairs(M.MEMBERS) do
    lines[#lines + 1] = ("  %-13s %s"):format(member[1], member[2])
  end
  return table.concat(lines, "\n")
end


local function of_member(session, subject)
  for _, member in ipairs(M.MEMBERS) do
    if subject == member[1] or (subject ~= nil and rawequal(session.members[member[1]], subject)) then
      return member[2]
    end
  end
end


local function of_operation(operation)
  local lines = { ("%s.%s%s"):format(operation.integration.name, operation.name,
    operation.summary and ": " .. operation.summary or "") }
  if operation.description then
    lines[#lines + 1] = operation.description
  end
  local schema = operation.input and operation.input.definition
  if type(schema) == "table" then
    lines[#lines + 1] = "input: " .. (json.encode(schema, { pretty = true }) or "")
  end
  return table.concat(lines, "\n")
end


local function of_integration(integration)
  local provider = integration.provider
  local lines = { integration.name .. (provider and provider.summary and ": " .. provider.summary or "") }
  local names = {}
  for name in pairs(integration.operations) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    lines[#lines + 1] = ("  %-20s %s"):format(name, integration.operations[name].summary or "")
  end
  return table.concat(lines, "\n")
end


--- The text of help(subject, operation).
---@return string
function M.text(session, subject, operation)
  if subject == nil then
    return overview()
  end
  local words = of_member(session, subject)
  if words then
    return words
  end
  local _, name = integrations.names(subject)
  local called, called_operation = integrations.called_by(subject)
  name, operation = name or called or subject, called_operation or operation
  local integration = session:generation().integrations[name]
  if not integration then
    return type(name) == "string" and unknown.integration_words(session:generation(), name)
      or "there is no help for this; help() lists what there is"
  end
  if operation == nil then
    return of_integration(integration)
  end
  local found = integration.operations[operation]
  return found and of_operation(found) or unknown.operation_words(integration, operation)
end


return M
