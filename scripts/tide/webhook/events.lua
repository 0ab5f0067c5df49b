-- The statements of a stored event's life. Times are text as `time.format` writes it. The state
-- changes of one event name the state that it comes from, so that of two only one succeeds.

local M = {}


-- Storing -----------------------------------------------------------------------------------------


-- A key that has expired is as good as none.
local REMEMBER = "INSERT INTO webhook_dedupe (integration, key, event_row_id, expires_at) VALUES ($1, $2, $3, $4) "
  .. "ON CONFLICT (integration, key) DO UPDATE SET event_row_id = excluded.event_row_id, "
  .. "expires_at = excluded.expires_at WHERE webhook_dedupe.expires_at <= $5"

local COLUMNS = "id, created_at, integration_name, source, event_type, event_id, ordering_key, status, "
  .. "next_attempt_at, attempts, processed_at, error_type, error_message, signature, signature_verified, trace_id, "
  .. "content_type, provider_version, headers, payload, body"
-- Right after REMEMBER, on its connection: whether the key was new.
local IF_NEW = " WHERE changes() > 0"
local UNFINISHED = "ordering_key IS NOT NULL AND status IN ('pending', 'processing', 'failed')"
-- A failed event holds its key up only if it is to be parked.
local NOT_SKIPPED = " AND (status <> 'failed' OR $%d = 'park')"

local INSERT = ("INSERT INTO webhook_events (%s) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
  .. "$15, $16, $17, $18, $19, $20, $21%s"):format(COLUMNS, IF_NEW)
local INSERT_ORDERED = ("INSERT INTO webhook_events (%s) SELECT $1, $2, $3, $4, $5, $6, $7, $8, "
  .. "CASE WHEN EXISTS (SELECT 1 FROM webhook_events WHERE integration_name = $3 AND ordering_key = $7 AND %s%s) "
  .. "THEN NULL ELSE $9 END, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21%s"):format(COLUMNS, UNFINISHED,
  NOT_SKIPPED:format(22), IF_NEW)

M.FIND_KEY = "SELECT event_row_id FROM webhook_dedupe WHERE integration = $1 AND key = $2"


-- The two statements that store an event unless its key is known: the second changes one row, or none
-- for a duplicate. `row` has the event's own columns by name, and its `key`; `shared` those that it shares
-- with others of its request, and `expires_at`, `poisoned`, `headers_text`. Only where no earlier event of
-- its ordering key is unfinished it may run at once.
function M.insert_statements(row, shared)
  local remember = { REMEMBER, shared.integration_name, row.key, row.id, shared.expires_at, shared.created_at }
  local insert = { row.ordering_key and INSERT_ORDERED or INSERT, row.id, shared.created_at, shared.integration_name,
    shared.source, row.event_type, row.event_id, row.ordering_key, row.status, row.next_attempt_at, row.attempts,
    row.processed_at, row.error_type, row.error_message, shared.signature, shared.signature_verified, shared.trace_id,
    shared.content_type, shared.provider_version, shared.headers_text, row.payload, row.body,
    n = 21 }
  if row.ordering_key then
    insert[23], insert.n = shared.poisoned, 22
  end
  return remember, insert
end


-- Claiming ----------------------------------------------------------------------------------------


local SHORT_BYTES = 16384

-- Long bodies and headers are read one by one, when their turn comes.
local SHOWN = ("id, created_at, source, event_type, event_id, ordering_key, attempts, retry_count, next_attempt_at, "
  .. "trace_id, content_type, attempt_log, length(body) AS body_bytes, "
  .. "CASE WHEN length(body) <= %d AND length(headers) <= %d THEN headers END AS headers, "
  .. "CASE WHEN length(body) <= %d AND length(headers) <= %d THEN body END AS body"):format(SHORT_BYTES, SHORT_BYTES,
  SHORT_BYTES, SHORT_BYTES)

-- $1 integration, $2 now, $3 how many, $4 the mark by which this claim is known.
M.CLAIM = "UPDATE webhook_events SET status = 'processing', attempts = attempts + 1, lease_until = $4 "
  .. "WHERE id IN (SELECT id FROM webhook_events WHERE status = 'pending' AND integration_name = $1 "
  .. "AND next_attempt_at <= $2 ORDER BY next_attempt_at, id LIMIT $3) RETURNING " .. SHOWN
-- $1 integration, $2 the mark of a claim whose answer never came, $3 now.
M.UNDO_CLAIM = "UPDATE webhook_events SET status = 'pending', attempts = attempts - 1, next_attempt_at = $3 "
  .. "WHERE status = 'processing' AND integration_name = $1 AND lease_until = $2"
-- The next time at which an event may run.
M.NEXT_DUE = "SELECT next_attempt_at FROM webhook_events WHERE status = 'pending' AND integration_name = $1 "
  .. "AND next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1"
M.READ = "SELECT headers, body FROM webhook_events WHERE id = $1"


-- Ending ------------------------------------------------------------------------------------------


local OWN = " WHERE id = $1 AND status = 'processing'"
local RUN = "started_at = $2, processed_at = $3, duration_ms = $4, provider_version = $5, transaction_result = $6, "

M.COMPLETE = "UPDATE webhook_events SET status = 'completed', next_attempt_at = NULL, " .. RUN
  .. "processing_result = $7, error_type = NULL, error_message = NULL" .. OWN
M.RETRY = "UPDATE webhook_events SET status = 'pending', " .. RUN .. "error_type = $7, error_message = $8, "
  .. "attempt_log = $9, retry_count = retry_count + 1, next_attempt_at = $10" .. OWN
M.FAIL = "UPDATE webhook_events SET status = 'failed', next_attempt_at = NULL, " .. RUN
  .. "error_type = $7, error_message = $8, attempt_log = $9" .. OWN
-- A claim that came to nothing: the run was never begun.
M.RELEASE = "UPDATE webhook_events SET status = 'pending', attempts = attempts - 1, next_attempt_at = $2" .. OWN
-- A run that was cut off by the end of the service: it counts as a run, and not as a failure.
M.INTERRUPT = "UPDATE webhook_events SET status = 'pending', next_attempt_at = $2" .. OWN

local OF_KEY = "FROM webhook_events WHERE integration_name = $1 AND ordering_key = $2 AND " .. UNFINISHED
local UNLOCK = "UPDATE webhook_events SET next_attempt_at = $4 WHERE status = 'pending' AND next_attempt_at IS NULL "
  .. "AND id = (SELECT id " .. OF_KEY .. NOT_SKIPPED:format(3) .. " ORDER BY rowid LIMIT 1)"
local UNLOCK_IDLE = UNLOCK .. " AND NOT EXISTS (SELECT 1 " .. OF_KEY
  .. " AND (status = 'processing' OR next_attempt_at IS NOT NULL))"


-- Lets the next event of an ordering key run, whose one under way has ended. `poisoned` is
-- webhook_poisoned_key: "skip" or "park".
function M.unlock_statement(integration, ordering_key, poisoned, now)
  return { UNLOCK, integration, ordering_key, poisoned, now, n = 4 }
end


-- The same where one may be under way, which is not always the first: an earlier event that is retried by
-- hand waits for a later one that had overtaken it. To see that none is takes as long as the line is.
function M.unlock_idle_statement(integration, ordering_key, poisoned, now)
  return { UNLOCK_IDLE, integration, ordering_key, poisoned, now, n = 4 }
end


-- Starting ----------------------------------------------------------------------------------------


M.LEFT_BEHIND = "SELECT id, integration_name, ordering_key, retry_count, attempts FROM webhook_events "
  .. "WHERE status = 'processing' ORDER BY id LIMIT 500"
M.TAKE_BACK = "UPDATE webhook_events SET status = 'pending', retry_count = retry_count + 1, next_attempt_at = $2"
  .. OWN
-- Ordering keys with events that wait for others, after the one of $1, $2.
M.WAITING_KEYS = "SELECT DISTINCT integration_name, ordering_key FROM webhook_events WHERE " .. UNFINISHED
  .. " AND status = 'pending' AND next_attempt_at IS NULL AND (integration_name, ordering_key) > ($1, $2) "
  .. "ORDER BY integration_name, ordering_key LIMIT 500"
M.GIVE_UP = "UPDATE webhook_events SET status = 'failed', next_attempt_at = NULL, processed_at = $2, "
  .. "error_type = 'internal', error_message = $3" .. OWN


return M
