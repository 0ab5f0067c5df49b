-- LINE: X-Line-Signature; a body has a list of events.

local hmac = require "tide.webhook.scheme.hmac"
local envelope = require "tide.webhook.envelope"

return hmac.preset({ header = "X-Line-Signature", encoding = "base64" }, {
  events = function(payload)
    return envelope.list(type(payload) == "table" and payload.events, "type", "webhookEventId")
  end,
})
