-- The provider contract: checks the table that a provider file returns and makes of it what
-- the call path runs. Every fault is found, each with FILE:LINE where the key can be found.

local contract = require "tide.provider_contract"
local locate = require "tide.locate"
local message = require "tide.message"
local provider_auth = require "tide.provider_auth"
local schema = require "tide.schema"
local settings = require "tide.settings"
local settings_type = require "tide.settings.type"
local column_text = require "tide.webhook.column_text"
local signatures = require "tide.webhook.signatures"
local suggest = require "tide.suggest"
local view = require "tide.view"
local sorted = require "tide.sorted"

local M = {}

M.MAX_ERRORS = 100
M.MAX_OPERATIONS = 200


-- Faults ----------------------------------------------------------------------------------------


local Check = {}
Check.__index = Check


local function new_check(path, source)
  return setmetatable({ where = locate.new(path, source), errors = {}, secrets = {} }, Check)
end


local function join(keys)
  local parts = {}
  for i, key in ipairs(keys) do
    parts[i] = message.clean(tostring(key), 100)
  end
  return table.concat(parts, ".")
end


local function below(keys, key)
  local longer = table.move(keys, 1, #keys, 1, {})
  longer[#longer + 1] = key
  return longer
end


--- Notes a fault at a path of keys.
function Check:fault(keys, words)
  if #self.errors >= M.MAX_ERRORS then
    return
  end
  local name = join(keys)
  self.errors[#self.errors + 1] = ("%s: %s%s"):format(self.where(keys),
    name ~= "" and name .. ": " or "", words)
end


local function is_text_list(value)
  if type(value) ~= "table" then
    return false
  end
  local count = 0
  for _, item in next, value do
    count = count + 1
    if type(item) ~= "string" then
      return false
    end
  end
  return count == #value
end


local LUA_TYPES = { text = "string", table = "table", boolean = "boolean", number = "number" }
LUA_TYPES["function"] = "function"


local function is_of(value, wanted)
  if wanted == "list of texts" then
    return is_text_list(value)
  end
  return type(value) == LUA_TYPES[wanted]
end


local function is_one_of(value, wanted)
  for _, kind in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    if is_of(value, kind) then
      return true
    end
  end
  return false
end


-- "a table", "text", "a list of texts or a function".
local function expected(wanted)
  local names = {}
  for i, kind in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    names[i] = kind == "text" and kind or message.article(kind)
  end
  return message.choice(names)
end


local function found(value)
  return type(value) == "string" and "text" or message.article(type(value))
end


--- Checks the keys of `members` against a list of the contract. Returns what has the right type,
--- so that the rest of the check meets no surprises.
function Check:members(members, known, keys)
  local good = {}
  for _, name in ipairs(sorted.keys(members)) do
    local value = members[name]
    local path = below(keys, name)
    if not known[name] then
      self:fault(path, "unknown key" .. suggest.hint(name, known))
    elseif not is_one_of(value, known[name]) then
      self:fault(path, ("must be %s, not %s"):format(expected(known[name]), found(value)))
    else
      good[name] = value
    end
  end
  return good
end


--- Declares a secret under a name.
function Check:secret(name, keys)
  if not settings_type.is_name(name) then
    self:fault(keys, "the name of a secret is " .. settings_type.NAME_RULE)
    return
  end
  self.secrets[name] = true
end


-- The members of a table that the contract knows. A metatable has its say now, inside the check's budget, and never
-- again.
local function members_of(definition, known)
  local members = {}
  for key in pairs(known) do
    members[key] = definition[key]
  end
  return members
end


-- Parts -----------------------------------------------------------------------------------------


-- A host name or address, with "*." before it for all names below it, with a port if not the usual
-- one.
local function is_host(host)
  local name = host:lower():gsub(":%d+$", "")
  if name:match("^%[[%x:.]+%]$") then
    return true
  end
  name = name:gsub("^%*%.", "")
  if name:match("^%w[%w-]*$") then
    return true
  end
  return name:match("^[%w-]+%.[%w.-]*%w$") ~= nil and not name:find("..", 1, true)
end


local function check_hosts(check, hosts)
  local list = {}
  for i, host in ipairs(hosts or {}) do
    if host:find("/", 1, true) then
      check:fault({ "hosts", host }, "must be the name of a host alone, without scheme or path")
    elseif not is_host(host) then
      check:fault({ "hosts", host }, "is not the name of a host")
    end
    list[i] = host:lower()
  end
  return list
end


-- A scheme's definition without a metatable; a function stays as it is.
local function check_auth(check, auth)
  if type(auth) ~= "table" then
    return auth
  end
  local faults, secrets = provider_auth.check(auth)
  for _, fault in ipairs(faults) do
    check:fault({ "auth", fault.field }, fault.words)
  end
  for _, field in ipairs(sorted.keys(secrets)) do
    check:secret(secrets[field], { "auth", field })
  end
  local scheme = provider_auth.schemes[auth.scheme]
  local plain = members_of(auth, scheme and scheme.fields or {})
  plain.scheme = auth.scheme
  return plain
end


local function check_tls(check, tls)
  if tls == nil then
    return nil
  end
  for _, field in ipairs(sorted.keys(tls)) do
    if not provider_auth.tls_fields[field] then
      check:fault({ "tls", field }, "unknown key" .. suggest.hint(field, provider_auth.tls_fields))
    elseif type(tls[field]) ~= "string" then
      check:fault({ "tls", field }, "must be the name of a secret that holds PEM")
    else
      check:secret(tls[field], { "tls", field })
    end
  end
  if tls.key ~= nil and tls.certificate == nil then
    check:fault({ "tls", "key" }, "is of no use without a certificate")
  end
  return members_of(tls, provider_auth.tls_fields)
end


local function check_config(check, config)
  if config == nil then
    return {}
  end
  local copied, plain = pcall(view.copy, config)
  if not copied then
    check:fault({ "config" }, message.clean(plain))
    return {}
  end
  local result = settings.check_integration(plain, { "config" }, check.where)
  if result ~= true then
    table.move(result, 1, #result, #check.errors + 1, check.errors)
    return {}
  end
  if plain.provider ~= nil then
    check:fault({ "config", "provider" }, "belongs into config.lua")
  end
  return plain
end


local function compile_schema(check, definition, keys, direction)
  if definition == nil then
    return nil
  end
  local compiled, err, path = schema.compile(definition, join(keys), direction)
  if compiled then
    return compiled
  end
  local longer = table.move(path, 1, #path, #keys + 1, table.move(keys, 1, #keys, 1, {}))
  check.errors[#check.errors + 1] = ("%s: %s"):format(check.where(longer), err)
  return nil
end


local function check_cache(check, cache, keys)
  if not cache then
    return nil
  end
  if cache == true then
    return {}
  end
  local good = check:members(cache, contract.cache, keys)
  if good.ttl_seconds and (good.ttl_seconds < 0 or good.ttl_seconds ~= good.ttl_seconds) then
    check:fault(below(keys, "ttl_seconds"), "must be at least 0")
  end
  return { ttl_seconds = good.ttl_seconds, version = good.version }
end


local function check_operation_name(check, name, keys)
  if not settings_type.is_name(name) then
    check:fault(keys, "the name of an operation is " .. settings_type.NAME_RULE)
    return false
  end
  if contract.reserved_operations[name] then
    check:fault(keys, "is a name of the API and cannot be an operation's")
    return false
  end
  return true
end


local function check_operation(check, name, definition)
  local keys = { "operations", name }
  if not check_operation_name(check, name, keys) then
    return nil
  end
  if type(definition) ~= "table" then
    check:fault(keys, ("must be a table, not %s"):format(found(definition)))
    return nil
  end
  local good = check:members(definition, contract.operation, keys)
  if definition.run == nil then
    check:fault(keys, "has no function `run`")
  end
  local cache = check_cache(check, good.cache, below(keys, "cache"))
  return {
    name = name,
    summary = good.summary,
    description = good.description,
    definition = members_of(definition, contract.operation),
    input = compile_schema(check, good.input, below(keys, "input"), "in"),
    output = compile_schema(check, good.output, below(keys, "output"), "out"),
    cacheable = cache ~= nil,
    cache = cache,
    idempotent = good.idempotent,
  }
end


local function check_operations(check, definitions)
  local operations, count = {}, 0
  for _, name in ipairs(sorted.keys(definitions or {})) do
    operations[name] = check_operation(check, name, definitions[name])
    count = count + 1
  end
  if count > M.MAX_OPERATIONS then
    check:fault({ "operations" }, "has more than " .. M.MAX_OPERATIONS .. " operations")
  end
  return operations
end


-- Webhooks --------------------------------------------------------------------------------------


local function check_signature(check, signature, keys)
  if signature == nil then
    check:fault(keys, "has no signature (`signature = { scheme = \"none\" }` asks for none)")
    return
  end
  local path = below(keys, "signature")
  local faults, secrets = signatures.check(signature)
  for _, fault in ipairs(faults) do
    check:fault(fault.field and below(path, fault.field) or path, fault.words)
  end
  for _, field in ipairs(sorted.keys(secrets)) do
    check:secret(secrets[field], below(path, field))
  end
end


local function check_handlers(check, handlers, keys)
  for _, name in ipairs(sorted.keys(handlers or {})) do
    local handler = handlers[name]
    if type(name) ~= "string" or (type(handler) ~= "function" and handler ~= false) then
      check:fault(below(below(keys, "on"), name), "must be a function, or false for nothing to do")
    elseif #name > column_text.TYPE_MAX then
      check:fault(below(below(keys, "on"), name), ("is never called: of a type %d bytes are kept"):format(
        column_text.TYPE_MAX))
    end
  end
end


-- A member of the payload by its name, a header, or a function.
local function check_readers(check, good, keys)
  for _, name in ipairs({ "event_type", "event_id", "ordering_key" }) do
    local from = good[name]
    if type(from) == "table" and (type(from.header) ~= "string" or next(from, "header") or next(from) ~= "header") then
      check:fault(below(keys, name), "as a table is { header = \"X-…\" }")
    end
  end
end


-- What the sender gets instead of our JSON.
local function check_respond(check, respond, keys)
  if respond == nil then
    return
  end
  local path = below(keys, "respond")
  local good = check:members(respond, contract.respond, path)
  local status = good.status or 200
  if math.type(status) ~= "integer" or status < 200 or status > 299 then
    check:fault(below(path, "status"), "must be a status from 200 to 299: other ones make senders send again")
  end
  for name, value in next, good.headers or {} do
    if type(name) ~= "string" or type(value) ~= "string" or (name .. value):find("%c") then
      check:fault(below(path, "headers"), "must be texts by name, each on one line")
    end
  end
end


local function check_webhook(check, definition, keys)
  if type(definition) ~= "table" then
    check:fault(keys, ("must be a table, not %s"):format(found(definition)))
    return
  end
  local good = check:members(definition, contract.webhook, keys)
  check_signature(check, good.signature, keys)
  check_readers(check, good, keys)
  check_respond(check, good.respond, keys)
  check_handlers(check, good.on, keys)
  return members_of(definition, contract.webhook)
end


-- One definition, or named ones: in the first every key is one of the contract.
local function is_single(webhooks)
  for name in next, webhooks do
    if contract.webhook[name] then
      return true
    end
  end
  return false
end


local function check_webhooks(check, webhooks)
  if webhooks == nil then
    return nil
  end
  if is_single(webhooks) then
    return { [""] = check_webhook(check, webhooks, { "webhooks" }) }
  end
  local definitions = {}
  for _, name in ipairs(sorted.keys(webhooks)) do
    if not settings_type.is_name(name) then
      local hint = suggest.hint(name, contract.webhook)
      check:fault({ "webhooks", name }, "is neither a key of a webhook nor a name for one" .. hint)
    else
      definitions[name] = check_webhook(check, webhooks[name], { "webhooks", name })
    end
  end
  return definitions
end


-- Whole -----------------------------------------------------------------------------------------


local function check_head(check, good, name)
  if good.name and good.name ~= name then
    local shown = message.clean(good.name, 100)
    check:fault({ "name" }, ("is %s, but the file's name is %s"):format(shown, name))
  end
  if good.type and not contract.types[good.type] then
    check:fault({ "type" }, 'must be "api", "smtp" or "webhook"')
  end
end


local function kind_of(good)
  if good.type then
    return good.type
  end
  local url = good.config and good.config.base_url
  url = type(url) == "table" and url[1] or url
  if type(url) == "string" and url:match("^smtps?:") then
    return "smtp"
  end
  return (good.webhooks and not good.operations) and "webhook" or "api"
end


local function check_secrets(check, secrets)
  for _, name in ipairs(secrets or {}) do
    check:secret(name, { "secrets", name })
  end
end


--- Checks what a provider file returned.
---@param definition any
---@param name string the file's name without ".lua"
---@param path string shown in messages
---@param source? string the file's text, to find lines in
---@return table|nil provider, string[]? errors each "FILE:LINE: key: what is wrong"
function M.check(definition, name, path, source)
  local check = new_check(path, source)
  if not settings_type.is_name(name) then
    local shown = message.clean(name, 100)
    check:fault({}, shown .. " cannot name an integration: " .. settings_type.NAME_RULE)
  end
  if type(definition) ~= "table" then
    check:fault({}, ("must return a table, got %s"):format(message.article(type(definition))))
    return nil, check.errors
  end
  local good = check:members(definition, contract.provider, {})
  check_head(check, good, name)
  check_secrets(check, good.secrets)
  local provider = {
    name = name, type = kind_of(good), path = path, summary = good.summary,
    description = good.description,
    hosts = check_hosts(check, good.hosts),
    classify = good.classify,
    health = good.health, self_test = good.self_test, definition = definition,
  }
  provider.auth = check_auth(check, good.auth)
  provider.tls = check_tls(check, good.tls)
  provider.config = check_config(check, good.config)
  provider.operations = check_operations(check, good.operations)
  provider.webhooks = check_webhooks(check, good.webhooks)
  provider.secrets = check.secrets
  if definition.operations == nil and definition.webhooks == nil then
    check:fault({}, "declares neither operations nor webhooks")
  end
  if #check.errors > 0 then
    return nil, check.errors
  end
  return provider
end


return M
