-- What is said of a name that there is not, and which one may have been meant.

local errors = require "tide.errors"
local message = require "tide.message"
local suggest = require "tide.suggest"

local M = {}

local NAME_BYTES_MAX = 100


-- A name that came in a path, as it was typed.
local function shown(name)
  return message.clean(tostring(name):gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end), NAME_BYTES_MAX)
end


--- 'there is no integration "wether" (did you mean weather?)'
---@param generation table
---@param name string
---@return string
function M.integration_words(generation, name)
  return ('there is no integration "%s"%s'):format(shown(name), suggest.hint(name, generation.integrations))
end


--- 'weather has no operation "curent" (did you mean current?)'
---@param integration table
---@param name string
---@return string
function M.operation_words(integration, name)
  return ('%s has no operation "%s"%s'):format(integration.name, shown(name),
    suggest.hint(name, integration.operations))
end


--- The error for an integration that there is not. For who may know of all integrations.
---@return table
function M.integration(generation, name)
  return errors.new("no_such_operation", M.integration_words(generation, name))
end


--- The error for an operation that there is not.
---@return table
function M.operation(integration, name)
  return errors.new("no_such_operation", M.operation_words(integration, name), { integration = integration.name })
end


return M
