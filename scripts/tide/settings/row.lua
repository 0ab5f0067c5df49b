-- Run-time settings as a row of integration_configs holds them: a key that has a column there, in the
-- column; the others, and what a column could not hold as it is, as members of `settings`.

local json = require "tide.json"
local uuid = require "tide.uuid"
local schema = require "tide.settings.schema"

local M = {}

-- The columns that hold fractions; the other numbers are whole there.
local FRACTIONS = { retry_backoff_factor = true }


local function columns()
  local keys = {}
  for _, key in ipairs(schema.integration) do
    if key.column then
      keys[#keys + 1] = key
    end
  end
  return keys
end

local KEYS = columns()


local function column_names()
  local names = {}
  for index, key in ipairs(KEYS) do
    names[index] = key.name
  end
  names[#names + 1] = "settings"
  return names
end

local NAMES = column_names()

--- The columns that `read` wants, for a SELECT from integration_configs AS c.
M.COLUMNS = "c." .. table.concat(NAMES, ", c.")


-- Reading -----------------------------------------------------------------------------------------


-- SQLite has no booleans, and a whole number of a column of fractions comes back as a float.
local function value_of(key, value)
  if key.type == "boolean" and (value == 0 or value == 1) then
    return value == 1
  end
  if type(value) == "number" then
    return math.tointeger(value) or value
  end
  return value
end


-- A column of JSON; nil and what is wrong with it. Want of memory is no fault of the row.
local function object_of(row, column)
  if row[column] == nil then
    return {}
  end
  local value, message, code = json.decode(row[column])
  if code == "out_of_memory" then
    error(message, 0)
  end
  if type(value) ~= "table" or json.is_array(value) then
    return nil, ("the column %s of its row in integration_configs is not a JSON object"):format(column)
  end
  return value
end


--- What a row sets, by key, not checked; and a fault for each column that cannot be read. Raises when there is no
--- memory for it: what is left out then would seem to be set no more.
---@param row table
---@return table<string, any> overrides, string[] faults
function M.read(row)
  local overrides, faults = object_of(row, "settings")
  faults = { faults }
  overrides = overrides or {}
  for _, key in ipairs(KEYS) do
    local value, fault = row[key.name], nil
    if value ~= nil and key.type == "object" then
      value, fault = object_of(row, key.name)
    end
    faults[#faults + 1] = fault
    if value ~= nil then
      overrides[key.name] = value_of(key, value)
    end
  end
  return overrides, faults
end


-- Writing -----------------------------------------------------------------------------------------


local function fits(key, value)
  if key.type == "boolean" then
    return type(value) == "boolean"
  elseif key.type == "object" then
    return type(value) == "table"
  elseif key.type == "integer" or key.type == "number" then
    return math.type(value) == "integer" or FRACTIONS[key.name] and type(value) == "number"
  end
  return type(value) == "string"
end


local function upsert()
  local places, updates = {}, {}
  for index, name in ipairs(NAMES) do
    places[index] = "$" .. index + 4
    updates[index] = ("%s = excluded.%s"):format(name, name)
  end
  return ("INSERT INTO integration_configs (id, integration_name, integration_type, updated_at, %s) "
    .. "VALUES ($1, $2, $3, $4, %s) ON CONFLICT (integration_name) DO UPDATE SET updated_at = excluded.updated_at, "
    .. "integration_type = excluded.integration_type, %s"):format(table.concat(NAMES, ", "),
    table.concat(places, ", "), table.concat(updates, ", "))
end

local UPSERT = upsert()


--- The statement that makes a row say `overrides` and nothing else: every column is written, null where
--- it overrides nothing.
---@param integration table
---@param overrides table<string, any>
---@param now string
function M.statement(integration, overrides, now)
  local statement = { UPSERT, uuid.v7(), integration.name, integration.type, now, n = 4 + #NAMES }
  local rest = {}
  for name, value in pairs(overrides) do
    rest[name] = value
  end
  for index, key in ipairs(KEYS) do
    local value = rest[key.name]
    if value ~= nil and fits(key, value) then
      statement[5 + index] = key.type == "object" and assert(json.encode(value)) or value
      rest[key.name] = nil
    end
  end
  statement[5 + #NAMES] = next(rest) and assert(json.encode(rest)) or nil
  return statement
end


return M
