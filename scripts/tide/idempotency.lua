-- Idempotency-Key: the same request again gets the first one's answer, and nothing that may have
-- taken effect is sent a second time. One row of `idempotency_keys` for each token, integration,
-- operation and key:
--
--   in_progress  committed before the call begins; to its `deadline_at` the call may still run
--   done         ended in 2xx, 400, 404 or 422: `response_*` is its answer, byte for byte
--   failed       ended otherwise, and may run again: nothing of it took effect, or repeating is safe
--   unknown      ended otherwise, or with the process: runs again only if its operation always may
--
-- A call owns its row by status, deadline_at and trace_id: whoever changes the row names all three
-- as they were read, so that of many at once one succeeds.

local crypto = require "tide.crypto"
local errors = require "tide.errors"
local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"

local M = {}

-- A call has ended by its deadline; its answer is committed by then and the store's own time-out.
local SETTLE_SECONDS = 10
-- The store hands out 8 MB at most. What is longer is sent and not kept.
M.BODY_BYTES_MAX = 7 * 1024 * 1024
-- A row that is seen, and gone or changed when it is to be taken, is looked at again.
local LOOKS_MAX = 5
local TOKEN_BYTES_MAX = 64
local CLEAN_SECONDS = 60
local CLEAN_ROWS = 500

local KEPT = { [400] = true, [404] = true, [422] = true }

local OWN_KEY = "token = $1 AND integration_name = $2 AND operation = $3 AND key = $4"
local OWN_CLAIM = OWN_KEY .. " AND status = $5 AND deadline_at = $6 AND trace_id = $7"

-- A row that has expired counts as absent.
local INSERT = "INSERT INTO idempotency_keys (token, integration_name, operation, key, status, deadline_at, trace_id, "
  .. "created_at, expires_at, input_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
  .. "ON CONFLICT (token, integration_name, operation, key) DO UPDATE SET status = excluded.status, "
  .. "deadline_at = excluded.deadline_at, trace_id = excluded.trace_id, created_at = excluded.created_at, "
  .. "expires_at = excluded.expires_at, input_hash = excluded.input_hash, response_status = NULL, "
  .. "response_body = NULL WHERE idempotency_keys.expires_at <= excluded.created_at"
local FIND = "SELECT * FROM idempotency_keys WHERE " .. OWN_KEY
local TAKE_OVER = "UPDATE idempotency_keys SET status = 'in_progress', deadline_at = $8, trace_id = $9, "
  .. "expires_at = $10, response_status = NULL WHERE " .. OWN_CLAIM
local END = "UPDATE idempotency_keys SET status = $8, response_status = $9, response_body = $10 WHERE " .. OWN_CLAIM
local FORGET = "DELETE FROM idempotency_keys WHERE " .. OWN_CLAIM
local RECOVER = "UPDATE idempotency_keys SET status = 'unknown' WHERE status = 'in_progress'"
local CLEAN = ("DELETE FROM idempotency_keys WHERE (token, integration_name, operation, key) IN (SELECT token, "
  .. "integration_name, operation, key FROM idempotency_keys WHERE expires_at <= $1 LIMIT %d)"):format(CLEAN_ROWS)


-- What a key belongs to, as the column holds it.
local function token_of(scope)
  return #scope <= TOKEN_BYTES_MAX and scope or crypto.hex(crypto.digest("sha256", scope))
end


-- Who asks for the mock asks for something else.
local function hash_of(input, options)
  local text, message = json.encode(input, { canonical = true })
  if not text then
    return nil, errors.new("invalid_input", message, { pointer = "#" })
  end
  return crypto.hex(crypto.digest("sha256", (options.mock and "mock:" or "") .. text))
end


-- Whether an operation may run again whatever became of an earlier run.
local function is_repeatable(operation)
  if operation.idempotent == nil then
    return operation.cacheable == true
  end
  return operation.idempotent
end


-- Of two times as text.
local function later(one, other)
  return one > other and one or other
end


local Claim = {}
Claim.__index = Claim


-- The deadline counts from here, the commit of the row included.
local function new_claim(request, operation, input, options)
  local hash, err = hash_of(input, options)
  if not hash then
    return nil, err
  end
  local seconds = operation.integration.values.total_timeout_seconds
  if options.timeout_ms then
    seconds = math.min(seconds, options.timeout_ms / 1000)
  end
  local now = time.now()
  local deadline_at = time.format(now + seconds + SETTLE_SECONDS)
  local expires_at = time.format(now + request.keep_seconds)
  options.deadline = math.min(options.deadline or math.huge, time.monotonic() + seconds)
  return setmetatable({
    request = request,
    operation = operation,
    token = token_of(request.scope),
    key = options.idempotency_key,
    hash = hash,
    trace_id = request.trace_id,
    now = time.format(now),
    deadline_at = deadline_at,
    -- Not before the call has ended.
    expires_at = later(expires_at, deadline_at),
  }, Claim)
end


function Claim:error(code, words, retry_after)
  return errors.new(code, words, {
    integration = self.operation.integration.name,
    operation = self.operation.name,
    policy = "idempotency",
    retry_after = retry_after,
  })
end


function Claim:unavailable(message, code)
  return self:error(code == "overloaded" and code or "unavailable", "nothing was sent: " .. message)
end


-- The parameters of a statement: the row's key, then its claim as it is now, then `...`.
function Claim:parameters(claim, ...)
  return self.token, self.operation.integration.name, self.operation.name, self.key,
    claim.status or "in_progress", claim.deadline_at, claim.trace_id, ...
end


function Claim:insert()
  local result, message, code = store.execute(INSERT, self:parameters(self, self.now, self.expires_at, self.hash))
  if result then
    return result.changes == 1
  end
  -- It may have been written all the same, and would stand for a call that never began.
  self:forget()
  return nil, self:unavailable(message, code)
end


local function replay(row)
  return {
    status = row.response_status,
    body = row.response_body,
    type = row.response_status >= 400 and "application/problem+json" or nil,
    headers = { ["Idempotent-Replayed"] = "true" },
  }
end


-- Seconds until the call of this row has ended; nil when it has.
local function seconds_left(row)
  local left = (time.parse(row.deadline_at) or 0) - time.now()
  return row.status == "in_progress" and left > 0 and math.max(1, math.ceil(left - SETTLE_SECONDS)) or nil
end


-- Makes an ended row that of a new call: true, false when it is not any more what was read, or nil
-- and an error.
function Claim:take_over(row)
  if row.status ~= "failed" and not is_repeatable(self.operation) then
    local ended = row.response_status and ("ended in %d, and its answer was too long to keep"):format(
      row.response_status) or "did not end with an answer: whether it took effect is not known"
    return nil, self:error("outcome_unknown", "the call with this Idempotency-Key " .. ended)
  end
  local result, message, code = store.execute(TAKE_OVER, self:parameters(row, self.deadline_at, self.trace_id,
    later(row.expires_at, self.deadline_at)))
  if not result then
    return nil, self:unavailable(message, code)
  end
  return result.changes == 1
end


-- What to do about the row that is there: a kept answer; true, the call is ours; false, look again;
-- or nil and an error.
function Claim:meet(row)
  if row.input_hash ~= self.hash then
    return nil, self:error("idempotency_mismatch", "this Idempotency-Key was used for another input")
  end
  if row.status == "done" then
    return replay(row)
  end
  local left = seconds_left(row)
  if left then
    return nil, self:error("conflict", "the call with this Idempotency-Key is still running", left)
  end
  return self:take_over(row)
end


-- A kept answer, true when the call may begin, or nil and an error.
function Claim:enter()
  for _ = 1, LOOKS_MAX do
    local inserted, err = self:insert()
    if inserted or err then
      return inserted, err
    end
    local rows, message, code = store.query(FIND, self.token, self.operation.integration.name, self.operation.name,
      self.key)
    if not rows then
      return nil, self:unavailable(message, code)
    end
    local met = rows[1] == nil and false
    if rows[1] then
      met, err = self:meet(rows[1])
    end
    if met or err then
      return met, err
    end
  end
  return nil, self:error("conflict", "other calls with this Idempotency-Key come and go", 1)
end


-- Commits how the call ended. When that fails the truth is still worth more to the caller than a 503:
-- the answer goes out, and the row follows as soon as the store is well again. Until then, and if
-- the process ends first, a repetition is refused rather than sent.
function Claim:leave(status, response_status, body)
  local done, message = store.execute(END, self:parameters(self, status, response_status, body))
  if done then
    return
  end
  log.error("the outcome of a call with an Idempotency-Key is not stored yet", { trace_id = self.trace_id,
    integration = self.operation.integration.name, operation = self.operation.name, error = message })
  store.enqueue(END, self:parameters(self, status, response_status, body))
end


function Claim:keep(answer)
  if #answer.body > M.BODY_BYTES_MAX then
    self:leave("unknown", answer.status, nil)
  else
    self:leave("done", answer.status, answer.body)
  end
  return answer
end


-- As if it had never been made.
function Claim:forget()
  store.enqueue(FORGET, self:parameters(self))
end


-- Whether a call that ended in this error gets it again.
function M.is_final(err)
  return KEPT[errors.codes[err.code].status] == true
end


function Claim:finish(answer, err)
  if self.request.forgets_repeatable and (answer or err).repeatable then
    self:forget()
    return answer, err
  end
  if answer then
    return self:keep(answer)
  end
  if M.is_final(err) then
    return self:keep(self.request.problem(err))
  end
  self:leave(err.repeatable and "failed" or "unknown", nil, nil)
  return nil, err
end


-- Makes a call with a key: `perform(input, options)`, which gives an answer with its `body` or nil and
-- an error, is called at most once. `request`: generation, integration and operation (names), scope
-- (whose key it is, text), trace_id, keep_seconds, problem (from an error to its answer),
-- forgets_repeatable (a call that may run again whatever came of it keeps nothing).
function M.run(request, input, options, perform)
  local integration = request.generation.integrations[request.integration]
  local operation = integration and integration.provider and integration.operations[request.operation]
  if not operation then
    return perform(input, options) -- fails, and there is no call to keep
  end
  local claim, err = new_claim(request, operation, input, options)
  if not claim then
    return nil, err
  end
  local entered
  entered, err = claim:enter()
  if entered ~= true then
    return entered, err
  end
  return claim:finish(perform(input, options))
end


-- Calls that ended with an earlier process: the lock on the data directory says that there is no
-- other. Before the first request.
function M.recover()
  local result, message = store.execute(RECOVER)
  return result and result.changes, message
end


-- Deletes rows that have expired, for the service's life; its task.
function M.start_cleaning()
  return task.keep("the cleaning of idempotency keys", function()
    while true do
      local result, message
      repeat
        result, message = store.execute(CLEAN, time.format())
      until not result or result.changes < CLEAN_ROWS
      if not result then
        log.warn("expired idempotency keys could not be deleted", { error = message })
      end
      task.sleep(CLEAN_SECONDS)
    end
  end)
end


return M
