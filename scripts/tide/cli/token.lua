-- `tidegate token`: makes, lists and revokes API tokens, through the service where one runs.

local client = require "tide.client"
local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"
local tokens = require "tide.tokens"

local M = {}

M.summary = "make, list and revoke API tokens"
M.usage = "token create --name NAME --role ROLE [--integrations a,b] [--expires-days N] | list | revoke ID"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "name", value = "NAME", help = "whose token it is" },
  { name = "role", value = "ROLE", values = { "caller", "viewer", "operator", "admin" },
    help = "caller, viewer, operator or admin" },
  { name = "integrations", value = "a,b", help = "bind it to these integrations" },
  { name = "expires-days", value = "N", number = true, help = "days until it expires" },
}

local LIMIT = 500


local function definition_of(options)
  local integrations
  if options.integrations then
    integrations = {}
    for name in options.integrations:gmatch("[^,]+") do
      integrations[#integrations + 1] = name
    end
  end
  return { name = options.name, role = options.role, integrations = integrations, expires_days = options.expires_days }
end


-- What the service and this process both can do.
local by_service = {}
local by_store = {}


function by_service.create(service, options, definition)
  return output.answer(options, service:request("POST", "/api/v1/tokens", definition))
end


function by_service.list(service, options)
  return output.answer(options, service:request("GET", "/api/v1/tokens?limit=" .. LIMIT))
end


function by_service.revoke(service, options, id)
  local status, answer = service:request("DELETE", "/api/v1/tokens/" .. id)
  if status == 204 then
    answer = { revoked = id }
  end
  return output.answer(options, status, answer)
end


local ACTOR = { actor = "command line" }


local function finish(options, value, err)
  if value == nil then
    return 1, client.explain({ code = err.code, detail = err.message })
  end
  output.print(value, options)
  return 0
end


function by_store.create(_, options, definition)
  local entry, err = tokens.create(definition, ACTOR)
  return finish(options, entry and { data = entry }, err)
end


function by_store.list(_, options)
  local entries, err = tokens.list(LIMIT)
  return finish(options, entries and { data = entries }, err)
end


function by_store.revoke(_, options, id)
  local done, err = tokens.revoke(id, ACTOR)
  return finish(options, done and { revoked = id }, err)
end


-- The wanted action and what it is about; nil and what is wrong with the arguments.
local function wanted(options)
  local action = options[1]
  if not by_store[action] then
    return nil, "create, list or revoke?"
  end
  if action == "create" and (not options.name or not options.role) then
    return nil, "--name and --role are needed"
  end
  if action == "revoke" and not (options[2] and options[2]:match("^[%x-]+$")) then
    return nil, "the id of a token is needed"
  end
  return action, action == "create" and definition_of(options) or options[2]
end


function M.run(options)
  local action, subject = wanted(options)
  if not action then
    return 2, subject
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local service = client.find(opened)
  if service then
    return by_service[action](service, options, subject)
  end
  local ready, message = opened:open_locked()
  if not ready then
    return 1, message
  end
  return by_store[action](nil, options, subject)
end


return M
