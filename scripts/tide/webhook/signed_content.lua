-- What a sender signs, as a template: "{timestamp}.{body}".

local suggest = require "tide.suggest"

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


-- `function(request, timestamp, id)` that gives the bytes.
function M.compile(template)
  if template == "{body}" then
    return function(request) return request.body end
  end
  local parts = parts_of(template)
  return function(request, timestamp, id)
    local values = {}
    for index = 1, #parts do
      local part = parts[index]
      if type(part) == "table" then
        local name = part[1]
        part = name == "timestamp" and timestamp or name == "id" and id or request[name] or ""
      end
      values[index] = part
    end
    return table.concat(values)
  end
end


return M
