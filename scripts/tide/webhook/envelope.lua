-- Bodies that hold several events.

local errors = require "tide.errors"

local M = {}


-- The events of a list of objects; `type_field` and `id_field` are members of each. Raises when it is
-- no such list.
---@return { type: any, id: any, payload: table }[]
function M.list(items, type_field, id_field)
  if type(items) ~= "table" then
    error(errors.new("invalid_input", "the body has no list of events"), 0)
  end
  local events = {}
  for index, item in ipairs(items) do
    if type(item) ~= "table" then
      error(errors.new("invalid_input", ("event %d of the body is not an object"):format(index)), 0)
    end
    events[index] = { type = item[type_field], id = item[id_field], payload = item }
  end
  return events
end


return M
