-- `.tail [integration=… operation=… error_type=… success=false]`: calls as they are recorded, until cancelled.

local http = require "tide.http"
local json = require "tide.json"
local redact = require "tide.redact"
local task = require "tide.task"
local candidates = require "tide.console.candidates"
local plain_text = require "tide.console.plain_text"
local values = require "tide.console.values"

local M = {}

M.summary = "calls as they come, until Ctrl-C"
M.usage = ".tail [integration=… operation=… caller=… error_type=… success=false]"

local POLL_SECONDS = 0.5
-- Calls of half a second that are shown.
local ROWS = 200


local function text_of(value)
  return value ~= nil and value ~= json.null and tostring(value) or nil
end


local function outcome_of(row)
  if not row.is_success then
    return text_of(row.error_type) or "failed"
  end
  return row.is_stale and "stale" or row.is_fallback and "fallback" or row.is_from_cache and "cached" or "ok"
end


local function line_of(row)
  local parts = {
    row.created_at:match("T([%d:.]+)") or row.created_at,
    ("%s.%s"):format(row.integration_name, text_of(row.operation) or "-"),
    outcome_of(row),
    ("%d ms"):format(math.floor((tonumber(row.duration_ms) or 0) + 0.5)),
    row.is_mock and "mock" or nil,
  }
  for _, name in ipairs({ "response_status", "caller", "error_message" }) do
    parts[#parts + 1] = text_of(row[name])
  end
  return table.concat(parts, "  ")
end


local function show(session, row, is_json)
  if is_json then
    return session:show(assert(json.encode(redact.value(row), { canonical = true })))
  end
  session:write(plain_text.fit(plain_text.safe(redact.text(line_of(row))), session.width) .. "\n")
end


-- Shows the rows of a page, newest first, that are not in the page before; its ids.
local function show_new(session, rows, seen, is_json)
  local ids, fresh = {}, {}
  for _, row in ipairs(rows) do
    ids[row.id] = true
    if seen and not seen[row.id] then
      fresh[#fresh + 1] = row
    end
  end
  if #fresh == ROWS then
    session:show("… there were more calls than are shown")
  end
  for index = #fresh, 1, -1 do
    show(session, fresh[index], is_json)
  end
  return ids
end


function M.run(session, arguments, is_json)
  local query = values.read(arguments, 1)
  query.limit = tostring(ROWS)
  local path, seen = "/api/v1/logs?" .. http.encode_query(query), nil
  while true do
    seen = show_new(session, session.api:ask("GET", path).data, seen, is_json)
    task.sleep(POLL_SECONDS)
  end
end


function M.complete(session, arguments)
  local list = { "caller=", "error_type=", "integration=", "operation=", "success=false", "success=true" }
  for _, name in ipairs(#arguments == 0 and candidates.integrations(session) or {}) do
    list[#list + 1] = "integration=" .. name
  end
  return list
end


return M
