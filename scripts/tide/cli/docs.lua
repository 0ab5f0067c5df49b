-- `tidegate docs`: what can be configured, and what each integration takes and gives.

local host = require "tide.host"
local json = require "tide.json"
local boot = require "tide.boot"
local command_line = require "tide.command_line"
local docs_configuration = require "tide.docs_configuration"
local project = require "tide.project"

local M = {}

M.summary = "pages about the configuration and the integrations"
M.usage = "docs [configuration | INTEGRATION] [-c config.lua]"
M.options = { command_line.CONFIG }


local function sorted_names(members)
  local names = {}
  for name in pairs(members) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


local function schema_lines(title, schema)
  local definition = schema and schema.definition
  if type(definition) ~= "table" then
    return ""
  end
  return ("%s:\n\n```json\n%s\n```\n\n"):format(title, assert(json.encode(definition, { pretty = true })))
end


local function operation_page(integration, operation)
  local parts = { ("## %s\n\n%s\n\n"):format(operation.name, operation.summary or "") }
  if operation.description then
    parts[#parts + 1] = operation.description .. "\n\n"
  end
  parts[#parts + 1] = ("    POST /api/v1/integrations/%s/%s\n\n"):format(integration.name, operation.name)
  parts[#parts + 1] = schema_lines("Input", operation.input)
  parts[#parts + 1] = schema_lines("Output", operation.output)
  return table.concat(parts)
end


local function integration_page(integration)
  local provider = integration.provider
  local parts = { ("# %s\n\n%s\n\n"):format(integration.name, provider.summary or "") }
  if provider.description then
    parts[#parts + 1] = provider.description .. "\n\n"
  end
  local secrets = sorted_names(integration.declared_secrets)
  if #secrets > 0 then
    parts[#parts + 1] = "Secrets: " .. table.concat(secrets, ", ") .. "\n\n"
  end
  for _, name in ipairs(sorted_names(integration.operations)) do
    parts[#parts + 1] = operation_page(integration, integration.operations[name])
  end
  return (table.concat(parts):gsub("\n+$", "\n"))
end


local function build(options)
  local opened, faults = project.read(options.config)
  local generation
  if opened then
    boot.publish(opened.sources)
    generation, faults = boot.build()
  end
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  return generation
end


local function contents(generation)
  local lines = { "tidegate docs configuration   every key of config.lua" }
  for _, name in ipairs(sorted_names(generation.integrations)) do
    local provider = generation.integrations[name].provider
    lines[#lines + 1] = ("tidegate docs %-15s %s"):format(name, provider and provider.summary or "(not loaded)")
  end
  return table.concat(lines, "\n") .. "\n"
end


function M.run(options)
  local topic = options[1]
  if topic == "configuration" then
    host.write("stdout", docs_configuration.render())
    return 0
  end
  local generation, message = build(options)
  if not generation then
    return 1, message
  end
  if not topic then
    host.write("stdout", contents(generation))
    return 0
  end
  local integration = generation.integrations[topic]
  if not integration then
    return 1, ("there is no page and no integration %s"):format(topic)
  end
  if not integration.provider then
    return 1, table.concat(integration.error.faults, "\n")
  end
  host.write("stdout", integration_page(integration))
  return 0
end


return M
