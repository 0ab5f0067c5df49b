-- Misspelt members: of the standard library, of modules, of ctx and of ctx.config.

local context = require "tide.context"
local library = require "tide.sandbox.library"
local outline = require "tide.review.outline"
local sandbox = require "tide.sandbox"
local settings_schema = require "tide.settings.schema"
local suggest = require "tide.suggest"
local tree = require "tide.lua.tree"

local M = {}

M.name = "unknown_member"
M.severity = "error"
M.kinds = { provider = true, script = true }
M.describe = "A member that is not there is used: of `string`, `table`, `math`, `utf8`, `os`, of a module that was "
  .. "required from the framework, of `ctx` or of `ctx.config`."


local function config_keys()
  local names = {}
  for _, key in ipairs(settings_schema.integration) do
    names[key.name] = true
  end
  return names
end


-- The module that a local holds: local json = require "tide.json".
local function module_of(node)
  local call = node.variable and outline.value_of(node)
  if not call or call.kind ~= "call" or #call ~= 2 or call[2].kind ~= "string" then
    return nil
  end
  local is_require = call[1].kind == "name" and call[1].name == "require" and not call[1].variable
  return is_require and sandbox.MODULES[call[2].value] and call[2].value or nil
end


local function is_ctx(node)
  return node.kind == "name" and node.name == "ctx" and node.variable ~= nil and node.variable.kind == "parameter"
end


-- What an object is called and what it has; nil when it is not known.
local function members_of(object, own)
  if is_ctx(object) then
    return "ctx", own.ctx
  elseif object.kind == "index" and object.name == "config" and is_ctx(object[1]) then
    return "ctx.config", own.config
  elseif object.kind ~= "name" then
    return nil
  elseif not object.variable then
    local members = own.library[object.name]
    return object.name, type(members) == "table" and members or nil
  end
  local name = module_of(object)
  local loaded, module = pcall(require, name or "")
  return name, loaded and type(module) == "table" and module or nil
end


function M.review(of)
  local found = {}
  local own = { library = library.new(), ctx = context.members(), config = config_keys() }
  tree.walk(of.source.tree, function(node, parent)
    local is_target = parent and (parent.kind == "assign" or parent.kind == "function_statement") and parent[1] == node
    if node.kind ~= "index" or not node.name or is_target then
      return
    end
    local name, members = members_of(node[1], own)
    if members and members[node.name] == nil then
      found[#found + 1] = { line = node.line,
        message = ("%s has no %s%s"):format(name, node.name, suggest.hint(node.name, members)) }
    end
  end)
  return found
end


return M
