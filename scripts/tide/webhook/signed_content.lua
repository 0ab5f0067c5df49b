-- What a sender signs, as a template: "{timestamp}.{body}".

local suggest = require "tide.suggest"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.PLACEHOLDERS = { timestamp = true, body = true, id = true, method = true, path = true, url = true }


-- The parts of a template, each a text or { name }.
local function parts_of(template)
  local parts, start = {}, 1
  while start <= #template do
    local first, last, name = template:find("{([%a_]+)}", start)
    if first ~= start then
      parts[#parts + 1] = template:sub(start, (first or 0) - 1)
    end
    if not first then
      break
    end
    parts[#parts + 1] = { name }
    start = last + 1
  end
  return parts
end


-- Which placeholders a template has, by name.
function M.names(template)
  local names = {}
  for name in template:gmatch("{([%a_]+)}") do
    names[name] = true
  end
  return names
end


-- What is wrong with a template; nil when nothing is.
function M.fault(template)
  local names = M.names(template)
  for name in pairs(names) do
    if not M.PLACEHOLDERS[name] then
      return ("has no placeholder {%s}%s"):format(name, suggest.hint(name, M.PLACEHOLDERS))
    end
  end
  return not names.body and "must have {body}: what is not signed could be changed" or nil
end


-- The function that reads time-stamps of a template. Where something follows without anything between,
-- digits of it could be taken for milliseconds, and the rest would pass as signed: seconds alone are read.
function M.time_reader(template)
  return template:find("{timestamp}{", 1, true) and timestamp.seconds or timestamp.any
end


-- The texts that stand beside {id} in a template: an id that has one of them could end elsewhere, and what
-- follows with it. A list.
function M.borders_of_id(template)
  local borders, parts = {}, parts_of(template)
  for index, part in ipairs(parts) do
    if type(part) == "table" and part[1] == "id" then
      for _, beside in ipairs({ parts[index - 1] or false, parts[index + 1] or false }) do
        borders[#borders + 1] = type(beside) == "string" and beside or nil
      end
    end
  end
  return borders
end


-- `function(request, stamp, id)` that gives the bytes.
function M.compile(template)
  if template == "{body}" then
    return function(request) return request.body end
  end
  local parts = parts_of(template)
  return function(request, stamp, id)
    local values = {}
    for index = 1, #parts do
      local part = parts[index]
      if type(part) == "table" then
        local name = part[1]
        part = name == "timestamp" and stamp or name == "id" and id or request[name] or ""
      end
      values[index] = part
    end
    return table.concat(values)
  end
end


return M
