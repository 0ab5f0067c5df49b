-- The types that a key of the configuration can have: what was expected, and whether a
-- value is one. `check(value, key)` returns what is wrong, or nil.

local address = require "tide.address"
local json = require "tide.json"
local message = require "tide.message"
local view = require "tide.view"

local M = {}

local NAME_PATTERN = "^[a-z][a-z0-9_]*$"
local NAME_LENGTH = 50

--- What `is_name` asks for, in words.
M.NAME_RULE = "a lower-case letter, then letters, digits and _, at most 50"


--- Whether `name` can name an integration, an operation or a secret.
---@return boolean
function M.is_name(name)
  return type(name) == "string" and #name <= NAME_LENGTH and name:match(NAME_PATTERN) ~= nil
end


local function describe(value)
  if value == json.null then
    return "null"
  end
  if type(value) == "table" then
    return "a table"
  end
  if type(value) == "string" then
    -- A value can be a credential put in the wrong place: only its type is told.
    return "text"
  end
  if type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  end
  return message.article(type(value))
end


local function mismatch(expected, value)
  return ("expected %s, got %s"):format(expected, describe(value))
end


local function bounds(key)
  if key.min and key.max then
    return (" from %s to %s"):format(key.min, key.max)
  end
  if key.min then
    return " of at least " .. key.min
  end
  return key.max and " of at most " .. key.max or ""
end


local function out_of_bounds(value, key)
  return (key.min and value < key.min) or (key.max and value > key.max) or value ~= value
end


local function check_integer(value, key)
  local whole = type(value) == "number" and math.tointeger(value)
  if not whole or out_of_bounds(whole, key) then
    return mismatch("a whole number" .. bounds(key), value)
  end
end


local function check_number(value, key)
  if type(value) ~= "number" or out_of_bounds(value, key) or value == math.huge then
    return mismatch("a number" .. bounds(key), value)
  end
end


local function check_boolean(value)
  if type(value) ~= "boolean" then
    return mismatch("true or false", value)
  end
end


local function quoted(values)
  local list = {}
  for i, value in ipairs(values) do
    list[i] = '"' .. value .. '"'
  end
  return message.choice(list)
end


local function check_text(value, key)
  if type(value) ~= "string" then
    return mismatch(key.values and quoted(key.values) or "text", value)
  end
  if value:find("[%z\r\n]") then
    return "text must be on one line"
  end
  for _, allowed in ipairs(key.values or {}) do
    if value == allowed then
      return nil
    end
  end
  return key.values and "expected " .. quoted(key.values) .. ", got another text" or nil
end


local function is_list(value)
  if type(value) ~= "table" then
    return false
  end
  local count = 0
  for index in next, value do
    if math.type(index) ~= "integer" then
      return false
    end
    count = count + 1
  end
  return count == #value
end


local function check_list(value)
  if not is_list(value) then
    return mismatch("a list", value)
  end
end


local function list_of(expected, check_item)
  return function(value, key)
    if not is_list(value) then
      return mismatch(expected, value)
    end
    for position, item in ipairs(value) do
      local fault = check_item(item, key)
      if fault then
        return ("item %d: %s"):format(position, fault)
      end
    end
  end
end


local check_text_list = list_of("a list of texts", check_text)


local function check_network(value, key)
  local fault = check_text(value, key)
  if fault then
    return fault
  end
  return not address.networks({ value }) and "expected an address, or a network such as 10.0.0.0/8" or nil
end


local function check_text_or_list(value, key)
  if type(value) == "string" then
    return check_text(value, key)
  end
  if not is_list(value) or #value == 0 then
    return mismatch("text or a list of texts", value)
  end
  return check_text_list(value, key)
end


local function check_object(value)
  if type(value) ~= "table" or json.is_array(value) then
    return mismatch("a table", value)
  end
  for name in next, value do
    if type(name) ~= "string" then
      return "expected a table with named members, got a list"
    end
  end
  local text, err = json.encode(view.plain(value))
  return not text and "cannot be written as JSON: " .. message.clean(err, 200) or nil
end


local function check_workers(value, key)
  if value == "auto" then
    return nil
  end
  if check_integer(value, key) then
    return mismatch('"auto" or a whole number' .. bounds(key), value)
  end
end


local function check_url_of(schemes)
  return function(value)
    if type(value) ~= "string" then
      return mismatch("a URL", value)
    end
    local scheme, authority = value:match("^([%a][%w+.-]*)://([^/?#]+)")
    if not scheme or value:find("[%s%c]") then
      return "expected a URL such as https://api.example.com"
    end
    if not schemes[scheme:lower()] then
      return ("a URL of scheme %s cannot be used here"):format(message.clean(scheme, 20))
    end
    if authority:find("@", 1, true) then
      return "credentials do not belong in a URL: declare a secret"
    end
  end
end


local check_url = check_url_of({ http = true, https = true })
local check_one_base_url = check_url_of({ http = true, https = true, smtp = true, smtps = true })
local check_base_url_list = list_of("a URL or a list of URLs", check_one_base_url)


local function check_base_url(value, key)
  if type(value) == "table" then
    return #value == 0 and mismatch("a URL or a list of URLs", value)
      or check_base_url_list(value, key)
  end
  return check_one_base_url(value)
end


local function check_name(value)
  if not M.is_name(value) then
    return "expected a name: " .. M.NAME_RULE
  end
end


local function check_tls(value)
  if type(value) ~= "table" then
    return mismatch("{ certificate = FILE, key = FILE }", value)
  end
  for name, file in next, value do
    if (name ~= "certificate" and name ~= "key") or type(file) ~= "string" then
      return "expected { certificate = FILE, key = FILE }"
    end
  end
  return (not value.certificate or not value.key) and "expected both certificate and key" or nil
end


local function check_table(value)
  if type(value) ~= "table" then
    return mismatch("a table", value)
  end
end


M.types = {
  text = { label = "text", check = check_text },
  integer = { label = "whole number", check = check_integer },
  number = { label = "number", check = check_number },
  boolean = { label = "boolean", check = check_boolean },
  object = { label = "table", check = check_object, json = true },
  list = { label = "list", check = check_list, json = true },
  text_list = { label = "list of texts", check = check_text_list, json = true },
  network_list = { label = "list of texts", check = list_of("a list of texts", check_network), json = true },
  number_list = { label = "list of numbers", check = list_of("a list of numbers", check_number),
    json = true },
  text_or_list = { label = "text or list", check = check_text_or_list, json = "maybe" },
  workers = { label = "\"auto\" or whole number", check = check_workers },
  url = { label = "URL", check = check_url },
  base_url = { label = "URL or list", check = check_base_url, json = "maybe" },
  name = { label = "name", check = check_name },
  tls = { label = "table", check = check_tls, json = true },
  integration = { label = "table of integration keys", check = check_table, json = true },
  integrations = { label = "table by integration", check = check_table, json = true },
}


--- What is wrong with `value` for `key`, or nil.
---@return string|nil
function M.fault(key, value)
  return M.types[key.type].check(value, key)
end


local BOOLEANS = { ["true"] = true, ["1"] = true, yes = true, on = true,
  ["false"] = false, ["0"] = false, no = false, off = false }


local function parse_json(text)
  local value, err = json.decode(text)
  if value == nil then
    return nil, "expected JSON: " .. message.clean(err, 200)
  end
  return value
end


-- The value that `text` writes, before it is checked.
local function read(key, text)
  local kind = M.types[key.type]
  if kind.json == true or (kind.json == "maybe" and text:match("^%s*%[")) then
    return parse_json(text)
  end
  if key.type == "boolean" then
    return BOOLEANS[text:lower()]
  end
  if key.type == "integer" or key.type == "number"
    or (key.type == "workers" and text ~= "auto") then
    -- As JSON writes numbers: no hexadecimal, no infinities, no white space.
    return text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*$") and tonumber(text) or nil
  end
  return text
end


--- The value of `key` that a text (of the environment) writes.
---@return any|nil value, string? fault
function M.parse(key, text)
  local value, err = read(key, text)
  if value == nil then
    return nil, err or M.fault(key, json.null):gsub(", got null$", "")
  end
  local fault = M.fault(key, value)
  if fault then
    return nil, fault
  end
  if key.type == "integer" then
    value = math.tointeger(value)
  end
  return value
end


return M
