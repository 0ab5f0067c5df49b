-- Shopify: X-Shopify-Hmac-SHA256.

local hmac = require "tide.webhook.scheme.hmac"

return hmac.preset({ header = "X-Shopify-Hmac-SHA256", encoding = "base64" }, {
  event_type = { header = "X-Shopify-Topic" }, event_id = { header = "X-Shopify-Webhook-Id" },
})
