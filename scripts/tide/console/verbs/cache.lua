-- `.cache NAME [OPERATION] [keys | clear]`: what is kept of an integration's answers, and forgetting it.

local http = require "tide.http"
local columns = require "tide.columns"
local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local plain_text = require "tide.console.plain_text"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "what is kept of an integration's answers, and forgetting it"
M.usage = ".cache NAME [OPERATION] [keys | clear]"

local ACTIONS = { clear = "DELETE", keys = "GET" }
-- Keys that are listed.
local KEYS = 200

local ORDER = { "operation", "entries", "bytes", "hits", "stale_hits", "negative_hits", "misses", "stores", "refused",
  "evictions", "deletes", "deleted" }


-- The name, the operation and the action of `.cache NAME [OPERATION] [ACTION]`.
local function read_arguments(arguments)
  local words = { table.unpack(arguments) }
  local action = #words > 1 and ACTIONS[words[#words]] and table.remove(words) or nil
  if not words[1] or words[3] then
    verbs.misuse(M)
  end
  return words[1], words[2], action
end


function M.fetch(session, arguments)
  local name, operation, action = read_arguments(arguments)
  local query = { operation = operation, keys = action == "keys" and tostring(KEYS) or nil }
  local path = inside.path("/api/v1/integrations/{}/cache", name)
  if next(query) then
    path = path .. "?" .. http.encode_query(query)
  end
  return session.api:ask(ACTIONS[action] or "GET", path).data
end


function M.show(session, data)
  local rows = {}
  for _, name in ipairs(ORDER) do
    if data[name] ~= nil then
      rows[#rows + 1] = { (name:gsub("_", " ")), tostring(data[name]) }
    end
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  for _, key in ipairs(data.keys or {}) do
    session:show(plain_text.fit(plain_text.safe(key), session.width))
  end
end


function M.complete(session, arguments)
  if #arguments == 0 then
    return candidates.integrations(session)
  end
  local list = #arguments == 1 and candidates.operations(session, arguments[1]) or {}
  if #arguments <= 2 then
    table.move({ "clear", "keys" }, 1, 2, #list + 1, list)
  end
  return list
end


return M
