---@meta tide.re

--- Regular expressions (PCRE2) with limits on steps, memory and time, so that no pattern can
--- run away: past them a search gives `nil, message, "limit"`.
---
--- Matched by characters when pattern and subject are valid UTF-8, else by bytes; a pattern
--- that names characters gives `nil, message, "invalid_utf8"` for a subject that is not. `$`
--- matches at the very end only (not before a last line break); `\d`, `\w`, `\s` are ASCII.
local re = {}

---@class Regex
local Regex = {}

--- Compiled patterns are kept (at most 512 per worker). At most 65,536 bytes and 99 groups.
---@param pattern string
---@param flags? string of "i" (case), "m" (^ and $ at lines), "s" (dot matches line breaks), "x" (white space and comments)
---@return Regex|nil, string? message with the offset, string? code "invalid_pattern", "too_large"
function re.compile(pattern, flags) end

--- Whether it matches anywhere in `subject` (from byte `init`; negative counts from the end).
---@param subject string
---@param init? integer 1
---@return boolean|nil, string? message, string? code
function Regex:test(subject, init) end
--- The first match: table with [0] whole, [1].. groups (false when unset), named groups,
--- `start`, `stop` (bytes, inclusive; `stop` is `start - 1` for an empty match); nil when none.
---@param subject string
---@param init? integer 1
---@return table|nil match, string? message, string? code
function Regex:match(subject, init) end
--- All matches, at most `limit` (1000).
---@param subject string
---@param limit? integer up to 100000
---@return table[]|nil, string? message, string? code
function Regex:matches(subject, limit) end
--- Replaces all; `replacement` is text with $1, $0 (the whole), ${1}, ${name}, $$; any other
--- "$" raises. At most two digits follow a "$". The result may have 64 MiB ("too_large").
---@param subject string
---@param replacement string
---@return string|nil, integer|string count_or_message, string? code
function Regex:replace(subject, replacement) end

--- Shorthands that compile first (or find the pattern in the cache) and raise for a bad one.
---@return boolean|nil, string? message, string? code
function re.test(subject, pattern, flags) end
---@return table|nil match, string? message, string? code
function re.match(subject, pattern, flags) end
---@return string|nil, integer|string count_or_message, string? code
function re.replace(subject, pattern, replacement, flags) end

return re
