-- An example of what a schema takes: what it gives as one, else made up; nil where nothing made up fits.

local json = require "tide.json"
local pattern_sample = require "tide.pattern_sample"
local re = require "tide.re"

local M = {}

local DEPTH_MAX = 12
local VALUES_MAX = 2000
local ITEMS_MAX = 20
local LENGTH_MAX = 200

local FORMATS = {
  date = "2026-01-15", ["date-time"] = "2026-01-15T09:00:00Z", time = "09:00:00Z", duration = "PT1H",
  email = "somebody@example.com", ["idn-email"] = "somebody@example.com", hostname = "www.example.com",
  ["idn-hostname"] = "www.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1", uri = "https://www.example.com/",
  ["uri-reference"] = "/path", iri = "https://www.example.com/", ["iri-reference"] = "/path",
  uuid = "018f4a2e-6f3b-7c1d-9a5e-2b7c8d9e0f1a", ["json-pointer"] = "/a", regex = "^a$",
}

local make


local function bounded(text, schema)
  local least, most = schema.minLength or 0, math.min(schema.maxLength or LENGTH_MAX, LENGTH_MAX)
  while #text < math.min(least, LENGTH_MAX) do
    text = text .. text
  end
  return text:sub(1, math.max(least, math.min(#text, most)))
end


local function of_pattern(schema)
  local compiled = re.compile(schema.pattern)
  for _, extra in ipairs { 0, 1, 2, 3, 5, 8, 12, 20 } do
    local text = pattern_sample.of(schema.pattern, extra)
    local is_long = text and #text >= (schema.minLength or 0) and #text <= (schema.maxLength or math.huge)
    if is_long and text ~= "" and compiled and compiled:test(text) then
      return text
    end
  end
end

local makers = {}


function makers.string(schema)
  if schema.contentEncoding == "base64" then
    return "aGVsbG8="
  end
  if schema.pattern then
    return of_pattern(schema)
  end
  return FORMATS[schema.format] or bounded("text", schema)
end


function makers.number(schema)
  local value = 1
  if schema.exclusiveMinimum then
    value = schema.exclusiveMinimum + 1
  elseif schema.minimum then
    value = schema.minimum
  elseif schema.maximum then
    value = math.min(value, schema.maximum)
  end
  local step = schema.multipleOf
  return step and math.ceil(value / step) * step or value
end


function makers.integer(schema)
  local value = math.ceil(makers.number(schema))
  return math.tointeger(value) or value
end


function makers.boolean()
  return true
end


function makers.null()
  return json.null
end


function makers.array(schema, state, depth)
  local list = json.array()
  local count = math.min(math.max(schema.minItems or 0, schema.items ~= nil and 1 or 0), ITEMS_MAX)
  for index = 1, math.max(count, #(schema.prefixItems or {})) do
    local item = schema.prefixItems and schema.prefixItems[index] or schema.items
    list[index] = make(item == nil and true or item, state, depth)
    if list[index] == nil then
      return nil
    end
  end
  return list
end


-- What it has to have; `state.is_whole`: every member.
function makers.object(schema, state, depth)
  local value, wanted = {}, {}
  for _, name in ipairs(schema.required or {}) do
    wanted[name] = true
  end
  for name, member in pairs(schema.properties or {}) do
    if state.is_whole or type(member) == "table" and member.examples then
      wanted[name] = true
    end
  end
  for name in pairs(wanted) do
    local member = schema.properties and schema.properties[name]
    value[name] = make(member == nil and true or member, state, depth)
  end
  return value
end


local function type_of(schema)
  local named = schema.type
  for _, name in ipairs(type(named) == "table" and named or { named }) do
    if name ~= "null" then
      return name
    end
  end
  if named ~= nil then
    return "null"
  end
  return (schema.properties or schema.required) and "object" or schema.items and "array" or schema.pattern and "string"
end


-- The members of branches together, where they are objects.
local function of_branches(schema, state, depth)
  local whole = {}
  for _, branch in ipairs(schema.allOf or { (schema.oneOf or schema.anyOf)[1] }) do
    local value = make(branch, state, depth)
    if type(value) ~= "table" or json.is_array(value) then
      return value
    end
    for name, member in pairs(value) do
      whole[name] = member
    end
  end
  return whole
end


local function given(schema)
  if schema.examples and schema.examples[1] ~= nil then
    return schema.examples[1]
  end
  for _, keyword in ipairs { "const", "default" } do
    if schema[keyword] ~= nil then
      return schema[keyword]
    end
  end
  return schema.enum and schema.enum[1]
end


make = function(schema, state, depth)
  if type(schema) ~= "table" then
    return schema and "text" or nil
  end
  state.left = state.left - 1
  if depth > DEPTH_MAX or state.left < 0 then
    return nil
  end
  local value = given(schema)
  if value ~= nil then
    return value
  end
  local kind = type_of(schema)
  local own = kind and makers[kind] and makers[kind](schema, state, depth + 1)
  if not (schema.allOf or schema.oneOf or schema.anyOf) then
    return own or kind == nil and "text" or own
  end
  value = of_branches(schema, state, depth + 1)
  if type(own) == "table" and type(value) == "table" and not json.is_array(own) then
    for name, member in pairs(own) do
      value[name] = member
    end
  end
  return value
end


--- An example that the schema takes: with as little as it has to have, else with all it may have.
---@param compiled table|nil as schema.compile gives it
---@return any|nil
function M.of(compiled)
  if compiled == nil or type(compiled.definition) ~= "table" then
    return nil
  end
  for _, is_whole in ipairs { false, true } do
    local value = make(compiled.definition, { is_whole = is_whole, left = VALUES_MAX }, 1)
    -- An object without members shows nothing where there may be some.
    local is_telling = is_whole or type(value) ~= "table" or next(value) ~= nil
    if value ~= nil and is_telling and compiled:validate(value, "in") ~= nil and json.encode(value) then
      return value
    end
  end
end


return M
