-- Locals that nobody reads.

local M = {}

M.name = "unused_local"
M.severity = "warning"
M.kinds = { provider = true, script = true, config = true }
M.describe = "A local, a local function or a required module is never used. One whose name begins with `_`, or that "
  .. "is there to be closed (`<close>`), is left alone; so are parameters and variables of loops."


local function is_require(value)
  return value and value.kind == "call" and value[1].kind == "name" and value[1].name == "require"
    and not value[1].variable and value[2] and value[2].kind == "string"
end


local function words_of(variable)
  if is_require(variable.value) then
    return ("the module %s is required and not used: remove the line"):format(variable.value[2].value)
  end
  local kind = variable.kind == "function" and "function" or "local"
  local what = variable.writes > 0 and "set and never read" or "never used"
  return ("the %s %s is %s: remove it, or call it _%s"):format(kind, variable.name, what, variable.name)
end


function M.review(of)
  local found = {}
  for _, variable in ipairs(of.source.variables) do
    local counts = variable.kind == "local" or variable.kind == "function"
    if counts and variable.reads == 0 and variable.attribute ~= "close" and variable.name:sub(1, 1) ~= "_" then
      found[#found + 1] = { line = variable.line, message = words_of(variable) }
    end
  end
  return found
end


return M
