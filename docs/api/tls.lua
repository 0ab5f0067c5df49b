---@meta tide.tls

--- The certificate of the public API (framework): one for the process, shown by every listener
--- of `tide.server` that was made with `tls = true`. TLS 1.2 and 1.3, forward secrecy only,
--- HTTP/1.1, sessions resumed by tickets that every worker can read. Loaded and refreshed by the
--- main worker alone; both functions block while they read.
local tls = {}

--- Reads the certificate, with its chain, and its key, without a password, from two PEM files
--- (which may be one); connections from now on show it, those that are there keep theirs. When it
--- fails, the one of before stays. Returns when it ends, in seconds since 1970.
---
--- Codes: "io_error" (a file cannot be read), "invalid_input" (what it holds is no certificate, no
--- key, or that of another), "out_of_memory".
---@param certificate string path
---@param key string path
---@return integer|nil expires_at, string? message, string? code
function tls.load(certificate, key) end

--- Loads again if a file is another than when it was last tried: by modification time, size and
--- inode. Returns when the new certificate ends, or false when there is none. A failure is told once
--- for each change.
---@return integer|false|nil expires_at, string? message, string? code
function tls.refresh() end

return tls
