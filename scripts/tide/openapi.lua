-- The OpenAPI 3.1 document of a service: what its routes say of themselves (`doc` in api/*.lua), once for each
-- operation and webhook of a generation, as far as a caller may use it.

local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local components = require "tide.openapi.components"
local operation = require "tide.openapi.operation"
local schemas = require "tide.openapi.schemas"
local webhook = require "tide.openapi.webhook"
local sorted = require "tide.sorted"

local M = {}

-- Of what is written for integrations; those that would go beyond are named instead.
M.BYTES_MAX = 4 * 1024 * 1024
-- Documents that are kept for a generation, one for each set of rights and integrations: in bytes.
local KEPT_BYTES_MAX = 8 * 1024 * 1024
-- How long a request waits for another's document, and how often it looks.
local WAIT_SECONDS, LOOK_SECONDS = 30, 0.01

local DESCRIPTION = "Calls of integrations, and what operates them. Every error is an RFC 9457 problem; every answer "
  .. "has `X-Trace-Id`. HEAD is answered as GET."

-- By generation, which never changes; it goes with it.
local kept = setmetatable({}, { __mode = "k" })
-- One is made at a time: it takes memory, and who waits often wants the same.
local making = false


-- Views -------------------------------------------------------------------------------------------


--- What a caller sees: an identity's rights, the integrations that its token is bound to, or `only` one.
---@param generation table
---@param identity table `rights`, `integrations`
---@param only? string the name of an integration
---@return table
function M.view(generation, identity, only)
  local names = json.array()
  for _, name in ipairs(sorted.names(generation.integrations)) do
    local is_bound = identity.integrations == nil or identity.integrations[name] == true
    if is_bound and (only == nil or name == only) then
      names[#names + 1] = name
    end
  end
  return {
    rights = identity.rights, names = names, only = only, is_bound = identity.integrations ~= nil,
    metrics_public = generation.config.metrics_public, made = {},
  }
end


local function is_seen(route, view)
  if route.doc.unbound and view.is_bound then
    return false
  end
  if route.needs == "none" then
    return view.only == nil
  end
  if route.needs == "signature" then
    return view.rights.read == true
  end
  return view.rights[route.needs] == true or (route.needs == "metrics" and view.metrics_public)
end


-- Views that see the same have the same key.
local function key_of(view)
  return ("%s/%s/%s/%s"):format(table.concat(sorted.names(view.rights), ","), view.only or "",
    view.is_bound and "bound" or "", table.concat(view.names, ","))
end


-- Paths -------------------------------------------------------------------------------------------


local function add(paths, path, method, described)
  paths[path] = paths[path] or {}
  paths[path][method:lower()] = described
end


-- "GET /api/v1/logs/{id}" is get.v1.logs.id.
local function id_of(method, path)
  local name = path:gsub("^/api/", "/"):gsub("[{}]", ""):gsub("^/", ""):gsub("/", ".")
  return method:lower() .. "." .. (name == "" and "page" or name)
end


-- What a route of an operation is called: by the last word of its path, a call without one.
local function kind_of(path)
  return path:match("{operation}/(%l+)$") or "call"
end


local function add_operation(paths, route, integration, one, view)
  local path = route[2]:gsub("{name}", integration.name):gsub("{operation}", one.name)
  local is_call = route.doc.summary == nil
  add(paths, path, route[1], operation.describe(route, {
    path = path, operation = one, tag = integration.name,
    id = ("%s.%s.%s"):format(kind_of(route[2]), integration.name, one.name),
    summary = is_call and (schemas.words(one.summary) or one.name) or nil,
    description = is_call and schemas.words(one.description) or nil,
  }, view))
end


local function add_webhook(paths, route, integration, source, view)
  local definition = integration.webhooks[source]
  local has_place = route[2]:find("{source}", 1, true) ~= nil
  if has_place ~= (source ~= "") or (route.doc.of == "handshake" and not definition.handshake) then
    return
  end
  local path = route[2]:gsub("{name}", integration.name):gsub("{source}", source)
  add(paths, path, route[1], operation.describe(route, {
    path = path, tag = integration.name, id = ("%s.%s%s"):format(route.doc.of, integration.name,
      source == "" and "" or "." .. source),
    description = webhook.describe(definition), answers = route.doc.of == "webhook" and webhook.answers(definition),
  }, view))
end


-- Everything of one integration.
local function paths_of(routes, integration, view)
  local paths = {}
  for _, route in ipairs(routes) do
    local of = is_seen(route, view) and route.doc.of
    if of == "operation" then
      for _, name in ipairs(sorted.names(integration.operations)) do
        add_operation(paths, route, integration, integration.operations[name], view)
      end
    elseif of then
      for _, source in ipairs(sorted.names(integration.webhooks or {})) do
        add_webhook(paths, route, integration, source, view)
      end
    end
  end
  return paths
end


local function add_management(paths, routes, view)
  for _, route in ipairs(routes) do
    if not route.doc.of and is_seen(route, view) and view.only == nil then
      add(paths, route[2], route[1], operation.describe(route, {
        path = route[2], tag = "service", id = id_of(route[1], route[2]),
      }, view))
    end
  end
end


-- The whole ---------------------------------------------------------------------------------------


-- The routes that say what they do. Others are found by the specs.
local function described(groups)
  local routes, call = {}, nil
  for _, group in ipairs(groups) do
    for _, route in ipairs(group.routes) do
      if route.doc then
        routes[#routes + 1] = route
        call = route.doc.gives and route or call
      end
    end
  end
  return routes, call
end


-- Adds the integrations of a view as far as there is room: their tags, and the names of those left out.
local function add_integrations(paths, routes, generation, view)
  local tags, left_out, bytes = {}, {}, 0
  for _, name in ipairs(view.names) do
    local integration = generation.integrations[name]
    local own = integration.provider and paths_of(routes, integration, view) or {}
    local encoded = next(own) and assert(json.encode(own)) or ""
    if bytes + #encoded > M.BYTES_MAX then
      left_out[#left_out + 1] = name
    elseif next(own) then
      bytes = bytes + #encoded
      for path, item in pairs(own) do
        paths[path] = item
      end
      tags[#tags + 1] = { name = name, description = schemas.words(integration.provider.summary) }
    end
    if task.current() then
      task.yield()
    end
  end
  return tags, left_out
end


local function info(left_out)
  local description = DESCRIPTION
  if #left_out > 0 then
    description = ("%s\n\nToo large for this document: %s. Each alone: `/openapi.json?integration=NAME`."):format(
      description, table.concat(left_out, ", "))
  end
  return { title = "Tidegate", version = host.version, description = description }
end


local function trimmed(text)
  return (text:gsub("/+$", ""))
end


--- The document as a table.
---@param generation table
---@param groups table[] of endpoints (tide.api.groups)
---@param view table
---@return table
function M.document(generation, groups, view)
  local routes, call = described(groups)
  local paths = {}
  add_management(paths, routes, view)
  local tags, left_out = add_integrations(paths, routes, generation, view)
  tags[#tags + 1] = view.only == nil and { name = "service", description = "The service itself." } or nil
  return {
    openapi = "3.1.0",
    info = info(left_out),
    jsonSchemaDialect = "https://json-schema.org/draft/2020-12/schema",
    servers = { { url = generation.config.public_url and trimmed(generation.config.public_url) or "/" } },
    tags = #tags > 0 and tags or nil,
    paths = paths,
    components = components.all(operation.shared_responses(call), operation.shared_parameters(call)),
  }
end


local function make(generation, groups, view)
  local guard <close> = setmetatable({}, { __close = function() making = false end }) -- luacheck: ignore 211
  making = true
  local text = assert(json.encode(M.document(generation, groups, view), { canonical = true }))
  local tag = ('"%s"'):format(crypto.hex(crypto.digest("sha256", text)):sub(1, 32))
  return { text = text, etag = tag }
end


-- Keeps a document, instead of those before when they are too many.
local function keep(generation, key, entry)
  local entries = kept[generation]
  if not entries or entries.bytes + #entry.text > KEPT_BYTES_MAX then
    entries = { bytes = 0, by_key = {} }
    kept[generation] = entries
  end
  entries.by_key[key], entries.bytes = entry, entries.bytes + #entry.text
end


local function find(generation, key)
  return kept[generation] and kept[generation].by_key[key]
end


--- The document as canonical JSON, kept with its generation; and its entity tag. nil and a message when others
--- are made all the time.
---@return string|nil text, string etag
function M.render(generation, groups, view)
  local key = key_of(view)
  local entry = find(generation, key)
  local ending = time.monotonic() + WAIT_SECONDS
  while not entry and making do
    if time.monotonic() > ending then
      return nil, "other documents are being made"
    end
    task.sleep(LOOK_SECONDS)
    entry = find(generation, key)
  end
  if not entry then
    entry = make(generation, groups, view)
    keep(generation, key, entry)
  end
  return entry.text, entry.etag
end


return M
