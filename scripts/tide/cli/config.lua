-- `tidegate config`: the configuration of an integration, what sets each value, and changing it while the
-- service runs; in the store where none runs.

local json = require "tide.json"
local boot = require "tide.boot"
local client = require "tide.client"
local command_line = require "tide.command_line"
local config_text = require "tide.settings.text"
local errors = require "tide.errors"
local http = require "tide.http"
local input = require "tide.input"
local member = require "tide.settings.member"
local output = require "tide.output"
local project = require "tide.project"
local run_time_settings = require "tide.settings.run_time"
local schema = require "tide.settings.schema"
local settings_type = require "tide.settings.type"
local unknown = require "tide.unknown"

local M = {}

M.summary = "show the configuration of an integration, and change it while the service runs"
M.usage = "config get INTEGRATION [KEY] | set INTEGRATION key=value|key:=JSON ... | unset INTEGRATION KEY ... | "
  .. "history INTEGRATION | rollback INTEGRATION VERSION | explain INTEGRATION OPERATION [key=value ...]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "limit", value = "N", number = true, help = "history: the most changes that are shown (50)" },
}

local BY = { actor = "command line", is_admin = true }


-- Arguments ---------------------------------------------------------------------------------------


-- key=value as the key's type has it; what has the wrong form is for the check to refuse, which says what
-- was expected.
local function coerce(name, text)
  local key = schema.integration_by_name[name]
  return key and (settings_type.parse(key, text))
end


local actions = {}


-- Each reads its arguments: what is wanted, or nil and what is wrong.

function actions.get(arguments)
  if #arguments > 1 then
    return nil, "one key at a time, or none for all"
  end
  return { key = arguments[1] }
end


function actions.set(arguments)
  if #arguments == 0 then
    return nil, "key=value is needed"
  end
  local values, fault = input.read(arguments, nil, coerce)
  if not values then
    return nil, fault
  end
  return { patch = member.patch(values) }
end


function actions.unset(arguments)
  if #arguments == 0 then
    return nil, "a key is needed"
  end
  local values = {}
  for _, path in ipairs(arguments) do
    values[path] = json.null
  end
  return { patch = member.patch(values) }
end


function actions.history(arguments)
  return #arguments == 0 and {} or nil, "history takes the name of an integration only"
end


function actions.rollback(arguments)
  local version = #arguments == 1 and arguments[1]:match("^%d+$") and math.tointeger(tonumber(arguments[1]))
  return version and { version = version } or nil, "the number of a version is needed, as the history has it"
end


function actions.explain(arguments)
  if not (arguments[1] and settings_type.is_name(arguments[1])) then
    return nil, "the name of an operation is needed"
  end
  return { operation = arguments[1], arguments = { table.unpack(arguments, 2) } }
end


-- Showing -----------------------------------------------------------------------------------------


-- How an action's data is laid out at a terminal.
local RENDER <const> = {
  get = config_text.values, rollback = config_text.values, history = config_text.history,
  explain = config_text.explanation,
}


local function show(options, action, wanted, body)
  local render = RENDER[action]
  if wanted.key then
    local found, fault = member.find(body.data, wanted.key)
    if not found then
      return 1, fault
    end
    body, render = { data = found }, config_text.value
  elseif wanted.patch then
    render = function(data) return config_text.changed(data, wanted.patch) end
  end
  output.show(body, options, function(value) return render(value.data) end)
  return 0
end


-- By the service ----------------------------------------------------------------------------------


-- The input of an operation as its schema has it; nil and what is wrong.
local function operation_input(opened, name, wanted)
  boot.publish(opened.sources)
  local generation, faults = boot.build()
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  local integration = generation.integrations[name]
  local operation = integration and integration.operations[wanted.operation]
  return input.read(wanted.arguments, nil, operation and operation.input and function(key, text)
    return operation.input:coerce(key, text)
  end or nil)
end


local function request_of(action, wanted, options)
  if action == "get" then
    return "GET", "/config"
  elseif action == "history" then
    return "GET", "/config/history?" .. http.encode_query { limit = tostring(options.limit or 50) }
  elseif action == "rollback" then
    return "POST", "/config/rollback", { version = wanted.version }
  elseif action == "explain" then
    return "POST", "/" .. wanted.operation .. "/explain", wanted.input
  end
  return "PATCH", "/config", wanted.patch
end


local function by_service(service, options, action, name, wanted)
  local method, path, body = request_of(action, wanted, options)
  local status, answer = service:request(method, "/api/v1/integrations/" .. name .. path, body)
  if not status or status >= 400 then
    return output.answer(options, status, answer)
  end
  return show(options, action, wanted, answer)
end


-- In the store ------------------------------------------------------------------------------------


-- The generation of the project with what was changed at run time; nil and what is wrong.
local function open(opened)
  local ready, message = opened:open_locked()
  if not ready then
    return nil, message
  end
  local unread
  unread, message = run_time_settings.load()
  if not unread then
    return nil, message
  end
  for _, fault in ipairs(unread) do
    output.say(fault)
  end
  boot.publish(opened.sources)
  local generation, faults = boot.build()
  return generation, faults and table.concat(faults, "\n")
end


local in_store = {}


function in_store.get(generation, integration)
  return run_time_settings.get(generation, integration.name)
end


function in_store.set(generation, integration, wanted)
  return run_time_settings.change(generation, integration, wanted.patch, BY)
end

in_store.unset = in_store.set


function in_store.rollback(generation, integration, wanted)
  return run_time_settings.rollback(generation, integration, wanted.version, BY)
end


function in_store.history(_, integration, _, options)
  local rows, message = run_time_settings.history(integration, options.limit or 50)
  return rows and json.array(rows), not rows and errors.new("unavailable", message) or nil
end


local function by_store(opened, options, action, name, wanted)
  local generation, message = open(opened)
  if not generation then
    return 1, message
  end
  local integration = generation.integrations[name]
  if not integration then
    return 1, unknown.integration_words(generation, name)
  end
  local data, err = in_store[action](generation, integration, wanted, options)
  if not data then
    return 1, client.explain(errors.problem(err))
  end
  return show(options, action, wanted, { data = data })
end


-- The whole ---------------------------------------------------------------------------------------


local function read_arguments(options)
  local action, name = options[1], options[2]
  if not actions[action] then
    return nil, "get, set, unset, history, rollback or explain?"
  end
  if not settings_type.is_name(name) then
    return nil, "the name of an integration is needed"
  end
  local wanted, fault = actions[action]({ table.unpack(options, 3) })
  return wanted and action, wanted or fault, name
end


local function explain(opened, service, options, name, wanted)
  if not service then
    return 1, "no service runs: how its policies stand is known to a running one only (tidegate serve)"
  end
  local message
  wanted.input, message = operation_input(opened, name, wanted)
  if not wanted.input then
    return 2, message
  end
  return by_service(service, options, "explain", name, wanted)
end


local function run(opened, options, action, name, wanted)
  local service = client.find(opened)
  if action == "explain" then
    return explain(opened, service, options, name, wanted)
  elseif service then
    return by_service(service, options, action, name, wanted)
  end
  return by_store(opened, options, action, name, wanted)
end


function M.run(options)
  local action, wanted, name = read_arguments(options)
  if not action then
    return 2, wanted
  end
  local opened = project.locate(options.config)
  if opened.faults and not client.find(opened) or opened.faults and action == "explain" then
    return 1, table.concat(opened.faults, "\n")
  end
  return run(opened, options, action, name, wanted)
end


return M
