-- A local function is called above the line that defines it.

local library = require "tide.sandbox.library"

local M = {}

M.name = "used_before_definition"
M.severity = "error"
M.kinds = { provider = true, script = true, config = true }
M.describe = "A name is used above the `local` that defines it: there it is another name, a global, and nil. Move the "
  .. "definition up; of two functions that call each other, declare one first (`local later`)."


function M.review(of)
  local known, found, seen = library.new(), {}, {}
  known.require = true
  for _, use in ipairs(of.source.globals) do
    local place = use.name .. ":" .. use.line
    if use.defined_at and known[use.name] == nil and not seen[place] then
      seen[place] = true
      found[#found + 1] = {
        line = use.line,
        message = ("%s is used before it is defined (line %d): move the definition above, or declare `local %s` first")
          :format(use.name, use.defined_at, use.name),
      }
    end
  end
  return found
end


return M
