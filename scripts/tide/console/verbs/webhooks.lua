-- `.webhooks [list …]`: stored webhook events: which there are, run again, discarded.

local http = require "tide.http"
local json = require "tide.json"
local columns = require "tide.columns"
local inside = require "tide.console.inside"
local printer = require "tide.console.printer"
local values = require "tide.console.values"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "stored webhook events: list, show, retry, discard"
M.usage = ".webhooks [list key=value …] | show ID | retry ID | retry key=value … | discard ID"

local EVENTS = "/api/v1/events"
local ACTIONS = { "discard", "list", "retry", "show" }


local function query_of(arguments, first)
  local query = values.read(arguments, first)
  return next(query) and "?" .. http.encode_query(query) or ""
end


local function event_of(arguments)
  if not arguments[2] or arguments[3] then
    verbs.misuse(M)
  end
  return inside.path(EVENTS .. "/{}", arguments[2])
end


local actions = {}


function actions.list(session, arguments)
  return session.api:ask("GET", EVENTS .. query_of(arguments, 2))
end


function actions.show(session, arguments)
  return session.api:ask("GET", event_of(arguments)).data
end


function actions.retry(session, arguments)
  if arguments[2] and arguments[2]:find("=", 1, true) then
    return session.api:ask("POST", EVENTS .. "/retry" .. query_of(arguments, 2)).data
  end
  return session.api:ask("POST", event_of(arguments) .. "/retry").data
end


function actions.discard(session, arguments)
  session.api:ask("DELETE", event_of(arguments))
  return { discarded = arguments[2] }
end


-- Filters alone are those of a list.
local function with_action(arguments)
  if arguments[1] == nil or arguments[1]:find("=", 1, true) then
    return { "list", table.unpack(arguments) }
  end
  return arguments
end


function M.fetch(session, given)
  local arguments = with_action(given)
  local act = actions[arguments[1]]
  if not act then
    verbs.misuse(M)
  end
  return act(session, arguments)
end


local function text_of(value)
  return value ~= nil and value ~= json.null and tostring(value) or "-"
end


local function show_list(session, answer)
  if #answer.data == 0 then
    return session:show("no events")
  end
  local rows = { { "ID", "TIME", "INTEGRATION", "TYPE", "STATUS", "ATTEMPTS", "ERROR" } }
  for _, event in ipairs(answer.data) do
    rows[#rows + 1] = { event.id, text_of(event.created_at),
      text_of(event.integration_name), text_of(event.event_type), event.status,
      text_of(event.attempts), text_of(event.error_message) }
  end
  session:show((columns.text(rows):gsub("\n$", "")))
  if answer.next_cursor ~= json.null then
    session:show("there are more: .webhooks cursor=" .. answer.next_cursor)
  end
end


function M.show(session, data, given)
  if with_action(given)[1] == "list" then
    return show_list(session, data)
  end
  session:write(printer.text(data, session:layout()) .. "\n")
end


function M.complete(_, arguments)
  return #arguments == 0 and ACTIONS or {}
end


return M
