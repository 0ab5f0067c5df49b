-- Which local variable a name means, told while a source is read from top to bottom.
--
-- A variable is { name, line, kind, reads, writes, attribute, value }: kind "local", "function", "parameter" or
-- "loop"; `value` is what it was declared with. A name that means no local is a global: { name, line, is_write,
-- defined_at }, where `defined_at` is the line of the local of that name that comes too late.

local M = {}

local Scopes = {}
Scopes.__index = Scopes


function M.new()
  return setmetatable({ innermost = nil, variables = {}, globals = {} }, Scopes)
end


function Scopes:enter()
  self.innermost = { outer = self.innermost, by_name = {}, unknown = {} }
end


local function append(list, more)
  return list and table.move(more, 1, #more, #list + 1, list) or more
end


-- What the block did not know, the one around it may still define: too late.
function Scopes:leave()
  local scope = self.innermost
  local outer = scope.outer
  self.innermost = outer
  if outer then
    for name, uses in next, scope.unknown do
      local known = outer.unknown[name]
      if known and #known < #uses then
        known, uses = uses, known
      end
      outer.unknown[name] = append(known, uses)
    end
  end
end


function Scopes:declare(name, line, kind, attribute)
  local variable = { name = name, line = line, kind = kind, attribute = attribute, reads = 0, writes = 0 }
  local scope = self.innermost
  for _, use in ipairs(scope.unknown[name] or {}) do
    use.defined_at = use.defined_at or line
  end
  scope.unknown[name] = nil
  scope.by_name[name] = variable
  self.variables[#self.variables + 1] = variable
  return variable
end


function Scopes:find(name)
  local scope = self.innermost
  while scope do
    local variable = scope.by_name[name]
    if variable then
      return variable
    end
    scope = scope.outer
  end
end


-- A use that no local in sight explains.
function Scopes:unknown(name, line)
  local use = { name = name, line = line, is_write = false }
  local uses = self.innermost.unknown
  uses[name] = uses[name] or {}
  table.insert(uses[name], use)
  self.globals[#self.globals + 1] = use
  return use
end


-- Notes a use of a name: its variable, or the use of a global.
function Scopes:use(name, line)
  local variable = self:find(name)
  if variable then
    variable.reads = variable.reads + 1
    return variable
  end
  return nil, self:unknown(name, line)
end


return M
