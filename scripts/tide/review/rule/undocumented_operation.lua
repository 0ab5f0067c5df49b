-- What callers are told.

local M = {}

M.name = "undocumented_operation"
M.severity = "warning"
M.kinds = { provider = true }
M.describe = "An operation has no `summary`, or no `input` schema: callers find nothing in the documentation, and "
  .. "`run` gets whatever they send."


function M.review(of)
  local found = {}
  for name, operation in pairs(of.provider and of.provider.operations or {}) do
    local function note(words)
      found[#found + 1] = { line = of:line_of { "operations", name },
        message = ("operation %s %s"):format(name, words) }
    end
    if (operation.summary or ""):match("^%s*$") then
      note("has no summary: say in a few words what it does")
    end
    if operation.definition.input == nil then
      note("has no input schema: whatever callers send reaches run")
    end
  end
  return found
end


return M
