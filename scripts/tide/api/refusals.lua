-- What becomes of those who are refused for want of a token or of a right: they are counted, and whoever
-- could be guessing waits for each answer and does not get many.

local counters = require "tide.state.counters"
local log = require "tide.log"
local state = require "tide.state.refusals"
local task = require "tide.task"
local time = require "tide.time"
local errors = require "tide.errors"
local gate = require "tide.webhook.gate"

local M = {}

local DELAY_SECONDS = 0.1
local TOLD_SECONDS = 10

-- What a refusal can be for: the labels of the metric.
--   missing, malformed, unknown, revoked, expired   the token
--   forbidden      the token's role or integrations
--   other_user     the user at the other end of a Unix socket
--   rate_limited   one of the former, too many of which came from an address
M.REASONS = { "missing", "malformed", "unknown", "revoked", "expired", "forbidden", "other_user", "rate_limited" }

counters.describe("auth_refusals_total", "counter",
  "Requests that were refused for want of a token or of a right, by reason.")

local cells = {}
for _, reason in ipairs(M.REASONS) do
  cells[reason] = counters.counter("auth_refusals_total", ('reason="%s"'):format(reason))
end

local told_at


-- A line now and then: a flood must not become one of the log.
local function tell(who)
  local now = time.monotonic()
  if told_at == nil or now - told_at >= TOLD_SECONDS then
    told_at = now
    log.warn("too many requests without a valid token", { address = who })
  end
end


--- Counts a refusal by one of REASONS.
function M.count(reason)
  cells[reason]:add()
end


-- Who asks: the address, behind proxies that are trusted that of their client, or the user at the other end
-- of a Unix socket.
local function name_of(exchange)
  local request = exchange.request
  if request.peer_uid then
    return "user " .. request.peer_uid
  end
  return gate.source_address(request, exchange.generation.config.trusted_proxies)
end


--- Counts the refusal of who asks and lets them wait; the error to be answered, which is another when there
--- were too many. Right tokens of the same address never come here.
function M.slow(exchange, err, reason)
  local who = name_of(exchange)
  if not state.note(who) then
    M.count("rate_limited")
    tell(who)
    return errors.new("rate_limited", "too many requests without a valid token", { retry_after = 1 })
  end
  M.count(reason)
  task.sleep(DELAY_SECONDS)
  return err
end


return M
