-- A schema as a table for people: each field with its type, bounds and description. What a table cannot say
-- (alternatives, conditions) is shown as JSON below it.

local json = require "tide.json"
local markdown = require "tide.docs.markdown"
local schemas = require "tide.openapi.schemas"
local sorted = require "tide.sorted"

local M = {}

local ROWS_MAX = 300
local DEPTH_MAX = 8
local VALUES_MAX = 30

local COMBINED = { "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas", "patternProperties", "prefixItems" }


local function value_text(value)
  return markdown.code(json.encode(value) or "?")
end


-- What all of some values are; nothing where they differ.
local function type_of_values(values)
  local kind = type(values[1])
  for _, value in ipairs(values) do
    kind = type(value) == kind and kind or ""
  end
  return (kind == "string" or kind == "number" or kind == "boolean") and kind or ""
end


local function type_text(schema)
  if type(schema) ~= "table" then
    return schema and "anything" or "nothing"
  end
  local named = schema.type
  if type(named) == "table" then
    return table.concat(named, " or ")
  end
  if named == nil and (schema.enum or schema.const ~= nil) then
    return type_of_values(schema.enum or { schema.const })
  elseif named == nil then
    return schema.properties and "object" or "anything"
  end
  local items = named == "array" and type(schema.items) == "table" and schema.items.type
  return type(items) == "string" and "array of " .. items or tostring(named)
end


local function range(parts, least, most, unit)
  if least and most then
    parts[#parts + 1] = least == most and ("%s%s"):format(least, unit) or ("%s to %s%s"):format(least, most, unit)
  elseif least or most then
    parts[#parts + 1] = ("at %s %s%s"):format(least and "least" or "most", least or most, unit)
  end
end


local function values_text(values)
  local shown = {}
  for index = 1, math.min(#values, VALUES_MAX) do
    shown[index] = value_text(values[index])
  end
  if #values > VALUES_MAX then
    shown[#shown + 1] = ("and %d more"):format(#values - VALUES_MAX)
  end
  return table.concat(shown, ", ")
end


-- What else a value has to be, as Markdown.
local function bounds_text(schema)
  if type(schema) ~= "table" then
    return ""
  end
  local parts = {}
  range(parts, schema.minimum, schema.maximum, "")
  parts[#parts + 1] = schema.exclusiveMinimum and "above " .. schema.exclusiveMinimum
  parts[#parts + 1] = schema.exclusiveMaximum and "below " .. schema.exclusiveMaximum
  parts[#parts + 1] = schema.multipleOf and "a multiple of " .. schema.multipleOf
  range(parts, schema.minLength, schema.maxLength, " characters")
  range(parts, schema.minItems, schema.maxItems, " items")
  range(parts, schema.minProperties, schema.maxProperties, " members")
  parts[#parts + 1] = schema.uniqueItems and "each once" or nil
  parts[#parts + 1] = schema.format and markdown.cell(schema.format)
  parts[#parts + 1] = schema.contentEncoding and markdown.cell(schema.contentEncoding)
  parts[#parts + 1] = schema.pattern and "matches " .. markdown.code(schema.pattern)
  parts[#parts + 1] = schema.const ~= nil and value_text(schema.const) or nil
  parts[#parts + 1] = schema.enum and "one of " .. values_text(schema.enum)
  parts[#parts + 1] = schema.default ~= nil and "else " .. value_text(schema.default) or nil
  return table.concat(parts, "; ")
end


local function contains(list, wanted)
  for _, each in ipairs(list or {}) do
    if each == wanted then
      return true
    end
  end
  return false
end


local add_members


local function add_row(rows, name, schema, is_required, depth)
  if #rows >= ROWS_MAX then
    return
  end
  local description = type(schema) == "table" and (schema.description or schema.title) or ""
  rows[#rows + 1] = { markdown.code(name), type_text(schema), is_required and "yes" or "", bounds_text(schema),
    markdown.cell(description) }
  add_members(rows, name, schema, depth + 1)
end


-- A row for each member, and for what is inside them: "address.city", "items[].id".
add_members = function(rows, prefix, schema, depth)
  if type(schema) ~= "table" or depth > DEPTH_MAX then
    return
  end
  local items = schema.items
  if type(items) == "table" and (items.properties or items.items) then
    add_members(rows, prefix .. "[]", items, depth + 1)
  end
  for _, name in ipairs(sorted.names(schema.properties or {})) do
    add_row(rows, prefix == "" and name or prefix .. "." .. name, schema.properties[name],
      contains(schema.required, name), depth)
  end
end


local function is_combined(schema, depth)
  if type(schema) ~= "table" or depth > DEPTH_MAX then
    return false
  end
  for _, keyword in ipairs(COMBINED) do
    if schema[keyword] ~= nil then
      return true
    end
  end
  for _, member in pairs(schema.properties or {}) do
    if is_combined(member, depth + 1) then
      return true
    end
  end
  return is_combined(schema.items, depth + 1)
end


-- A schema of no members, in words.
local function plain_text(schema)
  if type(schema) ~= "table" then
    return schema and "Anything." or "Nothing."
  end
  local kind, bounds = type_text(schema), bounds_text(schema)
  if kind == "object" and bounds == "" then
    return schema.additionalProperties == false and "An object without members." or "An object."
  end
  return kind .. (bounds ~= "" and (": " .. bounds) or "") .. "."
end


--- What a compiled schema asks for, as Markdown; `otherwise` where there is none.
---@param compiled table|nil
---@param otherwise string
---@return string
function M.render(compiled, otherwise)
  if compiled == nil then
    return otherwise
  end
  local schema = schemas.published(compiled, {})
  local rows = {}
  add_members(rows, "", schema, 1)
  local parts = {}
  if #rows == 0 then
    parts[1] = plain_text(schema)
  else
    parts[1] = markdown.table({ "field", "type", "required", "bounds", "description" }, rows)
  end
  if #rows >= ROWS_MAX or is_combined(schema, 1) then
    parts[#parts + 1] = "The whole schema:"
    parts[#parts + 1] = markdown.block("json", assert(json.encode(schema, { pretty = true })))
  end
  return table.concat(parts, "\n\n")
end


return M
