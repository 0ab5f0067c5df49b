-- Schemas of a provider as others read them: JSON Schema 2020-12, with what the host does besides said.

local json = require "tide.json"
local text = require "tide.text"
local view = require "tide.view"

local M = {}

-- Keywords by what they hold.
local LISTS = { enum = true, required = true, examples = true, type = true }
local SCHEMAS = {
  items = true, contains = true, additionalProperties = true, propertyNames = true, unevaluatedProperties = true,
  unevaluatedItems = true, ["not"] = true, ["if"] = true, ["then"] = true, ["else"] = true,
}
local SCHEMA_LISTS = { allOf = true, anyOf = true, oneOf = true, prefixItems = true }
local SCHEMA_MAPS = { properties = true, patternProperties = true, dependentSchemas = true }
local VALUES = { default = true, const = true }

local marked


-- An empty table is a list where a list has to be; the copy is ours to mark.
local function as_list(value)
  if type(value) == "table" and next(value) == nil and not json.is_array(value) then
    return json.array()
  end
  return value
end


local function mark_all(members)
  for key, member in pairs(members) do
    members[key] = marked(member)
  end
  return members
end


local function has_type(schema, wanted)
  return schema.type == wanted
end


-- The same schema, its empty lists marked as lists.
marked = function(schema)
  if type(schema) ~= "table" then
    return schema
  end
  for keyword, value in pairs(schema) do
    if LISTS[keyword] then
      schema[keyword] = as_list(value)
    elseif SCHEMAS[keyword] then
      schema[keyword] = marked(value)
    elseif SCHEMA_LISTS[keyword] then
      schema[keyword] = as_list(mark_all(value))
    elseif SCHEMA_MAPS[keyword] then
      mark_all(value)
    elseif keyword == "dependentRequired" then
      for name, names in pairs(value) do
        value[name] = as_list(names)
      end
    elseif VALUES[keyword] and has_type(schema, "array") then
      schema[keyword] = as_list(value)
    end
  end
  return schema
end


local BRANCHES = { "allOf", "anyOf", "oneOf", "dependentSchemas", "if", "then", "else" }


-- At the top, members that a schema does not name are refused. Where branches name more of them, no keyword
-- says the same.
local function is_closed(schema)
  if schema.additionalProperties ~= nil or not (schema.type == "object" or schema.properties) then
    return false
  end
  for _, keyword in ipairs(BRANCHES) do
    if schema[keyword] ~= nil then
      return false
    end
  end
  return true
end


--- A compiled schema as a document shows it; what cannot be written as JSON is left out. `otherwise` stands for
--- none.
---@param compiled table|nil
---@param otherwise table
---@return table|boolean
function M.published(compiled, otherwise)
  if compiled == nil then
    return otherwise
  end
  if type(compiled.definition) ~= "table" then
    return compiled.definition
  end
  local schema = marked(view.copy(compiled.definition))
  if is_closed(schema) then
    schema.additionalProperties = false
  end
  if not json.encode(schema) then
    return { description = "This schema holds what cannot be written as JSON." }
  end
  return schema
end


--- What a provider says of itself, fit for JSON.
---@param words string|nil
---@return string|nil
function M.words(words)
  if words == nil or text.is_utf8(words) then
    return words
  end
  return (words:gsub("[\x80-\xff]", "?"))
end


return M
