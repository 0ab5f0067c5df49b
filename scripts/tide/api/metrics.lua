-- GET /metrics: Prometheus text.

local breaker = require "tide.state.breaker"
local cache = require "tide.state.cache"
local counters = require "tide.state.counters"
local host = require "tide.host"
local log = require "tide.log"
local statistics = require "tide.state.statistics"
local store = require "tide.store"
local metrics_policies = require "tide.api.metrics_policies"

local M = {}

-- The name under which the main worker publishes when it started, in seconds since 1970.
M.STARTED = "started_at"


local function add(parts, name, kind, help, ...)
  parts[#parts + 1] = ("# HELP %s %s\n# TYPE %s %s\n"):format(name, help, name, kind)
  for _, sample in ipairs({ ... }) do
    parts[#parts + 1] = ("%s%s %.14g\n"):format(name, sample[1], sample[2])
  end
end


local function open_files_max()
  local limits = host.read_file("/proc/self/limits") or ""
  return tonumber(limits:match("\nMax open files%s+(%d+)")) or 0
end


-- What C keeps as sums is written out as it is: a cell for each worker would add it up.
local function render_process(parts)
  local process = host.process()
  local started = tonumber((host.published(M.STARTED))) or 0
  add(parts, "process_cpu_seconds_total", "counter", "CPU time of the process.", { "", process.cpu_seconds })
  add(parts, "process_resident_memory_bytes", "gauge", "Resident memory of the process.",
    { "", process.resident_bytes })
  add(parts, "process_open_fds", "gauge", "Open file descriptors.", { "", #(host.list("/proc/self/fd") or {}) })
  add(parts, "process_max_fds", "gauge", "Most file descriptors that the process may have open.",
    { "", open_files_max() })
  add(parts, "process_start_time_seconds", "gauge", "When the process started.", { "", started })
end


local function render_store(parts)
  local stats = store.stats()
  add(parts, "tidegate_store_commit_duration_seconds", "summary", "Time spent in commits.",
    { "_sum", stats.commit_seconds_sum }, { "_count", stats.commits })
  add(parts, "tidegate_store_waiting", "gauge", "Requests that wait for the store.", { "", stats.waiting })
  add(parts, "tidegate_store_queued_bytes", "gauge", "Rows that wait to be committed.", { "", stats.queued_bytes })
  add(parts, "tidegate_dropped_total", "counter", "What was given up because a bound was reached.",
    { '{what="call_log_rows"}', stats.dropped + stats.failed },
    { '{what="log_lines"}', log.stats().dropped },
    { '{what="breaker_changes"}', breaker.dropped() },
    { '{what="series"}', counters.dropped_series() },
    { '{what="statistics"}', statistics.refused() },
    { '{what="store_requests"}', stats.refused })
end


local function render_cache(parts)
  local stats = cache.stats()
  add(parts, "tidegate_cache_bytes", "gauge", "Memory that cached entries take.", { "", stats.bytes })
  add(parts, "tidegate_cache_max_bytes", "gauge", "Memory that they may take (cache_limit_mb).",
    { "", stats.max_bytes })
  add(parts, "tidegate_cache_entries", "gauge", "Cached entries.", { "", stats.entries })
  add(parts, "tidegate_cache_evictions_total", "counter", "Entries that made room for others.",
    { "", stats.evictions })
  add(parts, "tidegate_cache_refused_total", "counter", "Values not stored: too large, or older than a delete.",
    { "", stats.refused })
end


-- The samples without those of integrations that the caller may not know of.
local function visible(current, text)
  if not (current.identity and current.identity.integrations) then
    return text
  end
  return (text:gsub("[^\n]*\n", function(line)
    local name = line:match('integration="([^"]*)"')
    return name and not current:sees(name) and "" or nil
  end))
end


local function get(current)
  local policies = {}
  metrics_policies.render(policies, current.generation)
  local parts = { visible(current, counters.render()), visible(current, table.concat(policies)) }
  render_process(parts)
  render_store(parts)
  render_cache(parts)
  return { status = 200, body = table.concat(parts), type = "text/plain; version=0.0.4; charset=utf-8" }
end


M.routes = {
  { "GET", "/metrics", needs = "metrics", handler = get, doc = {
    summary = "Metrics for Prometheus",
    answers = { [200] = { description = "Text in the format of Prometheus.", type = "text/plain" } },
  } },
}


return M
