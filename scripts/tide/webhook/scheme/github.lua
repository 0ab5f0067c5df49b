-- GitHub: X-Hub-Signature-256. The older header with SHA-1 is not looked at.

local hmac = require "tide.webhook.scheme.hmac"

return hmac.preset({ header = "X-Hub-Signature-256", prefix = "sha256=" }, {
  event_type = { header = "X-GitHub-Event" }, event_id = { header = "X-GitHub-Delivery" },
})
