---@meta tide.json

--- Strict JSON (RFC 8259 and nothing else), straight into Lua values and back.
---
--- **Numbers.** Integers are exact to int64; a number outside int64 or with a fraction or
--- an exponent becomes a float, `-0` the float -0.0; one beyond the largest double is
--- refused. Floats are written in the fewest digits that read back equal, a whole one
--- without a fraction (`10 / 2` is `5`): it comes back as an integer, equal to what it was.
---
--- **Tables.** Objects become tables with string keys; of equal keys the last one wins.
--- Arrays become tables with keys 1..n that carry the array mark, so that `{}` and `[]`
--- stay distinct through a decode and an encode. The mark is a metatable without effect
--- that scripts can neither read nor replace. Keys such as `__index` are data.
---
--- **Text** is UTF-8, checked both ways; NUL is kept in strings and keys; lone surrogates
--- and a byte order mark are refused. At most 128 levels both ways.
local json = {}

--- The value that stands for a JSON null (a light userdata; equal only to itself, and true
--- in a condition).
json.null = nil

--- Marks a table as an array and returns it; without an argument a new empty one.
--- An empty table without the mark is encoded as `{}`. Raises when the table has a
--- metatable already.
---@generic T: table
---@param list? T
---@return T
function json.array(list) end

--- Whether `value` carries the array mark.
---@param value any
---@return boolean
function json.is_array(value) end

--- Decodes one document, without anything after it but white space.
---@param text string
---
--- `null = "absent"` leaves out null members of objects, nulls in arrays not. `only`, a table with names
--- as keys, leaves out all other members of the outermost object; they are checked like the rest.
---@param options? { null?: "absent", only?: table<string, any> }
---@return any|nil value, string? message "invalid JSON: … at byte N", counted from 1
---@return string? code "invalid_json"; "out_of_memory" when the Lua stack is full
function json.decode(text, options) end

--- Encodes a value. A table with the array mark, or a non-empty one whose keys are
--- exactly 1..n, is an array; any other is an object whose keys are all strings.
--- Refused, as `nil, message, "not_encodable"`, naming the path: nil, functions,
--- coroutines, userdata other than `null`, NaN and infinities, mixed or numeric keys,
--- sparse arrays, invalid UTF-8, more than 128 levels (so cycles too), results over
--- `max_bytes` (default 64 MiB). Metatables are not consulted.
---
--- `canonical`: RFC 8785 (keys sorted by UTF-16 code units; floats as ECMAScript writes
--- them, so both zeros are `0` and those from 2^53 on end in zeros), except that integers
--- keep all their digits beyond 2^53. `pretty`: one member a line, indented by two spaces,
--- keys sorted likewise. Not both. Without either the order of keys is any.
---@param value any
---@param options? { canonical?: boolean, pretty?: boolean, max_bytes?: integer }
---@return string|nil text, string? message "cannot encode value.list[3].name: …"
---@return string? code "not_encodable"; "out_of_memory"
function json.encode(value, options) end

return json
