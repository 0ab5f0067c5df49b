-- `tidegate secret`: stores, rotates, lists and deletes secrets of integrations, and seals all of them under
-- another master key, through the service where one runs. A value comes from standard input, never from an
-- argument, which others could see.

local host = require "tide.host"
local boot = require "tide.boot"
local client = require "tide.client"
local command_line = require "tide.command_line"
local errors = require "tide.errors"
local json = require "tide.json"
local master_key = require "tide.secret.master_key"
local output = require "tide.output"
local project = require "tide.project"
local secret_seals = require "tide.secret.seals"
local secrets_store = require "tide.secret.store"
local unknown = require "tide.unknown"

local M = {}

M.summary = "store, rotate, list and delete secrets of integrations"
M.usage = "secret set INTEGRATION SECRET [--keep SECONDS] | rotate INTEGRATION SECRET [--keep SECONDS] | "
  .. "list INTEGRATION | delete INTEGRATION SECRET | rekey"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "keep", value = "SECONDS", number = true,
    help = "the value of before stays good for so long: rotate, a day unless said; set, no longer" },
  { name = "keep-previous", value = "SECONDS", number = true, help = "the same" },
}

local KEEP_SECONDS = 86400
-- One more than a value may have, and a line break.
local INPUT_BYTES_MAX = 65536 + 3
local ACTOR = { actor = "command line" }


-- The value on standard input, without the line break at its end; nil and what is wrong.
local function read_value()
  if host.is_terminal("stdin") then
    output.say("The value, then Ctrl-D after a line break. It is shown as you type: a file or a pipe would hide it.")
  end
  local value, message = host.read_input(INPUT_BYTES_MAX)
  if not value then
    return nil, message
  end
  value = value:gsub("\r?\n$", "")
  if value == "" then
    return nil, "the value is read from standard input, and there is none"
  end
  if not utf8.len(value) then
    return nil, "the value is not text in UTF-8"
  end
  return value
end


-- What the service and this process both can do.
local by_service = {}
local by_store = {}


local function path_of(integration, name)
  return ("/api/v1/integrations/%s/secrets%s"):format(integration, name and "/" .. name or "")
end


function by_service.set(service, options, wanted)
  return output.answer(options, service:request("PUT", path_of(wanted.integration, wanted.name),
    { value = wanted.value, keep_previous_seconds = wanted.keep_seconds }))
end


by_service.rotate = by_service.set


function by_service.list(service, options, wanted)
  return output.answer(options, service:request("GET", path_of(wanted.integration)))
end


function by_service.delete(service, options, wanted)
  local status, answer = service:request("DELETE", path_of(wanted.integration, wanted.name))
  if status == 204 then
    answer = { deleted = wanted.name }
  end
  return output.answer(options, status, answer)
end


function by_service.rekey(service, options)
  return output.answer(options, service:request("POST", "/api/v1/secrets/rekey"))
end


local function finish(options, value, err)
  if value == nil then
    return 1, client.explain(errors.problem(err))
  end
  output.print(value, options)
  return 0
end


function by_store.set(integration, options, wanted)
  local entry, err = secrets_store.put(integration, wanted.name, wanted.value, wanted.keep_seconds, ACTOR)
  return finish(options, entry and { data = secrets_store.shown(entry) }, err)
end


by_store.rotate = by_store.set


function by_store.list(integration, options)
  local entries, err = secrets_store.list(integration)
  for index, entry in ipairs(entries or {}) do
    entries[index] = secrets_store.shown(entry)
  end
  return finish(options, entries and { data = json.array(entries) }, err)
end


function by_store.delete(integration, options, wanted)
  local done, err = secrets_store.delete(integration, wanted.name, ACTOR)
  return finish(options, done and { deleted = wanted.name }, err)
end


-- Without its service, in the store of a project: all secrets under the first of the master keys.
local function rekey_store(opened, options)
  local ready, message = opened:open_locked()
  if not ready then
    return 1, message
  end
  ready, message = master_key.read_file()
  if not ready then
    return 1, message
  end
  local result, err = secret_seals.renew(ACTOR)
  return finish(options, result and { data = result }, err)
end


-- The integration of the project, loaded; nil and what is wrong.
local function integration_of(opened, name)
  boot.publish(opened.sources)
  local generation, faults = boot.build()
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  local integration = generation.integrations[name]
  if not integration then
    return nil, unknown.integration_words(generation, name)
  end
  if integration.error then
    return nil, table.concat(integration.error.faults, "\n")
  end
  return integration
end


-- Brings an integration's secrets to where a service would have them.
local function load(opened, integration)
  local ready, message = opened:open_locked()
  if not ready then
    return nil, message
  end
  local found
  found, message = secrets_store.load({ integrations = { [integration.name] = integration } })
  for _, fault in ipairs(found or {}) do
    output.say(fault)
  end
  return found, message
end


local function is_name(text)
  return text ~= nil and text:match("^[%w_]+$") ~= nil
end


-- What each action is about: how many names follow it, and whether it reads a value.
local ACTIONS = {
  set = { names = 2, reads = true },
  rotate = { names = 2, reads = true },
  list = { names = 1 },
  delete = { names = 2 },
  rekey = { names = 0 },
}
local NEEDS = { "the name of an integration is needed", "the names of an integration and of its secret are needed" }


local function keep_seconds_of(action, options)
  return options.keep or options.keep_previous or action == "rotate" and KEEP_SECONDS or nil
end


-- The action and what it is about; nil and what is wrong with the arguments.
local function read_arguments(options)
  local name = options[1]
  local action = ACTIONS[name]
  if not action then
    return nil, "set, rotate, list, delete or rekey?"
  end
  for index = 2, action.names + 1 do
    if not is_name(options[index]) then
      return nil, NEEDS[action.names]
    end
  end
  if #options > action.names + 1 then
    return nil, action.reads and "the value comes from standard input, not from an argument" or "too many arguments"
  end
  return name, { integration = options[2], name = options[3], keep_seconds = keep_seconds_of(name, options),
    reads = action.reads }
end


local function run_in_store(opened, action, options, wanted)
  local integration, message = integration_of(opened, wanted.integration)
  local loaded
  if integration then
    loaded, message = load(opened, integration)
  end
  if not loaded then
    return 1, message
  end
  return by_store[action](integration, options, wanted)
end


local function run(opened, action, options, wanted)
  local service = client.find(opened)
  if service then
    return by_service[action](service, options, wanted)
  end
  if action == "rekey" then
    return rekey_store(opened, options)
  end
  return run_in_store(opened, action, options, wanted)
end


function M.run(options)
  local action, wanted = read_arguments(options)
  if not action then
    return 2, wanted
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  if wanted.reads then
    local message
    wanted.value, message = read_value()
    if not wanted.value then
      return 1, message
    end
  end
  return run(opened, action, options, wanted)
end


return M
