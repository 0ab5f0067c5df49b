-- The body of a webhook as its handlers see it: JSON or a form, decoded.

local http = require "tide.http"
local json = require "tide.json"

local M = {}

local ABSENT = { null = "absent" }
local FORM = "application/x-www-form-urlencoded"
-- What decode_query takes.
local FORM_BYTES_MAX = 1024 * 1024


-- The options of a decoder that wants some members, kept as long as the table of their names lives.
local kept_options = setmetatable({}, { __mode = "k" })

local function options_of(only)
  local options = kept_options[only]
  if not options then
    options = { null = "absent", only = only }
    kept_options[only] = options
  end
  return options
end


local function essence_of(content_type)
  return content_type and content_type:match("^%s*([^;%s]+)") or ""
end


-- What is expected to be JSON: it says so, or nothing.
local function is_json(essence)
  return essence == "" or essence == "application/json" or essence:match("^application/[%w.-]+%+json$") ~= nil
end


local function decode_form(body)
  if #body > FORM_BYTES_MAX then
    return nil, "it is longer than 1 MiB"
  end
  return http.decode_query(body)
end


-- The payload, and whether it was JSON; with `only`, a table of names, of an object no more than these
-- members. A body of another type that is no JSON is left to the handler:
-- nil and false. nil, false and a message when it claims to be what it is not.
function M.decode(body, content_type, only)
  local essence = content_type == "application/json" and content_type or essence_of(content_type):lower()
  if essence == FORM then
    local form, message = decode_form(body)
    return form, false, message and "the body is not a form: " .. message
  end
  local payload, message = json.decode(body, only and options_of(only) or ABSENT)
  if message == nil then
    return payload, true
  end
  return nil, false, is_json(essence) and "the body is not JSON: " .. message or nil
end


return M
