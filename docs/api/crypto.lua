---@meta tide.crypto

--- Digests, MACs, encodings, random, authenticated encryption, signatures (OpenSSL).
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

---@alias SignatureAlgorithm
---| "ed25519"
---| "rsa-sha256" PKCS #1 v1.5: RS256 of JWS
---| "rsa-pss-sha256" PS256 of JWS
---| "ecdsa-sha256" the signature in DER; the curves P-256, P-384 and P-521
---| "es256" over P-256, the signature r and s, 32 bytes each: ES256 of JWS
---| "rsa-sha1" verification only

--- Signs. The key is a private key in PEM (PKCS #8, or as OpenSSL writes it) without password, for
--- ed25519 also its 32 bytes; an RSA key has 2048 to 4096 bits. The last 64 keys of a worker,
--- those of `verify` counted, are kept ready.
--- Failure: `nil, message, "invalid_key"`, the message without anything of the key.
---@param algorithm SignatureAlgorithm
---@param private_key string
---@param bytes string
---@return string|nil signature, string? message, string? code
function crypto.sign(algorithm, private_key, bytes) end
--- Whether `signature` is that of `bytes`; false for one that is malformed, too. The key is a
--- public key in PEM or that of an X.509 certificate in PEM (its dates and its issuer are not
--- looked at), a public key in DER (SPKI) or its base64; for ed25519 also the 32 bytes or their
--- base64. An RSA key has 1024 to 8192 bits.
--- Failure: `nil, message, "invalid_key"`.
---@param algorithm SignatureAlgorithm
---@param public_key string
---@param bytes string
---@param signature string
---@return boolean|nil valid, string? message, string? code
function crypto.verify(algorithm, public_key, bytes, signature) end

return crypto
