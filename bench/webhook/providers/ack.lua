-- Events that are verified and kept, with nothing to do.
return {
  summary = "Events that are kept",
  webhooks = {
    signature = { scheme = "hmac-sha256", header = "X-Signature", secret = "webhook_secret" },
    event_type = "type",
    event_id = "id",
    on = { ["parcel.delivered"] = false },
  },
}
