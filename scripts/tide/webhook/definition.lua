-- A provider's webhook definition as receiving and processing use it, bound once for a generation:
-- how a request is verified, which events are in it, who handles them.

local crypto = require "tide.crypto"
local errors = require "tide.errors"
local json = require "tide.json"
local script = require "tide.script"
local column_text = require "tide.webhook.column_text"
local signatures = require "tide.webhook.signatures"

local M = {}

local EVENTS_MAX = 2000

local Definition = {}
Definition.__index = Definition


-- What a request says of its events ---------------------------------------------------------------


-- The member of a payload that `path` names: as it stands, else step by step ("data.object.id").
local function member_of(payload, path)
  if type(payload) ~= "table" then
    return nil
  end
  local value = payload[path]
  if value ~= nil then
    return value
  end
  value = payload
  for name in path:gmatch("[^.]+") do
    value = type(value) == "table" and value[name] or nil
  end
  return value
end


-- What the contract gives in three ways, as a function of payload and headers.
local function reader(from)
  if type(from) == "string" then
    return function(payload) return member_of(payload, from) end
  end
  if type(from) == "table" then
    local name = tostring(from.header):lower()
    return function(_, headers) return headers[name] end
  end
  return from
end


-- Ids and types are text; whole numbers are written out.
local function text_of(value, what)
  if value == nil or value == json.null then
    return nil
  end
  if type(value) == "string" then
    return value
  end
  if math.type(value) == "integer" then
    return tostring(value)
  end
  error(errors.new("script_error", ("%s is a %s, not text"):format(what, type(value))), 0)
end


function Definition:read(what, payload, headers)
  local read = self.readers[what]
  return read and text_of(read(payload, headers), what)
end


-- { type, id, key, payload } of the one event of a request.
function Definition:single(payload, headers)
  return {
    type = column_text.type(self:read("event_type", payload, headers)) or "",
    id = self:read("event_id", payload, headers),
    key = self:read("ordering_key", payload, headers),
    payload = payload,
  }
end


local function check_event(event, index)
  if type(event) ~= "table" then
    error(errors.new("script_error", ("events: item %d is a %s, not a table"):format(index, type(event))), 0)
  end
  return event
end


-- The same of each event in an envelope, their payloads encoded.
function Definition:unpack(payload, headers)
  local found = self.events(payload, headers)
  if type(found) ~= "table" then
    error(errors.new("script_error", "events must return a list, not a " .. type(found)), 0)
  end
  if #found > EVENTS_MAX then
    error(errors.new("script_error", ("events returned more than %d events"):format(EVENTS_MAX)), 0)
  end
  local items = {}
  for index, event in ipairs(found) do
    check_event(event, index)
    local body, message = json.encode(event.payload == nil and json.null or event.payload)
    if not body then
      error(errors.new("script_error", ("events: item %d: %s"):format(index, message)), 0)
    end
    items[index] = {
      type = column_text.type(text_of(event.type, "the type of an event")) or "",
      id = text_of(event.id, "the id of an event"),
      key = text_of(event.ordering_key, "the ordering key of an event")
        or self:read("ordering_key", event.payload, headers),
      payload = event.payload, body = body,
    }
  end
  return items
end


-- The events of a request: a list of { type, id, key, payload, body (of an envelope's) }. When the
-- provider's own functions fail, or what should be text is none, there is one event without a type: nil,
-- and the error.
function Definition:extract(call, payload, headers)
  if not self.is_scripted then
    local ok, item = pcall(self.single, self, payload, headers)
    if not ok then
      return nil, errors.from(item)
    end
    return { item }
  end
  local ok, items = script.run(call, function()
    if self.events then
      return self:unpack(payload, headers)
    end
    return { self:single(payload, headers) }
  end)
  if not ok then
    return nil, items
  end
  return items
end


-- The key under which an event is known, so that it is stored once. Long ids are hashed, as they
-- would not fit.
local KEY_BYTES_MAX = 200

function Definition:dedupe_key(item, body)
  local id = item.id
  if id == nil or id == "" then
    return self.hash_prefix .. crypto.hex(crypto.digest("sha256", item.body or body))
  end
  if #id > KEY_BYTES_MAX then
    return self.id_prefix .. "sha256:" .. crypto.hex(crypto.digest("sha256", id))
  end
  return self.id_prefix .. id
end


-- Handlers ----------------------------------------------------------------------------------------


-- Prefixes ("parcel.*"), the longest first.
local function prefixes_of(handlers)
  local list = {}
  for name, handler in pairs(handlers) do
    local prefix = name:match("^(.+)%*$")
    if prefix then
      list[#list + 1] = { prefix = prefix, handler = handler }
    end
  end
  table.sort(list, function(one, other) return #one.prefix > #other.prefix end)
  return list
end


-- Who handles events of a type: a function, false when there is nothing to do, nil when nobody does.
function Definition:handler(event_type)
  local handler = self.handlers[event_type]
  if handler ~= nil and event_type ~= "*" then
    return handler
  end
  for _, candidate in ipairs(self.prefixes) do
    if event_type:sub(1, #candidate.prefix) == candidate.prefix then
      return candidate.handler
    end
  end
  return self.handlers["*"]
end


-- Binding -----------------------------------------------------------------------------------------


-- A field's default comes with the scheme.
local function readers_of(definition, scheme)
  local readers = {}
  for _, what in ipairs({ "event_type", "event_id", "ordering_key" }) do
    local from = definition[what]
    if from == nil then
      from = scheme[what]
    end
    readers[what] = from ~= nil and reader(from) or nil
  end
  return readers
end


-- The members of a payload that say all that receiving has to know of an event; nil when the whole of it
-- is needed.
local function members_read(definition, scheme)
  local names = {}
  for _, what in ipairs({ "event_type", "event_id", "ordering_key" }) do
    local from = definition[what]
    if from == nil then
      from = scheme[what]
    end
    if type(from) == "function" then
      return nil
    end
    if type(from) == "string" then
      names[from] = true
      names[from:match("^[^.]*")] = true
    end
  end
  return names
end


local function is_scripted(definition)
  for _, what in ipairs({ "event_type", "event_id", "ordering_key", "events" }) do
    if type(definition[what]) == "function" then
      return true
    end
  end
  return false
end


-- The definition of `integration` at `source` ("" for the only one).
function M.bind(integration, source, definition)
  local name = source == "" and integration.name or integration.name .. "/" .. source
  local scheme = signatures.bind(definition.signature, name)
  local prefix = source == "" and "" or source .. ":"
  return setmetatable({
    integration = integration, source = source, name = name, label = name .. " (webhook)",
    scheme = scheme, readers = readers_of(definition, scheme),
    members = not (definition.events or scheme.events) and members_read(definition, scheme) or nil,
    type_from = definition.event_type == nil and scheme.event_type or definition.event_type,
    id_from = definition.event_id == nil and scheme.event_id or definition.event_id,
    type_field = type(definition.event_type) == "string" and definition.event_type or nil,
    events = definition.events or scheme.events,
    -- A preset's own envelope is read under the budget too: it calls what the provider defines.
    is_scripted = is_scripted(definition) or scheme.events ~= nil or type(scheme.event_type) == "function"
      or type(scheme.event_id) == "function",
    is_envelope = (definition.events or scheme.events) ~= nil,
    handlers = definition.on or {}, prefixes = prefixes_of(definition.on or {}),
    respond = definition.respond, handshake = definition.handshake,
    -- Its value is the secret itself.
    hidden_header = scheme.name == "token" and tostring(definition.signature.header):lower() or nil,
    id_prefix = prefix .. "id:", hash_prefix = prefix .. "sha256:",
  }, Definition)
end


-- The definitions of an integration by source; nil when it takes no webhooks.
function M.bind_all(integration)
  local webhooks = integration.provider and integration.provider.webhooks
  if not webhooks then
    return nil
  end
  local bound = {}
  for source, definition in pairs(webhooks) do
    bound[source] = M.bind(integration, source, definition)
  end
  return bound
end


return M
