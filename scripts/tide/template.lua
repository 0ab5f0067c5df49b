-- Text with values put in, for mails and messages: `docs/api/template.lua`. A template holds no
-- code: names, conditions and lists. Values are looked into without their metatables.

local json = require "tide.json"
local parser = require "tide.template.parser"
local view = require "tide.view"

local M = {}

local MAX_RESULT_BYTES = 8 * 1024 * 1024
local PARTS = 1024

local HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }


-- How a value becomes part of the text: text, or nil and why not.
local ESCAPES = {
  html = function(text) return (text:gsub("[&<>\"']", HTML)) end,
  none = function(text) return text end,
  header = function(text)
    if text:find("[\r\n%z]") then
      return nil, "holds a line break"
    end
    return text
  end,
}


-- Collects the result; pieces are joined in portions, as a table of millions takes much memory.
local Writer = {}
Writer.__index = Writer


local function new_writer()
  return setmetatable({ bytes = 0, parts = {}, portions = {} }, Writer)
end


-- Nothing, or message and code.
function Writer:add(text)
  self.bytes = self.bytes + #text
  if self.bytes > MAX_RESULT_BYTES then
    return ("the result passes %d bytes"):format(MAX_RESULT_BYTES), "too_large"
  end
  local parts = self.parts
  parts[#parts + 1] = text
  if #parts == PARTS then
    self.portions[#self.portions + 1] = table.concat(parts)
    self.parts = {}
  end
end


function Writer:result()
  return table.concat(self.portions) .. table.concat(self.parts)
end


-- What a path leads to; nil when it leads nowhere, or to null.
local function look_up(path, scope)
  local value = path[1] == "this" and scope.this
  local first = path[1] == "this" and 2 or 1
  if first == 1 then
    value = scope.values
  end
  for i = first, #path do
    if type(value) ~= "table" then
      return nil
    end
    value = rawget(value, path[i])
  end
  if value == json.null then
    return nil
  end
  return value
end


-- Of a whole float without its fraction: amounts come out of divisions.
local function text_of(value)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "number" then
    return nil, "is a " .. kind .. ", not text"
  elseif value ~= value or value == math.huge or value == -math.huge then
    return nil, "is no finite number"
  end
  local whole = math.tointeger(value)
  return whole and tostring(whole) or ("%.14g"):format(value)
end


local function fault(node, words, code)
  local braces = node.kind == "value" and "{{%s}}" or "{{#" .. node.kind .. " %s}}"
  return ("line %d: " .. braces .. " %s"):format(node.line, node.name, words), code
end


local function missing(node, options)
  if options.missing == "error" then
    return fault(node, "has no value", "missing_value")
  end
end


local render


local function render_value(node, scope, writer, options)
  local value = look_up(node.path, scope)
  if value == nil then
    return missing(node, options)
  end
  local text, why = text_of(value)
  -- Before it is escaped: that makes it up to six times as long.
  if text and #text > MAX_RESULT_BYTES then
    return fault(node, "is too long", "too_large")
  end
  if text and not (node.raw and options.escape == "html") then
    text, why = ESCAPES[options.escape](text)
  end
  if not text then
    return fault(node, why, "invalid_value")
  end
  return writer:add(text)
end


local function is_true(value)
  return value and value ~= "" and not (type(value) == "table" and next(value) == nil)
end


local function render_if(node, scope, writer, options)
  local branch = is_true(look_up(node.path, scope)) and node.body or node.otherwise
  return render(branch or {}, scope, writer, options)
end


local function render_each(node, scope, writer, options)
  local list = look_up(node.path, scope)
  if list == nil and options.missing == "error" then
    return missing(node, options)
  end
  list = list == nil and {} or list
  if type(list) ~= "table" or rawlen(list) == 0 and next(list) ~= nil then
    return fault(node, "is no list", "invalid_value")
  end
  for i = 1, rawlen(list) do
    local inner = { values = scope.values, this = rawget(list, i) }
    local err, code = render(node.body, inner, writer, options)
    if err then
      return err, code
    end
  end
  if rawlen(list) == 0 then
    return render(node.otherwise or {}, scope, writer, options)
  end
end


local RENDER = {
  text = function(node, _, writer) return writer:add(node.text) end,
  value = render_value,
  ["if"] = render_if,
  each = render_each,
}


-- Nothing, or message and code: not raised, so that a stop of the script goes through unseen.
render = function(nodes, scope, writer, options)
  for _, node in ipairs(nodes) do
    local err, code = RENDER[node.kind](node, scope, writer, options)
    if err then
      return err, code
    end
  end
end


local function check_options(options, who)
  if options ~= nil and type(options) ~= "table" then
    error(who .. ": the options are a table", 3)
  end
  options = options or {}
  local escape, absent = options.escape or "html", options.missing or "error"
  if not ESCAPES[escape] then
    error(who .. ": 'escape' is \"html\", \"header\" or \"none\"", 3)
  end
  if absent ~= "error" and absent ~= "empty" then
    error(who .. ": 'missing' is \"error\" or \"empty\"", 3)
  end
  return { escape = escape, missing = absent }
end


local function check_text(text, who)
  if type(text) ~= "string" then
    error(who .. " expects a template as text, got " .. type(text), 3)
  end
end


local function check_values(values)
  if values ~= nil and type(values) ~= "table" then
    error("the values of a template are a table, got " .. type(values), 3)
  end
  return values or {}
end


local function run(tree, values, options)
  values = view.plain(values)
  local writer = new_writer()
  local err, code = render(tree, { values = values, this = values }, writer, options)
  if err then
    return nil, err, code
  end
  return writer:result()
end


function M.compile(text, options)
  check_text(text, "template.compile")
  options = check_options(options, "template.compile")
  local tree, err, code = parser.parse(text)
  if not tree then
    return nil, err, code
  end
  return function(values)
    return run(tree, check_values(values), options)
  end
end


function M.render(text, values, options)
  check_text(text, "template.render")
  options = check_options(options, "template.render")
  values = check_values(values)
  local tree, err, code = parser.parse(text)
  if not tree then
    return nil, err, code
  end
  return run(tree, values, options)
end


return M
