---@meta tide.crypto

--- Digests, MACs, encodings, random, authenticated encryption (OpenSSL).
---
--- Bytes are strings. Text that cannot be decoded gives `nil, message, "invalid_encoding"`.
local crypto = {}

---@alias Algorithm "sha256"|"sha1"|"sha384"|"sha512"|"md5"

--- Raw digest.
---@param algorithm Algorithm
---@param bytes string
---@return string bytes
function crypto.digest(algorithm, bytes) end
--- Raw HMAC. The last 64 keys of a worker are kept ready.
---@param algorithm Algorithm
---@param key string
---@param bytes string
---@return string bytes
function crypto.hmac(algorithm, key, bytes) end
--- Constant-time equality (false for different lengths; values that are not strings raise).
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end
--- In lower case.
---@return string
function crypto.hex(bytes) end
--- In either case.
---@return string|nil bytes, string? message, string? code
function crypto.from_hex(text) end
---@return string
function crypto.base64(bytes) end
--- Strict: canonical padding, no white space, unused bits zero.
---@return string|nil bytes, string? message, string? code
function crypto.from_base64(text) end
--- Without padding.
---@return string
function crypto.base64url(bytes) end
--- Accepts with or without padding; otherwise as strict.
---@return string|nil bytes, string? message, string? code
function crypto.from_base64url(text) end
---@param count integer 1..65536
---@return string bytes
function crypto.random(count) end
--- AES-256-GCM: nonce(12) .. ciphertext .. tag(16), the nonce random. `key` is 32 bytes.
---@param key string
---@param plaintext string
---@param associated? string authenticated, but not part of the result: a name, a purpose
---@return string sealed
function crypto.seal(key, plaintext, associated) end
--- `nil, message, "not_authentic"` when anything was changed, or the key is another.
---@param key string
---@param sealed string
---@param associated? string
---@return string|nil plaintext, string? message, string? code
function crypto.open(key, sealed, associated) end

return crypto
