-- Operations that are called by name and are not there.

local suggest = require "tide.suggest"
local outline = require "tide.review.outline"
local tree = require "tide.lua.tree"

local M = {}

M.name = "unknown_operation"
M.severity = "error"
M.kinds = { provider = true, script = true, config = true }
M.describe = "`ctx.call`, `ctx.cache.forget` or `mock_responses` names an integration or an operation that the project "
  .. "does not have. Integrations that do not load are not looked into."


local function text_of(node)
  local value = outline.value_of(node)
  return value and value.kind == "string" and value.value or nil
end


local function is_ctx(node)
  return node.kind == "name" and node.name == "ctx"
end


local function missing(integration, operation)
  if not integration.provider or integration.operations[operation] then
    return nil
  end
  return ("%s has no operation %s%s"):format(integration.name, operation,
    suggest.hint(operation, integration.operations))
end


local function fault_of_call(of, node)
  local name, operation = text_of(node[2]), text_of(node[3])
  local integration = name and of.generation.integrations[name]
  if name and not integration then
    return ("there is no integration %s%s: name it under integrations in the configuration, or write its file"):format(
      name, suggest.hint(name, of.generation.integrations))
  end
  return integration and operation and missing(integration, operation)
end


-- Of several integrations on one file each has the same operations.
local function fault_of_forget(of, node)
  local operation = text_of(node[2])
  return operation and of.integrations[1] and missing(of.integrations[1], operation)
end


local function is_cache_of_ctx(node)
  return node.kind == "index" and node.name == "cache" and is_ctx(node[1])
end


local function fault_of(of, node)
  local callee = node.kind == "call" and node[1]
  if not callee or callee.kind ~= "index" then
    return nil
  elseif callee.name == "call" and is_ctx(callee[1]) then
    return fault_of_call(of, node)
  elseif callee.name == "forget" and is_cache_of_ctx(callee[1]) then
    return fault_of_forget(of, node)
  end
end


local function review_config(of)
  local found = {}
  for name, own in pairs(of.generation.config.integrations) do
    local integration = of.generation.integrations[name]
    for operation in pairs(integration and own.mock_responses or {}) do
      local words = type(operation) == "string" and missing(integration, operation)
      if words then
        found[#found + 1] = { line = of:line_of { "integrations", name, "mock_responses", operation },
          message = words }
      end
    end
  end
  return found
end


function M.review(of)
  if not of.generation then
    return {}
  elseif of.kind == "config" then
    return review_config(of)
  end
  local found = {}
  tree.walk(of.source.tree, function(node)
    local words = fault_of(of, node)
    if words then
      found[#found + 1] = { line = node.line, message = words }
    end
  end)
  return found
end


return M
