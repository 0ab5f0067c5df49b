-- A member of an integration's configuration by its path: "max_retries", "extra_config.language".

local json = require "tide.json"
local schema = require "tide.settings.schema"
local sorted = require "tide.sorted"
local suggest = require "tide.suggest"

local M = {}


local function place(patch, path, value)
  local at, last = patch, nil
  for name in path:gmatch("[^.]+") do
    if last then
      at[last] = type(at[last]) == "table" and at[last] or {}
      at = at[last]
    end
    last = name
  end
  at[last or path] = value
end


--- Values by path as the merge patch that sets them.
---@param values table<string, any>
---@return table
function M.patch(values)
  local patch = {}
  for _, path in ipairs(sorted.names(values)) do -- what holds others before them
    place(patch, path, values[path])
  end
  return patch
end


--- A value, and where it comes from; nil and a message.
---@param data { values: table, sources: table<string, string> }
---@param path string
---@return { key: string, value: any, source: string|userdata }|nil, string? message
function M.find(data, path)
  local value = data.values
  for name in path:gmatch("[^.]+") do
    if type(value) ~= "table" then
      value = nil
      break
    end
    value = value[name]
  end
  local key = path:match("^[^.]+") or path
  if value == nil and not schema.integration_by_name[key] then
    return nil, "there is no key " .. key .. suggest.hint(key, schema.integration_by_name)
  end
  local source = value ~= nil and (data.sources[path] or data.sources[key]) or json.null
  return { key = path, value = value == nil and json.null or value, source = source }
end


return M
