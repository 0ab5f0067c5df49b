-- JSON Schema 2020-12 without `$ref`: validation of data by data.

-- luacheck: ignore 212/self

local json = require "tide.json"
local message = require "tide.message"
local re = require "tide.re"
local schema_applicators = require "tide.schema.applicators"
local schema_keywords = require "tide.schema.keywords"
local schema_run = require "tide.schema.run"
local schema_value = require "tide.schema.value"
local suggest = require "tide.suggest"
local view = require "tide.view"

local M = {}

-- What a schema may say about itself without effect on validation.
local ANNOTATIONS = {
  title = true, description = true, default = true, examples = true, deprecated = true,
  readOnly = true,
  writeOnly = true, ["$comment"] = true, ["$schema"] = true, contentMediaType = true,
}
local TYPES = { string = true, number = true, integer = true, boolean = true, array = true,
  object = true, null = true }

-- Keywords that are read along with another one.
local COMPANIONS = {
  ["then"] = true, ["else"] = true, minContains = true, maxContains = true, type = true,
  contentEncoding = true,
}

local known_keywords = {}
for keyword in pairs(schema_keywords.keywords) do
  known_keywords[keyword] = true
end
for _, group in ipairs(schema_applicators.groups) do
  for _, keyword in ipairs(group.keywords) do
    known_keywords[keyword] = true
  end
end
for _, set in ipairs({ ANNOTATIONS, COMPANIONS }) do
  for keyword in pairs(set) do
    known_keywords[keyword] = true
  end
end

-- Raised by the compiler, caught by `compile`.
local Fault = {}

local Compiler = {}
Compiler.__index = Compiler


function Compiler:fail(path, words)
  error(setmetatable({ path = path, message = words }, Fault), 0)
end


--- `path` with one more step.
function Compiler:step(path, token)
  local longer = table.move(path, 1, #path, 1, {})
  longer[#longer + 1] = token
  return longer
end


--- The names in an object of the schema, sorted, so that messages always come in the same order.
function Compiler:sorted_keys(members, path)
  if type(members) ~= "table" then
    self:fail(path, "must be an object, not a " .. type(members))
  end
  local names = {}
  for name in next, members do
    if type(name) ~= "string" then
      self:fail(path, "must be an object by name, not a list")
    end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


function Compiler:check_names(list, path)
  if type(list) ~= "table" then
    self:fail(path, "must be a list of names")
  end
  local count = 0
  for _, name in next, list do
    count = count + 1
    if type(name) ~= "string" then
      self:fail(path, "must be a list of names")
    end
  end
  if count ~= #list then
    self:fail(path, "must be a list of names")
  end
end


function Compiler:regex(text, path)
  if type(text) ~= "string" then
    self:fail(path, "must be a regular expression as text")
  end
  local regex, err = re.compile(text)
  if not regex then
    self:fail(path, "is not a regular expression: " .. message.clean(err, 200))
  end
  return regex
end


--- A value of the schema itself (`const`, `enum`, `default`) as JSON data of its own.
function Compiler:literal(value, path)
  local literal, fault = schema_value.copy(value)
  if fault then
    self:fail(path, fault.detail)
  end
  return literal
end


function Compiler:nodes(list, path)
  if type(list) ~= "table" or #list == 0 then
    self:fail(path, "must be a list of at least one schema")
  end
  local nodes = {}
  for position, definition in ipairs(list) do
    nodes[position] = self:node(definition, self:step(path, position))
  end
  return nodes
end


function Compiler:set_types(node, wanted, path)
  local list = type(wanted) == "table" and wanted or { wanted }
  node.types, node.type_list = {}, {}
  for _, name in ipairs(list) do
    if type(name) ~= "string" or not TYPES[name] then
      self:fail(path, ("unknown type %s%s"):format(message.clean(name, 100),
        suggest.hint(name, TYPES)))
    end
    node.types[name] = true
    node.type_list[#node.type_list + 1] = name
  end
  if #node.type_list == 0 then
    self:fail(path, "must name at least one type")
  end
end


function Compiler:check_keywords(definition, path)
  for _, keyword in ipairs(self:sorted_keys(definition, path)) do
    if not known_keywords[keyword] then
      self:fail(self:step(path, keyword),
        ("unsupported keyword %s%s"):format(message.clean(keyword, 100),
        suggest.hint(keyword, known_keywords)))
    end
  end
end


-- Every member that the top of a schema names, in its branches too.
local function names_at_top(definition, names, depth)
  if type(definition) ~= "table" or depth > schema_value.MAX_DEPTH then
    return names
  end
  for name in pairs(type(definition.properties) == "table" and definition.properties or {}) do
    names[name] = true
  end
  for _, keyword in ipairs({ "allOf", "anyOf", "oneOf", "dependentSchemas" }) do
    for _, branch in pairs(type(definition[keyword]) == "table" and definition[keyword] or {}) do
      names_at_top(branch, names, depth + 1)
    end
  end
  for _, keyword in ipairs({ "if", "then", "else" }) do
    names_at_top(definition[keyword], names, depth + 1)
  end
  return names
end


local function applies(group, definition)
  for _, keyword in ipairs(group.keywords) do
    if definition[keyword] ~= nil then
      return true
    end
  end
  return false
end


function Compiler:add_check(node, kind, run)
  node.checks[#node.checks + 1] = { kind = kind, run = run }
end


-- A schema that says nothing about members (`{ type = "string" }`) closes nothing.
local function closes(definition, names)
  return definition.additionalProperties == nil
    and (definition.type == "object" or definition.properties ~= nil or next(names) ~= nil)
end


function Compiler:fill_node(node, definition, path)
  local closed
  if #path == 0 then
    local names = names_at_top(definition, {}, 1)
    closed = closes(definition, names) and names or nil
  end
  for _, group in ipairs(schema_applicators.groups) do
    if applies(group, definition) or (closed and group.always_at_top) then
      self:add_check(node, group.build(self, definition, path, closed))
    end
  end
  for _, keyword in ipairs(self:sorted_keys(definition, path)) do
    local build = schema_keywords.keywords[keyword]
    if build then
      self:add_check(node, build(self, definition[keyword], self:step(path, keyword)))
    end
  end
end


function Compiler:set_encoding(node, name, path)
  if name ~= "base64" then
    self:fail(path,
      ("unsupported contentEncoding %s (base64 is supported)"):format(message.clean(name, 100)))
  end
  node.base64 = true
end


function Compiler:set_default(node, default, path)
  node.default = self:literal(default, path)
  local run = schema_run.new("in")
  run:apply(node, self:literal(default, path), 0)
  if run.failed then
    self:fail(path, "does not fit its own schema: " .. run.errors[1].detail)
  end
end


--- Compiles one schema: a table of keywords, true or false.
function Compiler:node(definition, path)
  if type(definition) == "boolean" then
    return { checks = {}, never = not definition }
  end
  if type(definition) ~= "table" then
    self:fail(path, "must be a schema (a table), not a " .. type(definition))
  end
  if #path > 2 * schema_value.MAX_DEPTH then
    self:fail({}, "is nested deeper than " .. schema_value.MAX_DEPTH .. " levels")
  end
  self:check_keywords(definition, path)
  local node = { checks = {} }
  if definition.type ~= nil then
    self:set_types(node, definition.type, self:step(path, "type"))
  end
  self:fill_node(node, definition, path)
  if definition.contentEncoding ~= nil then
    self:set_encoding(node, definition.contentEncoding, self:step(path, "contentEncoding"))
  end
  if definition.default ~= nil then
    self:set_default(node, definition.default, self:step(path, "default"))
  end
  return node
end


local Schema = {}
Schema.__index = Schema


--- Compiles a schema. `where` names it in messages ("operations.track.input").
---@param definition table|boolean
---@param where? string
---@param direction? "in"|"out" what `validate` does unless told otherwise; default "in"
---@return table|nil compiled, string? message, (string|integer)[]? path of the offending keyword
function M.compile(definition, where, direction)
  local compiler = setmetatable({}, Compiler)
  local ok, result = pcall(compiler.node, compiler, definition, {})
  if ok then
    local kept = type(definition) == "table" and view.copy(definition) or definition
    return setmetatable({ definition = kept, node = result, direction = direction or "in" }, Schema)
  end
  if getmetatable(result) ~= Fault then
    error(result, 0)
  end
  local pointer = schema_value.pointer(result.path, #result.path)
  return nil, ("%s%s: %s"):format(where or "schema", pointer, result.message), result.path
end


--- Validates a value. It is never changed: what comes back is a copy with defaults filled in,
--- base64 decoded ("in") or encoded ("out"), whole floats as integers where an integer is asked.
---@param value any
---@param direction? "in"|"out" default: the one it was compiled for
---@return any value, { detail: string, pointer: string }[]? errors
function Schema:validate(value, direction)
  if value == nil then
    return nil, { { detail = "the value is missing", pointer = "#" } }
  end
  local data, fault = schema_value.copy(value)
  if fault then
    return nil, { fault }
  end
  local run = schema_run.new(direction or self.direction)
  local result = run:apply(self.node, data, 0)
  if run.failed then
    return nil, run.errors
  end
  return result
end


-- The types that a schema lets a value have, from `type`, `const`, `enum` and its branches.
local function collect_types(definition, types, depth)
  if type(definition) ~= "table" or depth > 8 then
    return types
  end
  local named = definition.type
  for _, name in ipairs(type(named) == "table" and named or { named }) do
    types[name] = true
  end
  if named == nil then
    local values = definition.enum or { definition.const }
    for _, value in ipairs(values) do
      local kind = schema_value.kind(value)
      types[kind == "empty" and "object" or kind] = true
    end
  end
  for _, keyword in ipairs({ "allOf", "anyOf", "oneOf" }) do
    for _, branch in ipairs(definition[keyword] or {}) do
      collect_types(branch, types, depth + 1)
    end
  end
  return types
end


local function find_property(definition, name, depth)
  if type(definition) ~= "table" or depth > 8 then
    return nil
  end
  if definition.properties and definition.properties[name] ~= nil then
    return definition.properties[name]
  end
  for _, keyword in ipairs({ "allOf", "anyOf", "oneOf" }) do
    for _, branch in ipairs(definition[keyword] or {}) do
      local found = find_property(branch, name, depth + 1)
      if found ~= nil then
        return found
      end
    end
  end
  local extra = definition.additionalProperties
  return type(extra) == "table" and extra or nil
end


local EXPECTED = {
  number = "a number", integer = "a whole number", boolean = "true or false", null = "null",
  array = "a list as JSON", object = "an object as JSON",
}


--- The value that `name=text` on a command line means under this schema: text stays text where
--- text is asked or nothing is said, else it is read as JSON.
---@param name string
---@param text string
---@return any|nil value, string? message
function Schema:coerce(name, text)
  local property = find_property(self.definition, name, 1)
  local types = collect_types(property, {}, 1)
  if next(types) == nil or types.string then
    return text
  end
  local value = json.decode(text)
  local kind = value ~= nil and schema_value.kind(value) or nil
  if kind == "number" and types.integer and value == math.floor(value) then
    return math.tointeger(value) or value
  end
  if kind and (types[kind] or (kind == "empty" and types.object)) then
    return value
  end
  local wanted = {}
  for type_name in pairs(types) do
    wanted[#wanted + 1] = EXPECTED[type_name]
  end
  table.sort(wanted)
  return nil, ("%s must be %s"):format(name, message.choice(wanted))
end


--- Whether the member `name` is bytes that travel as base64 (contentEncoding).
---@param name string
---@return boolean
function Schema:is_base64(name)
  local property = find_property(self.definition, name, 1)
  return type(property) == "table" and property.contentEncoding == "base64"
end


--- The same as a function.
function M.coerce(compiled, name, text)
  return compiled:coerce(name, text)
end


return M
