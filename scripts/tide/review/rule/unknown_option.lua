-- Misspelt options of requests.

local http_use = require "tide.review.http_use"
local outline = require "tide.review.outline"
local request = require "tide.upstream.request"
local suggest = require "tide.suggest"

local M = {}

M.name = "unknown_option"
M.severity = "error"
M.kinds = { provider = true, script = true }
M.describe = "A request of `ctx.http` is given an option that there is not: it raises."


function M.review(of)
  local found = {}
  for _, call in ipairs(http_use.calls(of.source)) do
    local options = outline.value_of(call.options)
    for _, item in ipairs(options and options.kind == "table" and options or {}) do
      if item.name and not request.OPTIONS[item.name] then
        found[#found + 1] = { line = item.line, message = ("ctx.http has no option %s%s"):format(item.name,
          suggest.hint(item.name, request.OPTIONS)) }
      end
    end
  end
  return found
end


return M
