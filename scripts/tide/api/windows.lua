-- GET /api/v1/metrics: the stored windows of integration_metrics, newest first.

local json = require "tide.json"
local metric_windows = require "tide.metric_windows"
local search = require "tide.api.search"

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
  { "GET", "/api/v1/metrics", needs = "read", handler = list },
}


return M
