---@meta tide.json

--- Strict JSON (RFC 8259), straight into Lua values and back.
---
--- Integers are exact to int64; a number outside int64 or with a fraction or an
--- exponent becomes a float. Objects become tables with string keys, arrays become
--- tables with keys 1..n that carry the array mark, so that `{}` and `[]` stay
--- distinct through a decode and an encode.
local json = {}

--- The value that stands for a JSON null (a light userdata; equal only to itself).
json.null = nil

--- Marks a table as an array and returns it; without an argument a new empty one.
--- An empty table without the mark is encoded as `{}`.
---@generic T: table
---@param list? T
---@return T
function json.array(list) end

--- Whether `value` carries the array mark.
---@return boolean
function json.is_array(value) end

--- Decodes one document. At most 128 levels deep.
---@param text string
---@param options? { null?: "absent" } with `null = "absent"` null members are left out (nulls in arrays stay `json.null`)
---@return any|nil value, string? message "… at byte N", string? code "invalid_json"
function json.decode(text, options) end

--- Encodes a value. A table with the array mark, or a non-empty one whose keys are
--- exactly 1..n, is an array; any other is an object whose keys are all strings.
--- Refused, as `nil, message, "not_encodable"`, naming the path: functions, coroutines,
--- userdata other than `null`, NaN and infinities, mixed or numeric keys, sparse arrays,
--- invalid UTF-8, more than 128 levels (so cycles too), results over `max_bytes`
--- (default 64 MiB). Metatables are not consulted.
---@param value any
---@param options? { canonical?: boolean, pretty?: boolean, max_bytes?: integer } canonical: RFC 8785 (sorted keys, shortest numbers)
---@return string|nil text, string? message, string? code
function json.encode(value, options) end

return json
