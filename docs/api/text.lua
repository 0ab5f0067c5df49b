---@meta tide.text

--- Unicode text (utf8proc). Invalid UTF-8: `nil, message`.
local text = {}

---@return string|nil, string? message
function text.nfc(s) end
---@return string|nil, string? message
function text.nfkc(s) end
--- Full case folding, for comparisons without regard to case.
---@return string|nil, string? message
function text.fold(s) end
--- Without white space (Unicode) at both ends.
---@return string
function text.trim(s) end
--- Number of code points.
---@return integer|nil, string? message
function text.length(s) end
---@return boolean
function text.is_utf8(s) end
--- Whether every character exists in EUC-KR (KS X 1001 and ASCII).
---@return boolean
function text.is_euc_kr(s) end
--- At most `bytes` long, cut at a character boundary.
---@return string
function text.truncate(s, bytes) end
--- Plain split (no patterns).
---@return string[]
function text.split(s, separator) end

return text
