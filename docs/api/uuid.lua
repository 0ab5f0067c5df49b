---@meta tide.uuid

--- Identifiers: UUIDs (RFC 9562), and the ids of traces and spans (W3C Trace Context).
local uuid = {}

--- A version 7 UUID (time-ordered), as text in lower case. Those made by one worker sort in
--- the order in which they were made.
---@return string
function uuid.v7() end
--- A version 4 UUID.
---@return string
function uuid.v4() end
--- A trace id: 32 hexadecimal digits, 48 bits of wall-clock milliseconds and then random.
---@return string
function uuid.trace_id() end
--- A span id: 16 random hexadecimal digits.
---@return string
function uuid.span_id() end
--- Whether `text` is a UUID of any version, in the canonical form (either case). False for
--- values that are not strings.
---@return boolean
function uuid.is_valid(text) end

return uuid
