-- `.top`: what goes through the service, a screen a second, until cancelled.

local json = require "tide.json"
local statistics = require "tide.state.statistics"
local columns = require "tide.columns"
local metric_windows = require "tide.metric_windows"
local task = require "tide.task"
local time = require "tide.time"
local status_text = require "tide.status_text"
local plain_text = require "tide.console.plain_text"

local M = {}

M.summary = "what goes through the service, a screen a second, until Ctrl-C"
M.usage = ".top"

local INTERVAL_SECONDS = 1
-- What is shown of calls is of the last so many screens.
local SCREENS = 10
local ROWS = 30
local NAME_COLUMNS_MIN = 12
local CLEAR = "\27[H\27[J"

local GAUGES = {
  ["process_resident_memory_bytes"] = "resident_bytes",
  ['tidegate_webhook_events{status="pending"}'] = "pending",
  ['tidegate_webhook_events{status="processing"}'] = "processing",
  ['tidegate_webhook_events{status="failed"}'] = "failed",
}


-- What of the metrics is shown: gauges of the whole, and breaker and tokens by integration.
local function read_metrics(session)
  local found = { breakers = {}, tokens = {} }
  for name, value in session.api:ask("GET", "/metrics"):gmatch("([^\n# ]+) ([^\n]+)\n") do
    local integration, state = name:match('^tidegate_breaker_state{integration="([^"]*)",state="([^"]*)"}$')
    if integration and value == "1" then
      found.breakers[integration] = state
    end
    integration = name:match('^tidegate_rate_limit_tokens{integration="([^"]*)",window="minute"}$')
    if integration then
      found.tokens[integration] = math.floor(tonumber(value) or 0)
    end
    if name:find("^tidegate_lua_memory_bytes{") then
      found.lua_memory_bytes = (found.lua_memory_bytes or 0) + (tonumber(value) or 0)
    end
    if GAUGES[name] then
      found[GAUGES[name]] = tonumber(value)
    end
  end
  return found
end


local function take_snapshots(session)
  local shot = { at = time.monotonic(), by_name = {} }
  for name in pairs(session:generation().integrations) do
    shot.by_name[name] = statistics.snapshot(name)
  end
  return shot
end


local function row_of(name, shot, oldest, metrics)
  local before = oldest.by_name[name]
  local since = before and shot.by_name[name]:since(before) or shot.by_name[name]
  local summary = metric_windows.summarize(since)
  return {
    name = name, calls_per_second = summary.calls / math.max(shot.at - oldest.at, 0.001),
    p50_ms = summary.p50_ms, p95_ms = summary.p95_ms, error_rate = summary.error_rate,
    cache_hit_rate = summary.cache_hit_rate, breaker = metrics.breakers[name], tokens = metrics.tokens[name],
  }
end


local function rows_of(shots, metrics)
  local rows, shot = {}, shots[#shots]
  for name in pairs(shot.by_name) do
    rows[#rows + 1] = row_of(name, shot, shots[1], metrics)
  end
  table.sort(rows, function(left, right)
    if left.calls_per_second ~= right.calls_per_second then
      return left.calls_per_second > right.calls_per_second
    end
    return left.name < right.name
  end)
  return rows
end


local function number(format, value)
  return value and format:format(value) or "-"
end


local function percent(value)
  return value and ("%.1f %%"):format(value * 100) or "-"
end


-- Cuts names where a line has no room for them.
local function fit(lines, width)
  local widest, longest = 0, 0
  for line in columns.text(lines):gmatch("[^\n]+") do
    widest = math.max(widest, plain_text.width(line))
  end
  for _, line in ipairs(lines) do
    longest = math.max(longest, plain_text.width(line[1]))
  end
  local room = math.max(NAME_COLUMNS_MIN, longest - math.max(0, widest - width))
  for _, line in ipairs(lines) do
    line[1] = plain_text.fit(line[1], room)
  end
end


local function table_of(rows, width)
  local lines = { { "INTEGRATION", "CALLS/S", "P50 MS", "P95 MS", "ERRORS", "CACHED", "BREAKER", "TOKENS" } }
  for index = 1, math.min(#rows, ROWS) do
    local row = rows[index]
    lines[#lines + 1] = {
      row.name, ("%.1f"):format(row.calls_per_second), number("%.1f", row.p50_ms), number("%.1f", row.p95_ms),
      percent(row.error_rate), percent(row.cache_hit_rate), row.breaker or "-", number("%d", row.tokens),
    }
  end
  fit(lines, width)
  return columns.text(lines) .. (#rows > ROWS and ("… %d more\n"):format(#rows - ROWS) or "")
end


local function megabytes(bytes)
  return bytes and ("%.1f MB"):format(bytes / 2 ^ 20) or "-"
end


local function head_of(status, metrics)
  return table.concat {
    ("%s  up %s  workers %d  memory %s  Lua %s\n"):format(status.state,
      status_text.duration(status.uptime_seconds), status.workers, megabytes(metrics.resident_bytes),
      megabytes(metrics.lua_memory_bytes)),
    ("webhooks: pending %s, processing %s, failed %s\n\n"):format(number("%d", metrics.pending),
      number("%d", metrics.processing), number("%d", metrics.failed)),
  }
end


local function screen(session, shots, is_json)
  local metrics = read_metrics(session)
  local status = session.api:ask("GET", "/api/v1/status").data
  local rows = rows_of(shots, metrics)
  if is_json then
    return session:show(json.encode({ at = time.format(), integrations = json.array(rows) }, { canonical = true }))
  end
  if session.is_color then
    session:write(CLEAR)
  end
  session:show(head_of(status, metrics) .. table_of(rows, session.width))
end


function M.run(session, _, is_json)
  local shots = { take_snapshots(session) }
  while true do
    task.sleep(INTERVAL_SECONDS)
    shots[#shots + 1] = take_snapshots(session)
    if #shots > SCREENS then
      table.remove(shots, 1)
    end
    screen(session, shots, is_json)
  end
end


return M
