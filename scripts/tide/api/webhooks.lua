-- POST /api/v1/webhooks/{name}[/{source}]: what third parties send. No token: the signature counts.

local counters = require "tide.state.counters"
local time = require "tide.time"
local receive = require "tide.webhook.receive"
local wake = require "tide.webhook.wake"
local shape = require "tide.api.shape"

local M = {}

local ack_duration


-- For a worker that processes nothing: others are told.
local FAR_LANE = {
  has_room = function() return false end,
  note_pending = function() wake.all() end,
}


local function run(current)
  local started = time.monotonic()
  local definition, err = receive.find(current.generation, current.params.name, current.params.source or "")
  if not definition then
    return nil, err
  end
  local processor = current.instance.processor
  local answer
  answer, err = receive.run(current, definition, processor and processor:lane(definition.integration.name) or FAR_LANE)
  if answer then
    ack_duration = ack_duration or counters.histogram("webhook_ack_duration_seconds")
    ack_duration:observe(time.monotonic() - started)
  end
  return answer, err
end


local PROBLEMS = { "unauthorized", "forbidden", "no_such_operation", "not_loaded", "disabled", "not_configured",
  "payload_too_large", "rate_limited", "overloaded", "unavailable", "script_error", "script_timeout" }

local RECEIVE = {
  of = "webhook", summary = "Take what the sender has signed",
  answers = {
    [200] = { description = "Stored: it will be processed, once.", schema = shape.object { id = "uuid",
      duplicate = "boolean" } },
  },
  problems = PROBLEMS,
}
local SHAKE_HANDS = {
  of = "handshake", summary = "Prove to the sender whose address this is",
  answers = { [200] = { description = "What the sender asked for." } },
  problems = PROBLEMS,
}

M.routes = {
  { "POST", "/api/v1/webhooks/{name}", needs = "signature", handler = run, doc = RECEIVE },
  { "POST", "/api/v1/webhooks/{name}/{source}", needs = "signature", handler = run, doc = RECEIVE },
  { "GET", "/api/v1/webhooks/{name}", needs = "signature", handler = run, doc = SHAKE_HANDS },
  { "GET", "/api/v1/webhooks/{name}/{source}", needs = "signature", handler = run, doc = SHAKE_HANDS },
}


return M
