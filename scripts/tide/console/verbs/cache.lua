-- `.cache NAME [OPERATION] [clear]`: what is kept of an integration's answers, and forgetting it.

local http = require "tide.http"
local columns = require "tide.columns"
local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "what is kept of an integration's answers, and forgetting it"
M.usage = ".cache NAME [OPERATION] [clear]"

local ORDER = { "operation", "entries", "bytes", "hits", "stale_hits", "negative_hits", "misses", "stores", "refused",
  "evictions", "deletes", "deleted" }


function M.fetch(session, arguments)
  local name, last = arguments[1], arguments[#arguments]
  local does_clear = #arguments > 1 and last == "clear"
  local operation = #arguments == (does_clear and 3 or 2) and arguments[2] or nil
  if not name or #arguments > (operation and 2 or 1) + (does_clear and 1 or 0) then
    verbs.misuse(M)
  end
  local path = inside.path("/api/v1/integrations/{}/cache", name)
  if operation then
    path = path .. "?" .. http.encode_query { operation = operation }
  end
  return session.api:ask(does_clear and "DELETE" or "GET", path).data
end


function M.show(session, data)
  local rows = {}
  for _, name in ipairs(ORDER) do
    if data[name] ~= nil then
      rows[#rows + 1] = { (name:gsub("_", " ")), tostring(data[name]) }
    end
  end
  session:show((columns.text(rows):gsub("\n$", "")))
end


function M.complete(session, arguments)
  if #arguments == 0 then
    return candidates.integrations(session)
  end
  local list = #arguments == 1 and candidates.operations(session, arguments[1]) or {}
  list[#list + 1] = "clear"
  return list
end


return M
