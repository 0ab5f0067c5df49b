---@meta tide.crypto

--- Digests, MACs, encodings, random, authenticated encryption (OpenSSL).
local crypto = {}

--- Raw digest. algorithm: "sha256", "sha1", "sha384", "sha512", "md5".
---@return string bytes
function crypto.digest(algorithm, bytes) end
--- Raw HMAC.
---@return string bytes
function crypto.hmac(algorithm, key, bytes) end
--- Constant-time equality (false for different lengths, non-strings raise).
---@return boolean
function crypto.equal(a, b) end
---@return string
function crypto.hex(bytes) end
---@return string|nil bytes, string? message
function crypto.from_hex(text) end
---@return string
function crypto.base64(bytes) end
--- Strict: canonical padding, no white space.
---@return string|nil bytes, string? message
function crypto.from_base64(text) end
--- Without padding.
---@return string
function crypto.base64url(bytes) end
--- Accepts with or without padding.
---@return string|nil bytes, string? message
function crypto.from_base64url(text) end
---@param count integer 1..65536
---@return string bytes
function crypto.random(count) end
--- AES-256-GCM: nonce(12) .. ciphertext .. tag(16). `key` is 32 bytes.
---@return string sealed
function crypto.seal(key, plaintext, associated) end
---@return string|nil plaintext, string? message
function crypto.open(key, sealed, associated) end

return crypto
