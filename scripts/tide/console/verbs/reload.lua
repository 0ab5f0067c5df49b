-- `.reload`: reads the project's files again, now.

local columns = require "tide.columns"

local M = {}

M.summary = "read the project's files again, now"
M.usage = ".reload"


function M.fetch(session)
  return session.api:ask("POST", "/api/v1/reload").data
end


function M.show(session, data)
  local rows = { { "outcome", data.outcome } }
  if data.version then
    rows[2] = { "version", ("%d"):format(data.version) }
  end
  for _, name in ipairs({ "changed", "added", "removed" }) do
    if data[name] and #data[name] > 0 then
      rows[#rows + 1] = { name, table.concat(data[name], ", ") }
    end
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  for _, fault in ipairs(data.errors or {}) do
    session:show(fault)
  end
end


return M
