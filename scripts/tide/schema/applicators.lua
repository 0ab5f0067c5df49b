-- The keywords of JSON Schema 2020-12 that hold other schemas. Several work together
-- (`properties` with `additionalProperties`), so each group is built from the definition.

local suggest = require "tide.suggest"
local view = require "tide.view"
local sorted = require "tide.sorted"

local M = {}


-- Members ---------------------------------------------------------------------------------------


local function compile_properties(compiler, definition, path)
  local nodes, names = {}, {}
  local properties = definition.properties
  if properties == nil then
    return nodes, names
  end
  path = compiler:step(path, "properties")
  for _, name in ipairs(compiler:sorted_keys(properties, path)) do
    names[#names + 1] = name
    nodes[name] = compiler:node(properties[name], compiler:step(path, name))
  end
  return nodes, names
end


local function compile_patterns(compiler, definition, path)
  local list = {}
  local patterns = definition.patternProperties
  if patterns == nil then
    return list
  end
  path = compiler:step(path, "patternProperties")
  for _, text in ipairs(compiler:sorted_keys(patterns, path)) do
    local below = compiler:step(path, text)
    list[#list + 1] = { regex = compiler:regex(text, below),
      node = compiler:node(patterns[text], below) }
  end
  return list
end


local function fill_defaults(members, nodes, names)
  for _, name in ipairs(names) do
    local default = nodes[name].default
    if default ~= nil and members[name] == nil then
      members[name] = view.copy(default)
    end
  end
end


-- Whether a pattern takes the member; applies its schema when one does.
local function apply_patterns(patterns, members, name, run, level)
  local taken = false
  for _, entry in ipairs(patterns) do
    if entry.regex:test(name) then
      taken = true
      run:apply_member(entry.node, members, name, level)
    end
  end
  return taken
end


local function refuse_unknown(known, name, run, level)
  run:report_member(level, name, "is not a known field" .. suggest.hint(name, known))
end


--- `properties`, `patternProperties`, `additionalProperties`. `closed` lists the names known at the
--- top, where other members are refused unless the schema says otherwise.
function M.members(compiler, definition, path, closed)
  local nodes, names = compile_properties(compiler, definition, path)
  local patterns = compile_patterns(compiler, definition, path)
  local additional
  if definition.additionalProperties ~= nil then
    additional = compiler:node(definition.additionalProperties,
      compiler:step(path, "additionalProperties"))
  end
  local strict = (additional and additional.never) or (not additional and closed)
  local known = closed or nodes
  local walks = strict or additional or #patterns > 0
  return "object", function(members, run, level)
    if run.fill then
      fill_defaults(members, nodes, names)
    end
    for _, name in ipairs(names) do
      if members[name] ~= nil then
        run:apply_member(nodes[name], members, name, level)
      end
    end
    for _, name in ipairs(walks and sorted.keys(members) or {}) do
      local taken = apply_patterns(patterns, members, name, run, level)
      if not taken and not nodes[name] then
        if strict and not known[name] then
          refuse_unknown(known, name, run, level)
        elseif additional and not strict then
          run:apply_member(additional, members, name, level)
        end
      end
    end
  end
end


--- `required`. A member with a default is never missing.
function M.required(compiler, definition, path)
  path = compiler:step(path, "required")
  compiler:check_names(definition.required, path)
  local needed = {}
  for _, name in ipairs(definition.required) do
    local property = type(definition.properties) == "table" and definition.properties[name]
    if type(property) ~= "table" or property.default == nil then
      needed[#needed + 1] = name
    end
  end
  return "object", function(members, run, level)
    for _, name in ipairs(needed) do
      if members[name] == nil then
        run:report_member(level, name, "is required")
      end
    end
  end
end


function M.property_names(compiler, definition, path)
  local node = compiler:node(definition.propertyNames, compiler:step(path, "propertyNames"))
  return "object", function(members, run, level)
    for _, name in ipairs(sorted.keys(members)) do
      if not run:satisfies(node, name, level) then
        run:report_member(level, name, "is not a name that is allowed here")
      end
    end
  end
end


function M.dependent_schemas(compiler, definition, path)
  path = compiler:step(path, "dependentSchemas")
  local names = compiler:sorted_keys(definition.dependentSchemas, path)
  local nodes = {}
  for _, name in ipairs(names) do
    nodes[name] = compiler:node(definition.dependentSchemas[name], compiler:step(path, name))
  end
  return "object", function(members, run, level)
    local value = members
    for _, name in ipairs(names) do
      if members[name] ~= nil then
        value = run:apply(nodes[name], value, level)
      end
    end
    return value
  end
end


-- Lists -----------------------------------------------------------------------------------------


--- `prefixItems` and `items`.
function M.items(compiler, definition, path)
  local prefix = {}
  if definition.prefixItems ~= nil then
    prefix = compiler:nodes(definition.prefixItems, compiler:step(path, "prefixItems"))
  end
  local rest = definition.items ~= nil and compiler:node(definition.items,
    compiler:step(path, "items")) or nil
  return "array", function(list, run, level)
    for position = 1, #list do
      local node = prefix[position] or rest
      if node then
        run:apply_member(node, list, position, level)
      end
      if run:is_over() then
        return
      end
    end
  end
end


local function limit_of(compiler, definition, name, path)
  local limit = definition[name]
  if limit ~= nil and (type(limit) ~= "number" or limit < 0 or limit ~= math.floor(limit)) then
    compiler:fail(compiler:step(path, name), "must be a whole number of at least 0")
  end
  return limit
end


--- `contains`, `minContains`, `maxContains`.
function M.contains(compiler, definition, path)
  local node = compiler:node(definition.contains, compiler:step(path, "contains"))
  local least = limit_of(compiler, definition, "minContains", path) or 1
  local most = limit_of(compiler, definition, "maxContains", path) or math.huge
  return "array", function(list, run, level)
    local count = 0
    for _, item in ipairs(list) do
      if run:satisfies(node, item, level) then
        count = count + 1
      end
    end
    if count < least then
      run:report(level, ("must hold at least %d of the wanted items"):format(least))
    elseif count > most then
      run:report(level, ("must hold at most %d of those items"):format(most))
    end
  end
end


-- Combinations ----------------------------------------------------------------------------------


function M.all_of(compiler, definition, path)
  local nodes = compiler:nodes(definition.allOf, compiler:step(path, "allOf"))
  return nil, function(value, run, level)
    for _, node in ipairs(nodes) do
      value = run:apply(node, value, level)
    end
    return value
  end
end


-- The branches that hold; each is then applied for good, so that its defaults are filled in.
local function holding(nodes, value, run, level)
  local list = {}
  for _, node in ipairs(nodes) do
    if run:satisfies(node, value, level) then
      list[#list + 1] = node
    end
  end
  return list
end


local function settle(node, value, run, level)
  if run.fill then
    return run:apply(node, value, level)
  end
  return value
end


function M.any_of(compiler, definition, path)
  local nodes = compiler:nodes(definition.anyOf, compiler:step(path, "anyOf"))
  return nil, function(value, run, level)
    local list = holding(nodes, value, run, level)
    if #list == 0 then
      if #nodes == 1 then
        return run:apply(nodes[1], value, level)
      end
      run:report(level, "fits none of the forms that are allowed here")
      return nil
    end
    return settle(list[1], value, run, level)
  end
end


function M.one_of(compiler, definition, path)
  local nodes = compiler:nodes(definition.oneOf, compiler:step(path, "oneOf"))
  return nil, function(value, run, level)
    local list = holding(nodes, value, run, level)
    if #list == 1 then
      return settle(list[1], value, run, level)
    end
    run:report(level, #list == 0 and "fits none of the forms that are allowed here"
      or ("fits %d of the forms, and must fit exactly one"):format(#list))
    return nil
  end
end


function M.negation(compiler, definition, path)
  local node = compiler:node(definition["not"], compiler:step(path, "not"))
  return nil, function(value, run, level)
    if run:satisfies(node, value, level) then
      run:report(level, "has a form that is not allowed here")
    end
  end
end


function M.condition(compiler, definition, path)
  local test = compiler:node(definition["if"], compiler:step(path, "if"))
  local yes = definition["then"] ~= nil and compiler:node(definition["then"],
    compiler:step(path, "then")) or nil
  local no = definition["else"] ~= nil and compiler:node(definition["else"],
    compiler:step(path, "else")) or nil
  return nil, function(value, run, level)
    if run:satisfies(test, value, level) then
      value = settle(test, value, run, level)
      return yes and run:apply(yes, value, level) or value
    end
    if no then
      return run:apply(no, value, level)
    end
    return nil
  end
end


-- In the order in which they run: what fills in defaults before what counts members.
M.groups = {
  { keywords = { "properties", "patternProperties", "additionalProperties" }, build = M.members,
    always_at_top = true },
  { keywords = { "required" }, build = M.required },
  { keywords = { "propertyNames" }, build = M.property_names },
  { keywords = { "dependentSchemas" }, build = M.dependent_schemas },
  { keywords = { "prefixItems", "items" }, build = M.items },
  { keywords = { "contains" }, build = M.contains },
  { keywords = { "allOf" }, build = M.all_of },
  { keywords = { "anyOf" }, build = M.any_of },
  { keywords = { "oneOf" }, build = M.one_of },
  { keywords = { "not" }, build = M.negation },
  { keywords = { "if" }, build = M.condition },
}


return M
