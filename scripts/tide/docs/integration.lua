-- The page of one integration: what it takes and gives, how to call it, what it needs, within which limits.

local errors = require "tide.errors"
local json = require "tide.json"
local redact = require "tide.redact"
local settings = require "tide.settings"
local settings_schema = require "tide.settings.schema"
local provider_auth = require "tide.provider_auth"
local docs_example = require "tide.docs.example"
local docs_policies = require "tide.docs.policies"
local docs_schema = require "tide.docs.schema"
local markdown = require "tide.docs.markdown"
local schema_example = require "tide.schema.example"
local webhook = require "tide.openapi.webhook"
local sorted = require "tide.sorted"

local M = {}

local TYPES_MAX = 200


-- Adds paragraphs, headings and tables; nil is nothing.
local function add(parts, ...)
  for index = 1, select("#", ...) do
    local part = select(index, ...)
    if part ~= nil and part ~= "" then
      parts[#parts + 1] = part
    end
  end
end


-- Operations --------------------------------------------------------------------------------------


local function cache_text(integration, operation)
  if not operation.cacheable then
    return "Not cached."
  end
  if not integration.values.cache_enabled then
    return "Could be cached; `cache_enabled` is off."
  end
  return ("Cached: fresh for %s s."):format(operation.cache.ttl_seconds or integration.values.cache_ttl_seconds)
end


local IDEMPOTENT = { [true] = "It may run again when it is unknown whether an attempt took effect.",
  [false] = "It never runs again when it is unknown whether an attempt took effect." }


local function facts(integration, operation)
  local parts = { cache_text(integration, operation) }
  parts[#parts + 1] = IDEMPOTENT[operation.idempotent]
  parts[#parts + 1] = operation.definition.mock and "Has a mock: `X-Mock: 1`, `tidegate call … --mock`."
  parts[#parts + 1] = operation.definition.fallback and "Has a fallback for when the third party fails."
  return table.concat(parts, " ")
end


local function example(config, integration, operation)
  local input
  if operation.input == nil then
    input = json.decode("{}")
  else
    input = schema_example.of(operation.input)
  end
  local path = ("/api/v1/integrations/%s/%s"):format(integration.name, operation.name)
  return markdown.block("sh", docs_example.curl(docs_example.origin(config), path, input) .. "\n\n"
    .. docs_example.command(integration.name, operation, input))
end


local function add_operation(parts, config, integration, operation)
  add(parts, "## " .. operation.name,
    operation.summary and markdown.line(operation.summary),
    operation.description and markdown.paragraphs(operation.description),
    markdown.code(("POST /api/v1/integrations/%s/%s"):format(integration.name, operation.name)),
    facts(integration, operation),
    "### Input", docs_schema.render(operation.input, "Any JSON object."),
    "### Output", docs_schema.render(operation.output, "Whatever the third party gives: there is no schema. It is in "
      .. "`data`; `meta` says how it came about."),
    "### Example", example(config, integration, operation))
end


-- Secrets -----------------------------------------------------------------------------------------


local function note(uses, secrets, words)
  for field, name in pairs(secrets) do
    uses[name] = uses[name] or {}
    table.insert(uses[name], ("%s (`%s`)"):format(words, field))
  end
end


-- What each declared secret is for, as far as the declarations say.
local function uses_of(integration)
  local provider, uses = integration.provider, {}
  if type(provider.auth) == "table" then
    note(uses, select(2, provider_auth.check(provider.auth)), "requests")
  end
  note(uses, provider.tls or {}, "TLS of requests")
  for _, source in ipairs(sorted.names(integration.webhooks or {})) do
    local words = source == "" and "the webhook" or ("the webhook `%s`"):format(source)
    note(uses, integration.webhooks[source].scheme.secret_names, words)
  end
  return uses
end


local function secrets_table(integration)
  local rows, uses = {}, uses_of(integration)
  for _, name in ipairs(sorted.names(integration.declared_secrets)) do
    local own = uses[name] or { "the script" }
    table.sort(own)
    rows[#rows + 1] = { markdown.code(name), markdown.code(settings.variable(integration.name, name)),
      table.concat(own, ", ") }
  end
  return #rows > 0 and markdown.table({ "secret", "variable", "for" }, rows) or nil
end


local function add_secrets(parts, integration)
  local secrets = secrets_table(integration)
  if not secrets then
    return add(parts, "## Secrets", "It needs none.")
  end
  local first = sorted.names(integration.declared_secrets)[1]
  add(parts, "## Secrets", secrets, "A variable with `_FILE` after its name may name a file instead. While the service "
    .. "runs:", markdown.block("sh", ("tidegate secret set %s %s < FILE"):format(integration.name, first)))
end


-- Settings ----------------------------------------------------------------------------------------


local function value_text(integration, name)
  local value = integration.values[name]
  if value == nil then
    return "none"
  end
  value = redact.value({ [name] = value }, integration.values.redact_fields)[name]
  if type(value) == "table" and next(value) == nil and settings_schema.integration_by_name[name].type:find("list$") then
    value = json.array()
  end
  return markdown.code(type(value) == "string" and value or assert(json.encode(value, { canonical = true })))
end


local function add_rows(rows, integration, title, names)
  for index, name in ipairs(names) do
    rows[#rows + 1] = { index == 1 and title or "", markdown.code(name), value_text(integration, name),
      markdown.cell(integration.settings_sources[name] or "") }
  end
end


local function webhook_keys()
  local names = {}
  for _, key in ipairs(settings_schema.integration) do
    names[#names + 1] = key.name:find("^webhook_") and key.name or nil
  end
  return names
end


local function add_policies(parts, integration)
  local rows = {}
  for _, section in ipairs(next(integration.operations) and docs_policies.sections() or {}) do
    add_rows(rows, integration, section.title, section.keys)
  end
  add_rows(rows, integration, "Webhooks", integration.webhooks and webhook_keys() or {})
  add(parts, "## Limits and policies", "As they are in effect; \"from\" says where a value was set. `tidegate config` "
    .. "changes them while the service runs.", markdown.table({ "policy", "key", "value", "from" }, rows))
end


-- Webhooks ----------------------------------------------------------------------------------------


local function events_table(definition)
  local rows = {}
  for index, name in ipairs(webhook.types(definition)) do
    if index <= TYPES_MAX then
      local handler = definition.handlers[name]
      rows[index] = { markdown.code(name), handler and "handled" or "nothing to do" }
    end
  end
  return #rows > 0 and markdown.table({ "event", "is" }, rows) or "No event has a handler."
end


local function scheme_text(definition)
  local header, names = definition.scheme.signature_header, {}
  for _, name in pairs(definition.scheme.secret_names) do
    names[#names + 1] = markdown.code(name)
  end
  table.sort(names)
  return ("Signed by the scheme %s%s%s."):format(markdown.code(definition.scheme.name),
    header and ", in the header " .. markdown.code(header) or "",
    #names > 0 and ", with " .. table.concat(names, ", ") or "")
end


local function add_webhook(parts, config, integration, source)
  local definition = integration.webhooks[source]
  local address = source == "" and integration.name or integration.name .. "/" .. source
  add(parts, "## " .. (source == "" and "Webhook" or "Webhook " .. source),
    "Address for the third party: " .. markdown.code(docs_example.origin(config) .. "/api/v1/webhooks/" .. address),
    scheme_text(definition), events_table(definition),
    "To send one as the third party would:",
    markdown.block("sh", ("tidegate webhooks send %s --file EVENT.json"):format(address)))
end


-- Errors ------------------------------------------------------------------------------------------


--- The errors that a call may answer, as a table.
---@param codes string[]
---@return string
function M.errors_table(codes)
  local rows = {}
  for _, code in ipairs(codes) do
    local entry = errors.codes[code]
    local later = entry.later == true and "yes" or entry.later == "repeatable" and "if it may run again" or ""
    rows[#rows + 1] = { markdown.code(code), tostring(entry.status), markdown.cell(entry.title), later }
  end
  table.sort(rows, function(one, other)
    return one[2] .. one[1] < other[2] .. other[1]
  end)
  return markdown.table({ "code", "status", "says", "worth another try" }, rows)
end


-- The whole ---------------------------------------------------------------------------------------


local function add_head(parts, integration)
  local provider = integration.provider
  add(parts, "# " .. integration.name,
    provider.summary and markdown.line(provider.summary),
    provider.description and markdown.paragraphs(provider.description))
  local lines = { ("Provider: %s, version %s, kind %s."):format(markdown.code(integration.path),
    markdown.code(integration.version), provider.type) }
  if integration.values.base_url then
    lines[#lines + 1] = ("Third party: %s."):format(value_text(integration, "base_url"))
  end
  if integration.values.is_mock_mode then
    lines[#lines + 1] = "**It is in mock mode:** answers are made up, no third party is reached."
  end
  if not integration.values.is_enabled then
    lines[#lines + 1] = "**It is disabled.**"
  end
  add(parts, table.concat(lines, " "))
end


--- The page of an integration that is loaded and bound.
---@param config table of the generation
---@param integration table
---@param codes string[] of the errors that a call may answer
---@return string
function M.render(config, integration, codes)
  local parts = {}
  add_head(parts, integration)
  for _, name in ipairs(sorted.names(integration.operations)) do
    add_operation(parts, config, integration, integration.operations[name])
  end
  for _, source in ipairs(sorted.names(integration.webhooks or {})) do
    add_webhook(parts, config, integration, source)
  end
  add_secrets(parts, integration)
  add_policies(parts, integration)
  if next(integration.operations) then
    add(parts, "## Errors", "RFC 9457 problems (`application/problem+json`), whichever operation it is:",
      M.errors_table(codes))
  end
  return table.concat(parts, "\n\n") .. "\n"
end


return M
