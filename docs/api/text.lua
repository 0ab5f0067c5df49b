---@meta tide.text

--- Unicode text (utf8proc). Invalid UTF-8: `nil, message, "invalid_utf8"`.
local text = {}

--- Normal form C. At most 16 MiB ("too_large"), as for the two below.
---@return string|nil, string? message, string? code
function text.nfc(s) end
--- Normal form KC: compatibility characters (full width, ligatures) become plain ones.
---@return string|nil, string? message, string? code
function text.nfkc(s) end
--- Full case folding (and normal form C), for comparisons without regard to case.
---@return string|nil, string? message, string? code
function text.fold(s) end
--- Without white space (Unicode) at both ends. Takes any bytes.
---@return string
function text.trim(s) end
--- Number of code points.
---@return integer|nil, string? message, string? code
function text.length(s) end
---@return boolean
function text.is_utf8(s) end
--- Whether every character exists in EUC-KR (KS X 1001 and ASCII); false for invalid UTF-8.
---@return boolean
function text.is_euc_kr(s) end
--- At most `bytes` long, cut at a character boundary. Takes any bytes.
---@return string
function text.truncate(s, bytes) end
--- Plain split (no patterns); an empty separator raises. n separators give n + 1 parts.
---@return string[]
function text.split(s, separator) end

return text
