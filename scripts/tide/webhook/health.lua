-- Why webhook events are received and not processed, for GET /health.

local breaker = require "tide.state.breaker"
local disk = require "tide.webhook.disk"
local cells = require "tide.cells"

local M = {}


-- One sentence each; `names` has the integrations that the caller may know of.
function M.reasons(generation, names)
  local reasons = {}
  if disk.is_low() then
    reasons[1] = "the disk is nearly full: webhook events are stored and not processed"
  end
  for name in pairs(names) do
    local integration = generation.integrations[name]
    if integration and integration.webhooks and breaker.cell(cells.handlers_name(integration)):state() ~= "closed" then
      reasons[#reasons + 1] = name .. ": its webhook handlers keep failing; events are stored, and tried one at a time"
    end
  end
  return reasons
end


return M
