-- Time-stamps that senders sign: read, and held against the clock in both directions.

local time = require "tide.time"

local M = {}

-- Digits of seconds, and of milliseconds: 100,000,000,000 seconds are the year 5138.
local SECONDS_DIGITS, MILLISECONDS_DIGITS = 11, 14
local RFC_3339_BYTES = 40


-- Seconds since 1970 of "1767225600"; nil when it is nothing of the kind.
function M.seconds(text)
  if #text > SECONDS_DIGITS or not text:find("^%d+$") then
    return nil
  end
  return tonumber(text)
end


-- The same, also of milliseconds and of RFC 3339.
function M.any(text)
  local seconds = M.seconds(text)
  if seconds then
    return seconds
  end
  if #text <= MILLISECONDS_DIGITS and text:find("^%d+$") then
    return tonumber(text) / 1000
  end
  return #text <= RFC_3339_BYTES and time.parse(text) or nil
end


-- Whether a time-stamp is near enough to now. `at` is what was read of it, nil for nothing.
---@return true|nil, string? reason
function M.check(at, now, tolerance_seconds)
  if not at then
    return nil, "the time-stamp cannot be read"
  end
  local age = now - at
  if age > tolerance_seconds then
    return nil, ("the time-stamp is %.0f s old"):format(age)
  end
  if -age > tolerance_seconds then
    return nil, ("the time-stamp is %.0f s ahead"):format(-age)
  end
  return true
end


-- What is sent now, in seconds.
function M.write(now)
  return ("%d"):format(math.floor(now))
end


return M
