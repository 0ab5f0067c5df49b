-- GET /api/v1/audit: who changed what, newest first.

local json = require "tide.json"
local redact = require "tide.redact"
local search = require "tide.api.search"
local shape = require "tide.api.shape"

local M = {}

local COLUMNS = { "id", "created_at", "actor", "action", "integration_name", "subject", "old_value", "new_value",
  "trace_id" }


local function decoded(text)
  return text and redact.value(json.decode(text))
end


local function shown(row)
  row.old_value, row.new_value = decoded(row.old_value), decoded(row.new_value)
  for _, name in ipairs(COLUMNS) do
    if row[name] == nil then
      row[name] = json.null
    end
  end
end


local SEARCH = search.new("SELECT " .. table.concat(COLUMNS, ", ") .. " FROM audit_log", {
  { "actor", "actor =", search.text },
  { "action", "action =", search.text },
  { "integration", "integration_name =", search.text },
  { "from", "id >=", search.time },
  { "to", "id <", search.time },
})


local function list(current)
  return SEARCH:answer(current, shown)
end


M.routes = {
  { "GET", "/api/v1/audit", needs = "admin", handler = list, doc = {
    summary = "Who changed what, newest first",
    query = SEARCH:describe { actor = "Only by this token, or `command line`.", action = "Only this action." },
    answers = shape.page(shape.object {
      id = "uuid", created_at = "time", actor = "text", action = "text", integration_name = "text?",
      subject = "text?", old_value = "any", new_value = "any", trace_id = "text?",
    }),
    problems = { "unavailable" },
  } },
}


return M
