-- The auth schemes of a provider: their fields, which of them name secrets, and which of
-- them this version runs. The one place that says so.

local M = {}

-- Fields: "secret" names a secret, "text" is a plain text, "function" a function, a table lists
-- the texts that are allowed. Each of `required` must be there, and exactly one of `one_of`.
M.schemes = {
  bearer = {
    supported = true,
    fields = { secret = "secret" },
    required = { "secret" },
  },
  basic = {
    supported = true,
    fields = { username = "secret", password = "secret" },
    required = { "username", "password" },
  },
  api_key = {
    supported = true,
    fields = { secret = "secret", header = "text", query = "text", prefix = "text" },
    required = { "secret" },
    one_of = { "header", "query" },
  },
  token = {
    supported = true,
    fields = { fetch = "function", header = "text", prefix = "text" },
    required = { "fetch" },
  },
  oauth2 = {
    supported = false,
    fields = {
      grant = { "client_credentials", "refresh_token", "jwt_bearer" }, token_url = "text",
      client_id = "secret",
      client_secret = "secret", refresh_token = "secret", scope = "text",
      client_auth = { "body", "basic" },
    },
    required = { "grant", "token_url" },
  },
  sigv4 = {
    supported = false,
    fields = {
      access_key = "secret", secret_key = "secret", session_token = "secret", region = "text",
      service = "text",
    },
    required = { "access_key", "secret_key", "region", "service" },
  },
}

--- `auth = function(ctx, request)`: whether this version runs it.
M.function_supported = false

-- Of `tls = { certificate, key, ca }`, for requests to the origin of base_url: each names a secret
-- that holds PEM.
M.tls_fields = { certificate = true, key = true, ca = true }


return M
