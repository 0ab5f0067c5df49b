---@meta tide.state.secrets

--- The one process-wide table of secrets (framework). Values leave it only through
--- `get`; `redact` knows all of them. Shared by all workers, thread-safe.
local secrets = {}

--- Stores or replaces a value. `owner` is an integration's name or "tidegate" (API tokens), `name`
--- the secret's. Returns the version, which counts up at each change of value.
---@param source string "environment", "file", "stored", "token"
---@param expires_at? number wall time
---@return integer version
function secrets.put(owner, name, value, source, expires_at) end
---@return string|nil value, integer? version, string? source, number? expires_at
function secrets.get(owner, name) end
--- Removes it; with `version` only when it is still that one (a token that was refused).
---@return boolean removed
function secrets.remove(owner, name, version) end
---@return { owner: string, name: string, source: string, version: integer, expires_at?: number }[] never values
function secrets.list(owner) end
--- `text` with every occurrence of every known value (8 bytes and longer; also
--- percent-encoded, JSON-escaped, base64 of the value and of `user:value`) replaced by "[redacted]".
---@return string
function secrets.redact(text) end

return secrets
