-- /api/v1/events: stored webhook events, newest first; looked into, run again, discarded.

local http = require "tide.http"
local json = require "tide.json"
local crypto = require "tide.crypto"
local store = require "tide.store"
local text = require "tide.text"
local time = require "tide.time"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local redact = require "tide.redact"
local row_id = require "tide.row_id"
local exchange = require "tide.api.exchange"
local search = require "tide.api.search"
local shape = require "tide.api.shape"
local operate = require "tide.webhook.operate"

local M = {}

local SUMMARY = {
  "id", "created_at", "integration_name", "source", "event_type", "event_id", "ordering_key", "status",
  "next_attempt_at", "attempts", "retry_count", "started_at", "processed_at", "duration_ms", "error_type",
  "error_message", "provider_version", "signature_verified", "trace_id", "content_type",
}
local DETAILS = { "headers", "payload", "processing_result", "transaction_result", "attempt_log" }

-- Longer bodies are not shown: looking through them for what is to be concealed would hold a worker up.
local SHOWN_BYTES_MAX = 1024 * 1024

local LIST = "SELECT " .. table.concat(SUMMARY, ", ") .. " FROM webhook_events"


local function if_short(column)
  return ("CASE WHEN COALESCE(length(body), 0) <= %d THEN %s END AS %s"):format(SHOWN_BYTES_MAX, column, column)
end


local function get_statement(more)
  return ("SELECT %s, length(body) AS body_bytes, headers, processing_result, transaction_result, attempt_log, %s "
    .. "FROM webhook_events WHERE id = $1"):format(table.concat(SUMMARY, ", "), more)
end

local GET = get_statement(if_short("payload"))
local GET_WITH_BODY = get_statement(if_short("payload") .. ", " .. if_short("body"))


-- Showing -----------------------------------------------------------------------------------------


local function shown(row)
  for _, name in ipairs(SUMMARY) do
    if row[name] == nil then
      row[name] = json.null
    end
  end
  if row.signature_verified ~= json.null then
    row.signature_verified = row.signature_verified == 1 or row.signature_verified == true
  end
  if row.error_message ~= json.null then
    row.error_message = redact.text(row.error_message)
  end
  return row
end


-- The members of a form or of JSON without those that nobody may see; nil where there are none.
local function clean_members(body, content_type, fields)
  if (content_type or ""):find("x-www-form-urlencoded", 1, true) then
    local form = http.decode_query(body)
    return form and http.encode_query(redact.value(form, fields))
  end
  local value = json.decode(body)
  return value ~= nil and json.encode(redact.value(value, fields)) or nil
end


-- The body as it came, less what redaction takes out. Fields of the integration's own
-- (`redact_fields`) have to be looked for by name.
local function shown_body(body, content_type, fields)
  if body == nil then
    return json.null
  end
  if fields and #fields > 0 then
    body = clean_members(body, content_type, fields) or body
  end
  local clean = redact.text(body)
  return text.is_utf8(clean) and clean or { base64 = crypto.base64(clean) }
end


local function decoded(encoded)
  if encoded == nil then
    return json.null
  end
  local value = json.decode(encoded)
  if value == nil then
    return encoded
  end
  return value
end


local function show_details(row, fields)
  for _, name in ipairs(DETAILS) do
    row[name] = redact.value(decoded(row[name]), fields)
  end
end


local function fields_of(current, name)
  local integration = current.generation.integrations[name]
  return integration and integration.values and integration.values.redact_fields
end


-- Reading -----------------------------------------------------------------------------------------


local FILTERS = {
  { "source", "source =", search.text },
  { "type", "event_type =", search.text },
  { "event_id", "event_id =", search.text },
  { "ordering_key", "ordering_key =", search.text },
  { "trace_id", "trace_id =", search.text },
}


local function filters_of(id, integration)
  local filters = {
    { "integration", integration .. " =", search.text },
    { "from", id .. " >=", search.time },
    { "to", id .. " <", search.time },
  }
  return table.move(FILTERS, 1, #FILTERS, #filters + 1, filters)
end


-- Events in a state that most are not in are found by its own index, which has nothing else in it:
-- the condition on the state stands as it is in the index, and expressions keep other indexes out.
local function search_of(select, status, id)
  local integration = status == "completed" and "integration_name" or "integration_name || ''"
  return search.new(select, filters_of(id, integration), {
    condition = ("status = '%s'"):format(status), id = id, integration = integration,
  })
end

local LISTS = {
  pending = search_of(LIST, "pending", "id || ''"),
  processing = search_of(LIST, "processing", "id"),
  failed = search_of(LIST, "failed", "id"),
  completed = search_of(LIST, "completed", "id"),
}
local ALL = search.new(LIST, filters_of("id", "integration_name"))
ALL.parameters.status = true


local function list(current)
  local query, err = current:query(ALL.parameters)
  if not query then
    return nil, err
  end
  local found = query.status == nil and ALL or LISTS[query.status]
  if not found then
    return nil, exchange.invalid("#/status", "status must be pending, processing, completed or failed")
  end
  return found:page(query, current.identity, shown)
end


local function no_event()
  return errors.new("not_found", "there is no event with this id")
end


-- The id that the path names; nil and an error.
local function id_of(current)
  local id = current.params.id
  if not uuid.is_valid(id) then
    return nil, exchange.invalid("#/id", "the id of an event is a UUID")
  end
  return id:lower()
end


local function get(current)
  local id, err = id_of(current)
  if not id then
    return nil, err
  end
  local sees_body = current.identity.rights.operate
  local rows, message, code = store.query(sees_body and GET_WITH_BODY or GET, id)
  if not rows then
    return nil, search.unavailable(message, code)
  end
  local row = rows[1]
  if not row or not current:sees(row.integration_name) then
    return nil, no_event()
  end
  local fields = fields_of(current, row.integration_name)
  if sees_body then
    row.body = shown_body(row.body, row.content_type, fields)
  end
  row.body_bytes = row.body_bytes or json.null
  show_details(row, fields)
  return { status = 200, json = { data = shown(row) } }
end


-- Changing ----------------------------------------------------------------------------------------


local function by(current)
  return { actor = current.identity.name, trace_id = current.trace_id }
end


-- Does `what(row, by, generation)` to the event that the path names: its row; nil and an error.
local function change(current, what)
  local id, err = id_of(current)
  local row, done
  if id then
    row, err = operate.find(id)
  end
  if row and not current:sees(row.integration_name) then
    row, err = nil, no_event()
  end
  if row then
    done, err = what(row, by(current), current.generation)
  end
  return done and row, err
end


local function retry(current)
  local row, err = change(current, operate.retry)
  if not row then
    return nil, err
  end
  return { status = 200, json = { data = { id = row.id, status = "pending" } } }
end


local function discard(current)
  local row, err = change(current, operate.discard)
  if not row then
    return nil, err
  end
  return { status = 204 }
end


-- What can be run again in bulk: what has ended.
local ENDED = { failed = LISTS.failed, completed = LISTS.completed }
local RETRY_PARAMETERS = { status = true, integration = true, type = true, source = true, from = true, to = true,
  dry_run = true }


-- The query of a bulk retry; nil and an error.
local function retry_query(current)
  local query, err = current:query(RETRY_PARAMETERS)
  if not query then
    return nil, err
  end
  if not (query.status or query.integration or query.type or query.from or query.to) then
    return nil, exchange.invalid("#", "say which events: status, integration, type, from or to")
  end
  query.status = query.status or "failed"
  if not ENDED[query.status] then
    return nil, exchange.invalid("#/status", "status must be failed or completed: only what has ended runs again")
  end
  local dry_run, problem = search.boolean(query.dry_run or "false")
  if dry_run == nil then
    return nil, exchange.invalid("#/dry_run", "dry_run " .. problem)
  end
  query.dry_run = nil
  return query, nil, dry_run
end


local function retry_many(current)
  local query, err, dry_run = retry_query(current)
  local where, count
  if query then
    where, err = ENDED[query.status]:conditions(query, current.identity)
  end
  if not where then
    return nil, err
  end
  -- What fails from here on has had its chance.
  where:add("id <", row_id.at(time.now() + 1))
  if dry_run then
    local matched
    matched, err = operate.count(where)
    count = matched and { matched = matched, retried = 0 }
  else
    count, err = operate.retry_many {
      where = where, status = query.status, filters = query, by = by(current),
      generation = current.generation,
    }
  end
  if not count then
    return nil, err
  end
  count.dry_run = dry_run
  return { status = 200, json = { data = count } }
end


-- Description -------------------------------------------------------------------------------------


local STATUS = shape.choice("pending", "processing", "completed", "failed")

local STATUS_PARAMETER = { name = "status", schema = STATUS, description = "Only in this state." }

local WORDS = {
  source = "Only of this webhook of the integration.", type = "Only of this type.",
  event_id = "Only with this id of the sender.", ordering_key = "Only with this key.",
  trace_id = "Only of this trace.",
}


local function event_with(details, optional)
  local members = {
    id = "uuid", created_at = "time", integration_name = "text", source = "text", event_type = "text",
    event_id = "text?", ordering_key = "text?", status = STATUS, next_attempt_at = "time?", attempts = "integer?",
    retry_count = "integer?", started_at = "time?", processed_at = "time?", duration_ms = "number?",
    error_type = "text?", error_message = "text?", provider_version = "text?", signature_verified = "boolean?",
    trace_id = "text?", content_type = "text?",
  }
  for _, name in ipairs(details) do
    members[name] = "any"
  end
  return shape.object(members, optional)
end


-- The parameters of a list that a retry in bulk takes too.
local function retry_parameters()
  local parameters = {
    { name = "status", schema = shape.choice("failed", "completed"), description = "In which state; failed, if not "
      .. "said." },
    { name = "dry_run", schema = { type = "boolean" }, description = "Only say how many it would be." },
  }
  for _, parameter in ipairs(ALL:describe(WORDS)) do
    if RETRY_PARAMETERS[parameter.name] then
      parameters[#parameters + 1] = parameter
    end
  end
  return parameters
end

M.routes = {
  { "GET", "/api/v1/events", needs = "read", handler = list, doc = {
    summary = "Stored webhook events, newest first",
    query = { STATUS_PARAMETER, table.unpack(ALL:describe(WORDS)) },
    answers = shape.page(event_with {}), problems = { "unavailable" },
  } },
  { "GET", "/api/v1/events/{id}", needs = "read", handler = get, doc = {
    summary = "One event, with its payload, result and attempts",
    description = "Operators see the body as it came too.",
    answers = shape.data(event_with({ "body_bytes", table.unpack(DETAILS) }, { body = "any" })),
    problems = { "not_found", "unavailable" },
  } },
  { "POST", "/api/v1/events/retry", needs = "operate", handler = retry_many, doc = {
    summary = "Run many events again",
    query = retry_parameters(),
    answers = shape.data(shape.object { matched = "integer", retried = "integer", dry_run = "boolean" }),
    problems = { "conflict", "unavailable" },
  } },
  { "POST", "/api/v1/events/{id}/retry", needs = "operate", handler = retry, doc = {
    summary = "Run an event again",
    answers = shape.data(shape.object { id = "uuid", status = shape.choice("pending") }),
    problems = { "not_found", "conflict", "unavailable" },
  } },
  { "DELETE", "/api/v1/events/{id}", needs = "operate", handler = discard, doc = {
    summary = "Discard an event",
    answers = shape.nothing("It will not run any more."), problems = { "not_found", "conflict", "unavailable" },
  } },
}


return M
