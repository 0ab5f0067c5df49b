-- Secrets that are read and not declared.

local secret_use = require "tide.review.secret_use"
local suggest = require "tide.suggest"

local M = {}

M.name = "undeclared_secret"
M.severity = "error"
M.kinds = { provider = true }
M.describe = "`ctx.secret` is asked for a name that neither `secrets`, `auth`, `tls` nor a signature declares: it "
  .. "raises."


function M.review(of)
  local found = {}
  for _, use in ipairs(of.provider and secret_use.of(of) or {}) do
    if not of.provider.secrets[use.name] then
      local where = use.path ~= of.path and (" (%s:%d)"):format(use.path, use.line) or ""
      found[#found + 1] = {
        line = where == "" and use.line or of:line_of { "secrets" },
        message = ('the secret %s is read%s and not declared%s: add it to secrets = { "%s" }'):format(use.name, where,
          suggest.hint(use.name, of.provider.secrets), use.name),
      }
    end
  end
  return found
end


return M
