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


-- What has to be done about an integration: nil for nothing.
local function remark_on(each)
  local err = each.error
  if err ~= json.null then
    return ("%s%s: %s"):format(err.file, err.line ~= json.null and ":" .. err.line or "", err.message)
  end
  if #each.missing_secrets > 0 and not each.is_mock_mode then
    return ("missing: %s (tidegate secret set %s %s)"):format(table.concat(each.missing_secrets, ", "), each.name,
      each.missing_secrets[1])
  end
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
    local remark = remark_on(each)
    if remark then
      session:show(("%s: %s"):format(each.name, remark))
    end
  end
end


return M
