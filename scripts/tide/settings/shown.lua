-- The effective values of an integration as they may be shown: without what redaction takes out, lists as
-- lists also where they are empty.

local json = require "tide.json"
local redact = require "tide.redact"
local schema = require "tide.settings.schema"

local M = {}

local LISTS = { text_list = true, number_list = true, network_list = true }


--- A copy of an integration's values.
---@param integration table
---@return table<string, any>
function M.values(integration)
  local values = redact.value(integration.values, integration.values.redact_fields)
  for name, value in pairs(values) do
    local key = schema.integration_by_name[name]
    if key and LISTS[key.type] and type(value) == "table" and not json.is_array(value) then
      values[name] = json.array(value)
    end
  end
  return values
end


return M
