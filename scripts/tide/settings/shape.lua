-- The keys that can be changed while a service runs, as JSON Schemas: for its OpenAPI document.

local json = require "tide.json"
local schema = require "tide.settings.schema"

local M = {}

local TEXT <const> = { type = "string" }

-- How a key of a type is written in JSON; `key` adds its bounds and its choices.
local TYPES <const> = {
  boolean = { type = "boolean" },
  integer = { type = "integer" },
  number = { type = "number" },
  text = TEXT,
  object = { type = "object" },
  base_url = { anyOf = { TEXT, { type = "array", items = TEXT, minItems = 1 }, { type = "null" } } },
  text_list = { type = "array", items = TEXT },
  network_list = { type = "array", items = TEXT },
  number_list = { type = "array", items = { type = "number" } },
}


local function copy(shape)
  local result = {}
  for name, value in pairs(shape) do
    result[name] = value
  end
  return result
end


local function with_null(list)
  local result = table.move(list, 1, #list, 1, {})
  result[#result + 1] = json.null
  return result
end


-- A key, or null for nothing.
local function of(key)
  local shape = copy(TYPES[key.type])
  if key.type == "text_list" and key.values then
    shape.items = { type = "string", enum = key.values }
  elseif key.type == "number_list" then
    shape.items = { type = "number", minimum = key.min, maximum = key.max }
  else
    shape.minimum, shape.maximum = key.min, key.max
    shape.enum = key.values and with_null(key.values)
  end
  shape.type = shape.type and { shape.type, "null" }
  shape.description = key.description .. (key.admin and " Needs the role admin." or "")
  return shape
end


--- A JSON Merge Patch of run-time settings.
---@return table
function M.patch()
  local properties = {}
  for _, key in ipairs(schema.integration) do
    if key.live then
      properties[key.name] = of(key)
    end
  end
  return { type = "object", properties = properties, additionalProperties = false }
end


return M
