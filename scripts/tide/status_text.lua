-- The state of the service, as GET /api/v1/status gives it, laid out for people.

local json = require "tide.json"
local columns = require "tide.columns"
local message = require "tide.message"
local sorted = require "tide.sorted"

local M = {}


--- "3 d 07:15:00"
---@param seconds integer
---@return string
function M.duration(seconds)
  local days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
  return ("%s%02d:%02d:%02d"):format(days > 0 and ("%d d "):format(days) or "", hours, minutes, seconds % 60)
end


local function counts_of(statuses)
  local counts, parts = {}, {}
  for _, status in pairs(statuses) do
    counts[status] = (counts[status] or 0) + 1
  end
  for index, status in ipairs(sorted.names(counts)) do
    parts[index] = ("%d %s"):format(counts[status], status)
  end
  return #parts > 0 and table.concat(parts, ", ") or "none"
end


local function facts_of(data)
  local store = data.store
  local rows = {
    { "version", data.version },
    { "state", data.state },
    { "pid", ("%d"):format(data.pid) },
    { "up", ("%s, since %s"):format(M.duration(data.uptime_seconds), data.started_at) },
    { "listens on", #data.listen > 0 and table.concat(data.listen, ", ") or "no address" },
    { "workers", ("%d"):format(data.workers) },
    { "generation", ("%d"):format(data.generation.version) },
    { "integrations", counts_of(data.generation.integrations) },
    { "store", ("%d commits, %d rows, %d waiting, %d rows queued, %d dropped"):format(store.commits, store.rows,
      store.waiting, store.queued_rows, store.dropped) },
    { "memory", ("%.1f MB of Lua in worker %d, %d tasks"):format(data.worker.lua_memory_bytes / 2 ^ 20,
      data.worker.number, data.worker.tasks) },
  }
  if store.last_error ~= json.null then
    rows[#rows + 1] = { "store error", message.clean(store.last_error) }
  end
  if not data.watch.enabled then
    rows[#rows + 1] = { "watch", "off: files are read at tidegate reload" }
  end
  for _, polled in ipairs(data.watch.enabled and data.watch.polled or {}) do
    rows[#rows + 1] = { "polled", message.clean(("%s: %s"):format(polled.folder, polled.reason)) }
  end
  return columns.text(rows)
end


local function text_of(value)
  return value ~= nil and value ~= json.null and tostring(value) or "-"
end


-- Each integration: which version serves, and since when.
local function integrations_of(generation)
  local rows = { { "INTEGRATION", "STATUS", "VERSION", "SINCE" } }
  for _, name in ipairs(sorted.names(generation.integrations)) do
    local version = generation.versions[name] or {}
    rows[#rows + 1] = { name, generation.integrations[name], text_of(version.version), text_of(version.loaded_at) }
  end
  return #rows > 1 and "\n" .. columns.text(rows) or ""
end


local function add_faults(parts, faults)
  for _, fault in ipairs(faults) do
    parts[#parts + 1] = "fault: " .. message.clean(fault) .. "\n"
  end
end


--- The whole, with a line for each fault at its end.
---@param data table
---@return string
function M.text(data)
  local parts = { facts_of(data), integrations_of(data.generation) }
  local faults = {}
  add_faults(faults, data.generation.errors)
  add_faults(faults, data.secrets.faults)
  if #faults > 0 then
    parts[#parts + 1] = "\n" .. table.concat(faults)
  end
  return table.concat(parts)
end


return M
