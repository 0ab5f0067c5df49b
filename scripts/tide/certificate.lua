-- The certificate of the public API while the service runs: loaded anew when its files change, its
-- end in sight.

local counters = require "tide.state.counters"
local log = require "tide.log"
local task = require "tide.task"
local time = require "tide.time"
local tls = require "tide.tls"

local M = {}

local INTERVAL_SECONDS = 1
local SOON_SECONDS = 14 * 86400

counters.describe("certificate_expires_seconds", "gauge",
  "When the certificate of the API ends, in seconds since 1970.")


-- What to say of a certificate that ends then: nil when there is time.
function M.warning(expires_at)
  local ends = time.format(expires_at)
  if expires_at <= time.now() then
    return "the certificate has expired: " .. ends
  end
  return expires_at - time.now() < SOON_SECONDS and "the certificate expires soon: " .. ends or nil
end


-- Notes which certificate is served from now on.
function M.note(expires_at)
  counters.gauge("certificate_expires_seconds"):set(expires_at)
  local warning = M.warning(expires_at)
  if warning then
    log.warn(warning)
  end
end


local function look()
  local expires_at, message = tls.refresh()
  if expires_at == nil then
    log.error("the certificate cannot be loaded; the one of before is served", { error = message })
  elseif expires_at then
    log.info("another certificate is served", { expires_at = time.format(expires_at) })
    M.note(expires_at)
  end
end


-- Looks after the files every second, until cancelled.
function M.watch()
  return task.keep("the look at the certificate", function()
    while true do
      task.sleep(INTERVAL_SECONDS)
      look()
    end
  end)
end


return M
