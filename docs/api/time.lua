---@meta tide.time

--- Wall and monotonic time. Under a frozen clock (specs) both stand still.
local time = {}

--- Wall clock, seconds since 1970 with fraction.
---@return number
function time.now() end
--- Monotonic seconds, for durations and deadlines.
---@return number
function time.monotonic() end
--- RFC 3339 UTC with milliseconds: "2026-01-15T09:00:00.000Z".
---@param seconds? number now
---@return string
function time.format(seconds) end
--- RFC 3339 with any offset.
---@return number|nil seconds, string? message
function time.parse(text) end
--- IMF-fixdate of RFC 9110, e.g. for Retry-After and Date; parse accepts the two obsolete forms.
---@return string
function time.format_http(seconds) end
---@return number|nil seconds, string? message
function time.parse_http(text) end
--- strftime in UTC, or at a fixed offset in minutes (540 for Korea).
---@return string
function time.strftime(format, seconds, offset_minutes) end

return time
