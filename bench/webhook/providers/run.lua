-- Events that are processed by a handler of one line.
return {
  summary = "Events that are processed",
  webhooks = {
    signature = { scheme = "hmac-sha256", header = "X-Signature", secret = "webhook_secret" },
    event_type = "type",
    event_id = "id",
    on = {
      ["parcel.delivered"] = function(_, event) return { seen = event.payload.data.parcel } end,
    },
  },
}
