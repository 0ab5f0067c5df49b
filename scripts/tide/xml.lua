-- Documents of XML, read only: `docs/api/xml.lua`. An element is a plain table { name,
-- attributes, text, children }; what follows a path is a function, so that nothing hides in it.

local engine = require "tide.engine.xml"
local json = require "tide.json"

local M = {}

local MAX_STEPS = 100


local function check_options(options)
  if options == nil then
    return {}
  end
  if type(options) ~= "table" then
    error("xml.decode: the options are a table", 3)
  end
  local encoding, space = options.encoding, options.space
  if encoding ~= nil and type(encoding) ~= "string" then
    error("xml.decode: 'encoding' is the name of one, such as \"EUC-KR\"", 3)
  end
  if space ~= nil and space ~= "keep" then
    error("xml.decode: 'space' is \"keep\" or left out", 3)
  end
  return options
end


function M.decode(text, options)
  if type(text) ~= "string" then
    error("xml.decode expects a document as text, got " .. type(text), 2)
  end
  options = check_options(options)
  return engine.decode(text, options.encoding, options.space == "keep")
end


local function check_element(element, who)
  if type(element) ~= "table" or type(rawget(element, "children")) ~= "table" then
    error(who .. " expects an element, as xml.decode gives it", 3)
  end
end


-- The names of a path: "/a/b" -> { "a", "b", own = true }. Own: the first is the element's.
local function check_path(path, who)
  if type(path) ~= "string" then
    error(who .. " expects a path, such as \"body/items/item\"", 3)
  end
  local own = path:sub(1, 1) == "/"
  local steps = { own = own }
  for step in (own and path:sub(2) or path):gmatch("[^/]*") do
    if step == "" or #steps == MAX_STEPS then
      error(("%s: %q is no path"):format(who, path), 3)
    end
    steps[#steps + 1] = step
  end
  return steps
end


local function fits(element, step)
  return step == "*" or element.name == step
end


-- Calls `found` for what the steps from `i` on lead to, in the document's order, until it
-- returns true; whether it did.
local function walk(element, steps, i, found)
  local step = steps[i]
  if not step then
    return found(element)
  end
  for _, child in ipairs(element.children) do
    if fits(child, step) and walk(child, steps, i + 1, found) then
      return true
    end
  end
  return false
end


local function search(element, steps, found)
  if not steps.own then
    walk(element, steps, 1, found)
  elseif fits(element, steps[1]) then
    walk(element, steps, 2, found)
  end
end


local function first(element, steps)
  local result
  search(element, steps, function(one)
    result = one
    return true
  end)
  return result
end


function M.find(element, path)
  check_element(element, "xml.find")
  local steps = check_path(path, "xml.find")
  local list = json.array()
  search(element, steps, function(one)
    list[#list + 1] = one
    return false
  end)
  return list
end


function M.first(element, path)
  check_element(element, "xml.first")
  return first(element, check_path(path, "xml.first"))
end


function M.text(element, path)
  check_element(element, "xml.text")
  local found = first(element, check_path(path, "xml.text"))
  return found and found.text
end


function M.fields(element)
  check_element(element, "xml.fields")
  local fields = {}
  for _, child in ipairs(element.children) do
    if fields[child.name] == nil then
      fields[child.name] = child.text
    end
  end
  return fields
end


return M
