-- POST /api/v1/reload: reads the project's files again, now.

local errors = require "tide.errors"
local reload_request = require "tide.reload.request"
local shape = require "tide.api.shape"

local M = {}

local CHANGES = shape.list(shape.object({ name = "text" }, { version = "text", previous_version = "text" }))


-- What was done, { outcome, version, changed, added, removed, errors }. That a file does not load is said in it:
-- the request itself was carried out.
local function post(current)
  local result, message = reload_request.ask { actor = current.identity.name, trace_id = current.trace_id }
  if not result then
    return nil, errors.new("overloaded", message)
  end
  return { status = 200, json = { data = result } }
end


M.routes = {
  { "POST", "/api/v1/reload", needs = "operate", handler = post, doc = {
    summary = "Read the project's files again, now",
    description = "Files that do not load change nothing: `errors` says why.",
    answers = shape.data(shape.object({ outcome = shape.choice("ok", "partial", "failed", "unchanged") }, {
      version = "integer", changed = CHANGES, added = CHANGES, removed = CHANGES, errors = "texts",
      config_changed = "boolean",
    })),
    problems = { "overloaded" },
  } },
}


return M
