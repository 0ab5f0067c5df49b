-- GET /openapi.json: what the caller may use of this service, for programs that write clients.

local errors = require "tide.errors"
local openapi = require "tide.openapi"
local exchange = require "tide.api.exchange"
local unknown = require "tide.unknown"

local M = {}


local function is_known(text, etag)
  if not text then
    return false
  end
  for tag in text:gmatch("[^,%s]+") do
    if tag == "*" or tag:gsub("^W/", "") == etag then
      return true
    end
  end
  return false
end


-- The integration that the query names, nil for all; or nil and an error.
local function wanted(current)
  local query, err = current:query { integration = true }
  if not query then
    return nil, err
  end
  local name = query.integration
  if name then
    err = current:refuse_integration(name)
    if not err and not current.generation.integrations[name] then
      err = exchange.invalid("#/integration", unknown.integration_words(current.generation, name))
    end
  end
  return name, err
end


local function get(current)
  local only, err = wanted(current)
  if err then
    return nil, err
  end
  local generation = current.generation
  local groups = require("tide.api").groups -- here, as that requires this one
  local text, etag = openapi.render(generation, groups, openapi.view(generation, current.identity, only))
  if not text then
    return nil, errors.new("overloaded", etag)
  end
  local headers = { ETag = etag, ["Cache-Control"] = "private, no-cache" }
  if is_known(current.request:header("if-none-match"), etag) then
    return { status = 304, headers = headers }
  end
  return { status = 200, body = text, headers = headers }
end


M.routes = {
  { "GET", "/openapi.json", needs = "list", handler = get, doc = {
    summary = "This document: what the token may use",
    query = { { name = "integration", schema = { type = "string" }, description = "Only this integration's calls and "
      .. "webhooks." } },
    headers = { { name = "If-None-Match", schema = { type = "string" }, description = "The `ETag` of the last one." } },
    answers = {
      [200] = { description = "An OpenAPI 3.1 document.", schema = { type = "object" }, headers = { "ETag" } },
      [304] = { description = "It has not changed.", headers = { "ETag" } },
    },
    problems = { "overloaded" },
  } },
}


return M
