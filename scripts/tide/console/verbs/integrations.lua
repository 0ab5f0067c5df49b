-- `.integrations`: what there is, and how it is.

local json = require "tide.json"
local columns = require "tide.columns"

local M = {}

M.summary = "the integrations, and how they are"
M.usage = ".integrations"


function M.fetch(session)
  local list, path = json.array(), "/api/v1/integrations?limit=500"
  local next_path = path
  while next_path do
    local answer = session.api:ask("GET", next_path)
    table.move(answer.data, 1, #answer.data, #list + 1, list)
    next_path = answer.next_cursor ~= json.null and path .. "&cursor=" .. answer.next_cursor or nil
  end
  return list
end


local function text_of(value)
  return value ~= json.null and tostring(value) or "-"
end


function M.show(session, list)
  if #list == 0 then
    return session:show("there are no integrations")
  end
  local rows = { { "NAME", "STATUS", "BREAKER", "VERSION", "MOCK", "OPERATIONS" } }
  for _, each in ipairs(list) do
    rows[#rows + 1] = { each.name, each.status, text_of(each.circuit_breaker_state), text_of(each.version),
      each.is_mock_mode and "yes" or "no", table.concat(each.operations, ", ") }
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  for _, each in ipairs(list) do
    if each.error ~= json.null then
      session:show(("%s: %s%s: %s"):format(each.name, each.error.file,
        each.error.line ~= json.null and ":" .. each.error.line or "", each.error.message))
    end
  end
end


return M
