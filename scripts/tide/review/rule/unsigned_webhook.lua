-- Webhooks that anybody may send.

local M = {}

M.name = "unsigned_webhook"
M.severity = "error"
M.kinds = { provider = true }
M.describe = "A webhook asks for no signature (`scheme = \"none\"`), and no comment beside it or above it says why: "
  .. "anybody who knows the address can send events. A webhook without any `signature` does not load at all."


local function is_none(signature)
  return signature == "none" or type(signature) == "table" and signature.scheme == "none"
end


-- A comment of some words in one of the lines, or right above.
local function is_explained(of, lines)
  for _, line in ipairs(lines) do
    for _, comment in ipairs(of:comments_at(line)) do
      if comment.text:find("%a.*%s.*%a") then
        return true
      end
    end
  end
end


function M.review(of)
  local found = {}
  for name, definition in pairs(of.provider and of.provider.webhooks or {}) do
    local keys = name == "" and { "webhooks", "signature" } or { "webhooks", name, "signature" }
    local line = of:line_of(keys)
    local scheme = { table.unpack(keys) }
    scheme[#scheme + 1] = "scheme"
    if is_none(definition.signature) and not is_explained(of, { line, of:line_of(scheme) }) then
      found[#found + 1] = { line = line,
        message = "the webhook has no signature, so anybody can send events: name a scheme, or say in a comment here "
          .. "why it needs none" }
    end
  end
  return found
end


return M
