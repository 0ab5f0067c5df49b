-- `.reload`: reads the project's files again, now.

local columns = require "tide.columns"

local M = {}

M.summary = "read the project's files again, now"
M.usage = ".reload"


function M.fetch(session)
  return session.api:ask("POST", "/api/v1/reload").data
end


-- "acme c68e9b065de1 -> 3ace047e7628"; of one that was added or removed the one version.
local function change_text(entry)
  local versions = { entry.previous_version or entry.version }
  versions[2] = entry.previous_version and entry.version
  return entry.name .. " " .. table.concat(versions, " -> ")
end


function M.show(session, data)
  local rows = { { "outcome", data.outcome } }
  if data.version then
    rows[2] = { "version", ("%d"):format(data.version) }
  end
  for _, name in ipairs({ "changed", "added", "removed" }) do
    for _, entry in ipairs(data[name] or {}) do
      rows[#rows + 1] = { name, change_text(entry) }
    end
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  for _, fault in ipairs(data.errors or {}) do
    session:show(fault)
  end
end


return M
