-- `.status`: the service itself.

local json = require "tide.json"
local columns = require "tide.columns"

local M = {}

M.summary = "the service itself"
M.usage = ".status"


function M.fetch(session)
  return session.api:ask("GET", "/api/v1/status").data
end


local function counts_of(statuses)
  local counts, names, parts = {}, {}, {}
  for _, status in pairs(statuses) do
    counts[status] = (counts[status] or 0) + 1
  end
  for status in pairs(counts) do
    names[#names + 1] = status
  end
  table.sort(names)
  for index, status in ipairs(names) do
    parts[index] = ("%d %s"):format(counts[status], status)
  end
  return #parts > 0 and table.concat(parts, ", ") or "none"
end


local function duration_text(seconds)
  local days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
  return ("%s%02d:%02d:%02d"):format(days > 0 and ("%d d "):format(days) or "", hours, minutes, seconds % 60)
end


function M.show(session, data)
  local store = data.store
  local rows = {
    { "version", data.version },
    { "state", data.state },
    { "pid", ("%d"):format(data.pid) },
    { "up", duration_text(data.uptime_seconds) },
    { "listens on", table.concat(data.listen, ", ") },
    { "workers", ("%d"):format(data.workers) },
    { "generation", ("%d"):format(data.generation.version) },
    { "integrations", counts_of(data.generation.integrations) },
    { "store", ("%d commits, %d rows, %d waiting, %d rows queued, %d dropped"):format(store.commits, store.rows,
      store.waiting, store.queued_rows, store.dropped) },
    { "memory", ("%.1f MB of Lua in worker %d, %d tasks"):format(data.worker.lua_memory_bytes / 2 ^ 20,
      data.worker.number, data.worker.tasks) },
  }
  if store.last_error ~= json.null then
    rows[#rows + 1] = { "store error", store.last_error }
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  for _, fault in ipairs(data.generation.errors) do
    session:show("not loaded: " .. fault)
  end
  for _, fault in ipairs(data.secrets.faults) do
    session:show(fault)
  end
end


return M
