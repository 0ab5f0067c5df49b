-- GET /api/v1/metrics: the stored windows of integration_metrics, newest first.

local json = require "tide.json"
local metric_windows = require "tide.metric_windows"
local search = require "tide.api.search"
local shape = require "tide.api.shape"

local M = {}

local SEARCH = search.new(
  "SELECT " .. table.concat(metric_windows.COLUMNS, ", ") .. " FROM integration_metrics", {
    { "integration", "integration_name =", search.text },
    { "from", "id >=", search.time },
    { "to", "id <", search.time },
  })


local function show(row)
  for _, name in ipairs(metric_windows.COLUMNS) do
    if row[name] == nil then
      row[name] = json.null
    end
  end
end


local function list(current)
  return SEARCH:answer(current, show)
end


M.routes = {
  { "GET", "/api/v1/metrics", needs = "read", handler = list, doc = {
    summary = "What came of the calls, every five minutes, newest first",
    query = SEARCH:describe(),
    answers = shape.page(shape.object {
      id = "uuid", created_at = "time", integration_name = "text", metric_timestamp = "time",
      window_minutes = "integer", total_calls = "integer", successful_calls = "integer", failed_calls = "integer",
      cached_calls = "integer", avg_response_time = "number?", p50_response_time = "number?",
      p95_response_time = "number?", p99_response_time = "number?", max_response_time = "number?",
      error_rate = "number?", timeout_count = "integer", circuit_breaker_open_count = "integer",
      rate_limited_count = "integer", cache_hit_rate = "number?",
    }),
    problems = { "unavailable" },
  } },
}


return M
