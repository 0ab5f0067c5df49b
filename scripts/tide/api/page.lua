-- GET /: what this is, for whoever opens the address in a browser.

local host = require "tide.host"

local M = {}

local PAGE = [[
Tidegate %s

  POST /api/v1/integrations/{name}/{operation}   a call; the body is its input
  GET  /api/v1/integrations                      what there is
  GET  /api/v1/logs                              what was called
  GET  /api/v1/metrics                           what came of it, every five minutes
  GET  /api/v1/status                            the service itself
  GET  /health                                   for load balancers
  GET  /metrics                                  for Prometheus
  GET  /openapi.json                             all of it, for programs

All but /health and this page need a token: Authorization: Bearer ...
]]


local function get()
  return { status = 200, body = PAGE:format(host.version), type = "text/plain; charset=utf-8" }
end


M.routes = {
  { "GET", "/", needs = "none", handler = get, doc = {
    summary = "What this is, for people",
    answers = { [200] = { description = "A page.", type = "text/plain" } },
  } },
}


return M
