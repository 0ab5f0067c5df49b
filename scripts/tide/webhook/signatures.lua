local crypto = require "tide.crypto"
local M = {}
function M.check(s) return {}, { secret = "webhook_secret" } end
function M.bind(signature)
  if signature.scheme == "none" then
    return { name = "none", secret_names = {}, verify = function() return "none" end }
  end
  local header = signature.header:lower()
  return { name = "hmac", secret_names = { secret = signature.secret or "webhook_secret" }, signature_header = header,
    verify = function(request, secrets)
      local given = request.headers[header] or ""
      for _, s in ipairs(secrets.secret) do
        if crypto.equal(given, crypto.hex(crypto.hmac("sha256", s.value, request.body))) then return s.id end
      end
      return nil, "no secret matches"
    end,
    sign = function(request, secret) return { [signature.header] = crypto.hex(crypto.hmac("sha256", secret.secret, request.body)) } end }
end
return M
