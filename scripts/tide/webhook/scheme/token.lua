-- A header that equals the secret.

local mac = require "tide.webhook.mac"

local M = {}

M.fields = { header = "header", prefix = "text", secret = "secret" }
M.required = { "header" }


function M.bind(definition)
  local header, prefix = definition.header, definition.prefix or ""
  local key = header:lower()

  local function verify(request, secrets)
    local given = request.headers[key]
    if not given then
      return nil, ("header %s is missing"):format(header)
    end
    if given:sub(1, #prefix) ~= prefix then
      return nil, ("header %s does not begin with %s"):format(header, prefix)
    end
    given = given:sub(#prefix + 1)
    for _, secret in ipairs(secrets.secret) do
      if mac.same(given, secret.value) and secret.value ~= "" then
        return secret.id
      end
    end
    return nil, mac.NO_MATCH
  end

  local function sign(_, secret)
    return { [header] = prefix .. secret.secret }
  end
  return { verify = verify, sign = sign }
end


return M
