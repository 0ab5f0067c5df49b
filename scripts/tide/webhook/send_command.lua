-- `tidegate webhooks send`: a body, signed as its sender would sign it, and sent to the running service.

local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local boot = require "tide.boot"
local client = require "tide.client"
local output = require "tide.output"
local project = require "tide.project"
local secrets = require "tide.secrets"
local settings = require "tide.settings"
local suggest = require "tide.suggest"
local sender = require "tide.webhook.sender"

local M = {}

local BODY_BYTES_MAX = 256 * 1024 * 1024
local SECRET_BYTES_MAX = 65536
local FORM = "application/x-www-form-urlencoded"


-- Reading ------------------------------------------------------------------------------------------


local function read(path, limit)
  if path == "-" then
    return host.read_input(limit)
  end
  return host.read_file(path, limit)
end


-- { ["X-A"] = "b" } of "X-A: b"; nil and what is wrong.
local function headers_of(texts)
  local headers = {}
  for _, text in ipairs(texts or {}) do
    local name, value = text:match("^([%w!#$%%&'*+.^_`|~-]+):%s*(.-)%s*$")
    if not name then
      return nil, ("--header %s is not \"Name: value\""):format(text)
    end
    headers[name] = value
  end
  return headers
end


local function content_type_of(body)
  if json.decode(body) ~= nil then
    return "application/json"
  end
  return body:match("^[%w%%+._~-]+=") and FORM or "application/octet-stream"
end


-- The arguments: { name, source, headers }; nil and what is wrong with them.
local function arguments_of(options)
  local name, source = (options[2] or ""):match("^([%w_]+)/?([%w_-]*)$")
  if not name or options[3] then
    return nil, "an integration is needed, or INTEGRATION/SOURCE"
  end
  if not options.file then
    return nil, "--file is needed: the body, or - for standard input"
  end
  if options.secret and options.secret_file then
    return nil, "--secret or --secret-file, not both"
  end
  if options.file == "-" and options.secret_file == "-" then
    return nil, "standard input is the body or the secret, not both"
  end
  local headers, fault = headers_of(options.header)
  if not headers then
    return nil, fault
  end
  return { name = name, source = source, headers = headers }
end


-- The definition ------------------------------------------------------------------------------------


local function sources_of(webhooks)
  local names = {}
  for source in pairs(webhooks) do
    names[#names + 1] = source
  end
  table.sort(names)
  return table.concat(names, ", ")
end


local function integration_of(generation, name)
  local integration = generation.integrations[name]
  if not integration then
    return nil, ("there is no integration %s%s"):format(name, suggest.hint(name, generation.integrations))
  end
  if not integration.provider then
    return nil, table.concat(integration.error.faults, "\n")
  end
  return integration
end


-- The bound definition that the arguments name; nil and what is wrong.
local function definition_of(generation, arguments)
  local integration, fault = integration_of(generation, arguments.name)
  if not integration then
    return nil, fault
  end
  local webhooks = integration.webhooks
  if not webhooks then
    return nil, arguments.name .. " takes no webhooks"
  end
  local definition = webhooks[arguments.source]
  if not definition then
    return nil, webhooks[""] and ("the webhooks of %s have no names: leave out /%s"):format(arguments.name,
      arguments.source) or ("say which webhooks of %s: %s"):format(arguments.name, sources_of(webhooks))
  end
  return definition
end


-- Why --type cannot be heeded; nil when it can.
local function type_fault(definition, options)
  local from = definition.type_from
  if options.type == nil or type(from) == "table" then
    return nil
  end
  return ("the type of an event of %s is not in a header%s: write it into the body"):format(definition.name,
    type(from) == "string" and (" but in the field " .. from) or "")
end


-- Secrets -------------------------------------------------------------------------------------------


-- The one secret that was given for a scheme that needs one.
local function given_secret(definition, options)
  local field = next(definition.scheme.secret_names)
  if field == nil or next(definition.scheme.secret_names, field) then
    return nil, ("%s does not read one secret: set its variables instead"):format(definition.name)
  end
  local value, message = options.secret, nil
  if options.secret_file then
    value, message = read(options.secret_file, SECRET_BYTES_MAX)
    value = value and value:gsub("\r?\n$", "")
  end
  return value and { [field] = value }, message
end


-- The secrets by field: those that were given, else the project's; nil and what is wrong.
local function secrets_of(definition, generation, options)
  if options.secret or options.secret_file then
    return given_secret(definition, options)
  end
  for _, fault in ipairs(secrets.load(generation, host.getenv)) do
    output.say(fault)
  end
  local values = {}
  for field, name in pairs(definition.scheme.secret_names) do
    local active = secrets.active(definition.integration, name)[1]
    if not active then
      local variable = settings.variable(definition.integration.name, name)
      return nil, ("the secret %s of %s is missing: set %s or %s_FILE, or give --secret-file (a secret in the store "
        .. "stays there)"):format(name, definition.integration.name, variable, variable)
    end
    values[field] = active.value
  end
  return values
end


-- Sending -------------------------------------------------------------------------------------------


-- The address that is signed.
local function url_of(config, definition, given)
  local path = sender.path(definition)
  if given then
    return given:match("^%a+://[^/?]+/?$") and given:gsub("/$", "") .. path or given
  end
  local origin = config.public_url or (config.tls and "https" or "http") .. "://localhost"
  return origin:gsub("/+$", "") .. path
end


-- The request, signed; nil and what is wrong. A key that is none makes signing raise.
local function sign(definition, body, values, options)
  if not definition.scheme.sign and definition.scheme.name ~= "none" then
    output.say(definition.name, " verifies signatures with a function of its own: nothing is signed but by --header")
  end
  local ok, signed = task.guard(sender.request, definition, body, values, options)
  if not ok then
    return nil, ("the body could not be signed: %s"):format((tostring(signed):gsub("^[^ ]*:%d+: ", "")))
  end
  return signed
end


local function pairs_of(headers)
  local list = {}
  for name, value in pairs(headers) do
    if name:lower() ~= "host" then
      list[#list + 1] = { name, value }
    end
  end
  return list
end


local function deliver(service, signed)
  local headers = pairs_of(signed.headers)
  if service then
    return service:send("POST", signed.url:match("^%a+://[^/?]+(.*)$"), headers, signed.body)
  end
  return client.send { method = "POST", url = signed.url, headers = headers, body = signed.body }
end


-- What is to be sent: the signed request; nil and what is wrong.
local function prepare(opened, arguments, options)
  boot.publish(opened.sources)
  local generation, faults = boot.build()
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  local definition, fault = definition_of(generation, arguments)
  fault = fault or type_fault(definition, options)
  if fault then
    return nil, fault
  end
  local body, values
  body, fault = read(options.file, BODY_BYTES_MAX)
  if body then
    values, fault = secrets_of(definition, generation, options)
  end
  if not values then
    return nil, fault
  end
  return sign(definition, body, values, {
    url = url_of(opened.config, definition, options.url), type = options.type, headers = arguments.headers,
    content_type = content_type_of(body), has_id = true, now = time.now(),
  })
end


function M.run(options)
  local arguments, fault = arguments_of(options)
  if not arguments then
    return 2, fault
  end
  if options.url and not http.parse_url(options.url) then
    return 2, "--url is no address: " .. options.url
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local signed, service
  signed, fault = prepare(opened, arguments, options)
  if signed and not options.url then
    service, fault = client.need(opened)
  end
  if fault then
    return 1, fault
  end
  local status, answer = deliver(service, signed)
  local code, message = output.answer(options, status, answer)
  if code == 0 and status >= 300 then
    return 1, ("the answer is %d"):format(status)
  end
  return code, message
end


return M
