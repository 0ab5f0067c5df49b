---@meta tide.time

--- Wall and monotonic time. Under a frozen clock (specs) both stand still.
---
--- Instants are seconds since 1970-01-01T00:00:00Z. Text that cannot be read gives
--- `nil, message, "invalid_time"`; instants outside of the years 0000 to 9999 raise.
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
--- RFC 3339 with any offset. A leap second (23:59:60 UTC) is the second after it; digits past
--- the microsecond are dropped.
---@param text string
---@return number|nil seconds, string? message, string? code
function time.parse(text) end
--- IMF-fixdate of RFC 9110, e.g. for Date and Last-Modified.
---@param seconds? number now
---@return string
function time.format_http(seconds) end
--- IMF-fixdate and the two obsolete forms (RFC 850, asctime), e.g. of Retry-After.
---@param text string
---@return number|nil seconds, string? message, string? code
function time.parse_http(text) end
--- strftime in UTC, or at a fixed offset in minutes (540 for Korea). The conversions of C99, in
--- English; an unknown one raises; at most 4,096 bytes.
---@param format string
---@param seconds? number now
---@param offset_minutes? integer 0
---@return string
function time.strftime(format, seconds, offset_minutes) end

return time
