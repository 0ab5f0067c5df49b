---@meta tide.re

--- Regular expressions (PCRE2, UTF mode when pattern and subject are valid UTF-8), with a
--- step limit, so that no pattern can run away.
local re = {}

---@class Regex
local Regex = {}

--- Compiled patterns are kept (at most 512 per worker).
---@param pattern string
---@param flags? string of "i", "m", "s", "x"
---@return Regex|nil, string? message with the offset
function re.compile(pattern, flags) end

--- Whether it matches anywhere in `subject` (from byte `init`).
--- Past the step limit: `nil, message, "limit"`.
---@return boolean|nil, string? message, string? code
function Regex:test(subject, init) end
--- The first match: table with [0] whole, [1].. groups (false when unset), named groups, `start`, `stop` (bytes, inclusive); nil when none.
---@return table|nil match, string? message, string? code
function Regex:match(subject, init) end
--- All matches, at most `limit` (1000).
---@return table[]|nil, string? message, string? code
function Regex:matches(subject, limit) end
--- Replaces all; `replacement` is text with $1, ${name}, $$.
---@return string|nil, integer|string count_or_message, string? code
function Regex:replace(subject, replacement) end

--- Shorthands that compile first and raise for a bad pattern.
function re.test(subject, pattern, flags) end
function re.match(subject, pattern, flags) end
function re.replace(subject, pattern, replacement, flags) end

return re
