-- Fills a database with events: tidegate run bench/webhook_copies.lua DATABASE COUNT
-- Copies of the oldest one that is there, each with ids of its own and its row of webhook_dedupe, over the 30 days
-- before it: as many events as a service has stored after some time. The service must not run.

local store = require "tide.store"

local ROWS_AT_ONCE = 5000
-- Ids begin with the time, those of senders are scattered.
local NUMBERS = "WITH RECURSIVE number (n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM number WHERE n < $2) "
local ID = "lower(printf('%08x-%04x-7%03x-8%03x-%012x', ms >> 16, ms & 65535, n & 4095, (n >> 12) & 4095, n))"
local SENDERS_ID = "'evt_' || substr(hex(randomblob(16)), 1, 26)"

local path, count = ...
count = tonumber(count)


-- The columns that the template fills, but for those that are made anew.
local function columns_of(template, made)
  local names, values = {}, {}
  for name in pairs(template) do
    names[#names + 1] = name
    values[#values + 1] = made[name] or "template." .. name
  end
  return table.concat(names, ", "), table.concat(values, ", ")
end


local function events_statement(template)
  local time = "strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch')"
  local names, values = columns_of(template, {
    id = ID, event_id = SENDERS_ID, created_at = time, processed_at = time, started_at = time,
  })
  return ("INSERT INTO webhook_events (%s) %s SELECT %s FROM (SELECT n, "
    .. "CAST((julianday(template.created_at) - 2440587.5) * 86400000 AS INTEGER) - 2592000000 + "
    .. "CAST(2592000000.0 * n / $3 AS INTEGER) AS ms FROM number, "
    .. "(SELECT created_at FROM webhook_events WHERE rowid = $4) AS template) AS made, "
    .. "(SELECT * FROM webhook_events WHERE rowid = $4) AS template"):format(names, NUMBERS, values)
end


-- The keys are made as that of the template is.
local DEDUPE = "INSERT INTO webhook_dedupe (integration, key, event_row_id, expires_at) "
  .. "SELECT integration_name, replace($1, $2, event_id), id, $3 FROM webhook_events WHERE rowid > $4"


local function first_row(sql, ...)
  return assert(store.query(sql, ...))[1]
end


assert(store.open("sqlite:" .. path))
local oldest = assert(first_row("SELECT min(rowid) AS n FROM webhook_events WHERE status = 'completed'").n,
  "there is no completed event to copy")
local template = first_row("SELECT * FROM webhook_events WHERE rowid = $1", oldest)
local known = first_row("SELECT key, expires_at FROM webhook_dedupe WHERE event_row_id = $1", template.id)
local insert = events_statement(template)
for first = 1, count, ROWS_AT_ONCE do
  local last = first_row("SELECT max(rowid) AS n FROM webhook_events").n
  assert(store.transaction {
    { insert, first, math.min(first + ROWS_AT_ONCE - 1, count), count, oldest },
    { DEDUPE, known.key, template.event_id, known.expires_at, last },
  })
end
