-- `tidegate call`: one call, by the running service, or by this process where none runs.

local crypto = require "tide.crypto"
local json = require "tide.json"
local store = require "tide.store"
local boot = require "tide.boot"
local call = require "tide.call"
local client = require "tide.client"
local command_line = require "tide.command_line"
local errors = require "tide.errors"
local input = require "tide.input"
local live = require "tide.live"
local output = require "tide.output"
local project = require "tide.project"
local run_time_settings = require "tide.settings.run_time"
local secrets_store = require "tide.secret.store"

local M = {}

M.summary = "call an operation of an integration"
M.usage = "call INTEGRATION OPERATION [key=value | key:=JSON | key=@FILE ...] [--input JSON|@FILE|-] [--mock]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "input", value = "JSON", help = "the input: JSON, @FILE, or - for standard input" },
  { name = "mock", help = "answer with the provider's mock" },
}


-- The generation of the project as it is on disk; it also knows what types the input has.
local function build(opened)
  boot.publish(opened.sources)
  local generation, faults = boot.build()
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  return generation
end


-- How key=value and key=@FILE become a value: by the operation's schema, where there is one.
local function coercion(generation, name, operation)
  local integration = generation.integrations[name]
  local definition = integration and integration.operations[operation]
  local schema = definition and definition.input
  if not schema or type(schema.definition) ~= "table" then
    return nil
  end
  return function(key, text, is_file)
    if is_file and schema:is_base64(key) then
      return crypto.base64(text)
    end
    return schema:coerce(key, text)
  end
end


local function call_service(service, options, values)
  local path = ("/api/v1/integrations/%s/%s"):format(options[1], options[2])
  return output.answer(options, service:request("POST", path, values, { ["X-Mock"] = options.mock and "1" or nil }))
end


local function say_all(faults)
  for _, fault in ipairs(faults) do
    output.say(fault)
  end
end


-- What the store holds of the project: what was set at run time, and secrets. The generation with these; nil
-- and a message.
local function open(opened, generation)
  local ready, message = opened:open_locked()
  local unread, faults
  if ready then
    unread, message = run_time_settings.load()
  end
  if not unread then
    return nil, message
  end
  say_all(unread)
  generation = live.new(generation):current()
  faults, message = secrets_store.load(generation)
  if not faults then
    return nil, message
  end
  say_all(faults)
  return generation
end


local function call_here(opened, built, options, values)
  local generation, message = open(opened, built)
  if not generation then
    return 1, message
  end
  local result, err = call.run(generation, options[1], options[2], values, { caller = "command line",
    mock = options.mock })
  local flushed, problem = store.flush()
  if not flushed then
    output.say("the log row could not be stored: ", problem)
  end
  if not result then
    return 1, client.explain(errors.problem(err))
  end
  output.print({ data = json.decode(result.json), meta = result.meta }, options)
  return 0
end


function M.run(options)
  local name, operation = options[1], options[2]
  if not (name and operation and (name .. operation):match("^[%w_]+$")) then
    return 2, "an integration and an operation are needed"
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local generation, message = build(opened)
  if not generation then
    return 1, message
  end
  local values
  values, message = input.read({ table.unpack(options, 3) }, options.input, coercion(generation, name, operation))
  if not values then
    return 2, message
  end
  local service = client.find(opened)
  if service then
    return call_service(service, options, values)
  end
  return call_here(opened, generation, options, values)
end


return M
