-- POST /api/v1/webhooks/{name}[/{source}]: what third parties send. No token: the signature counts.

local counters = require "tide.state.counters"
local time = require "tide.time"
local receive = require "tide.webhook.receive"
local wake = require "tide.webhook.wake"

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


M.routes = {
  { "POST", "/api/v1/webhooks/{name}", needs = "signature", handler = run },
  { "POST", "/api/v1/webhooks/{name}/{source}", needs = "signature", handler = run },
  { "GET", "/api/v1/webhooks/{name}", needs = "signature", handler = run },
  { "GET", "/api/v1/webhooks/{name}/{source}", needs = "signature", handler = run },
}


return M
