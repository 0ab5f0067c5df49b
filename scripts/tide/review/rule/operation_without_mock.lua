-- Mock mode has to answer.

local M = {}

M.name = "operation_without_mock"
M.severity = "error"
M.kinds = { provider = true }
M.describe = "An operation has no `mock`, and no `mock_responses` in the configuration: in mock mode its calls fail, "
  .. "so nobody can work without the third party."


local function has_responses(of, name)
  for _, integration in ipairs(of.integrations) do
    local responses = integration.values and integration.values.mock_responses
    if responses and responses[name] then
      return true
    end
  end
end


function M.review(of)
  local found = {}
  for name, operation in pairs(of.provider and of.provider.operations or {}) do
    if operation.definition.mock == nil and not has_responses(of, name) then
      found[#found + 1] = {
        line = of:line_of { "operations", name },
        message = ("operation %s has no mock: give it mock = function(ctx, input), which answers from the input alone")
          :format(name),
      }
    end
  end
  return found
end


return M
