-- Keys of extra_config that nobody reads.

local suggest = require "tide.suggest"
local tree = require "tide.lua.tree"

local M = {}

M.name = "unread_setting"
M.severity = "warning"
M.kinds = { provider = true, config = true }
M.describe = "`extra_config` has a key that the provider never reads: it is misspelt, or left over. Looked at in the "
  .. "provider's own `config` and in `integrations` of `config.lua`."


local function is_extra(node)
  return node.kind == "index" and node.name == "extra_config"
end


-- Locals that hold extra_config: local extra = ctx.config.extra_config.
local function holders(of)
  local variables = {}
  for _, variable in ipairs(of.source.variables) do
    if variable.value and is_extra(variable.value) then
      variables[variable] = true
    end
  end
  return variables
end


-- Whether extra_config is used other than by a key that is written down: then any may be read.
local function is_whole_use(node, parent, held)
  local is_holder = node.kind == "name" and held[node.variable or 0]
  if not is_holder and not is_extra(node) then
    return false
  end
  local by_key = parent.kind == "index" and parent.name and parent[1] == node
  return not by_key and not (parent.kind == "local" and not is_holder)
end


local function collect(names, of)
  local held = holders(of)
  tree.walk(of.source.tree, function(node, parent)
    if node.kind == "index" and node.name then
      names[node.name] = true
    elseif node.kind == "string" and parent[2] ~= node then
      names[node.value] = true
    end
    names.is_dynamic = names.is_dynamic or (parent ~= nil and is_whole_use(node, parent, held))
  end)
end


-- Every name that the provider and its scripts read a member by, or nil when that cannot be told.
local function read_names(of)
  local names = {}
  for _, subject in ipairs { of, table.unpack(of.companions) } do
    if not subject.source then
      return nil
    end
    collect(names, subject)
  end
  return not names.is_dynamic and names or nil
end


local function words(key, own, names)
  return ("extra_config.%s is never read by %s%s: remove it, or read it as ctx.config.extra_config.%s"):format(key, own,
    suggest.hint(key, names), key)
end


-- A hint is worth something only when it is another key.
local function other_keys(names, extra)
  local keys = {}
  for key in pairs(extra) do
    keys[key] = names[key] and true or nil
  end
  return keys
end


local function unread(extra, names, found, line_of, own)
  local keys = other_keys(names, extra)
  for key in pairs(extra) do
    if type(key) == "string" and not names[key] then
      found[#found + 1] = { line = line_of(key), message = words(key, own, keys) }
    end
  end
end


local function review_provider(of)
  local extra = of.provider and of.provider.config.extra_config
  local names = extra and read_names(of)
  local found = {}
  if names then
    unread(extra, names, found, function(key) return of:line_of { "config", "extra_config", key } end, of.path)
  end
  return found
end


-- What config.lua gives an integration whose provider is a file of the project.
local function review_integration(of, name, own, found)
  local integration = of.generation.integrations[name]
  local subject = integration and integration.code and of.by_path[integration.code.path]
  local names = subject and read_names(subject)
  if names and type(own.extra_config) == "table" then
    unread(own.extra_config, names, found, function(key)
      return of:line_of { "integrations", name, "extra_config", key }
    end, integration.code.path)
  end
end


function M.review(of)
  if of.kind == "provider" then
    return review_provider(of)
  end
  local found = {}
  for name, own in pairs(of.generation and of.generation.config.integrations or {}) do
    review_integration(of, name, own, found)
  end
  return found
end


return M
