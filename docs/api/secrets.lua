---@meta tide.state.secrets

--- The one process-wide table of secrets (framework). Values leave it only through
--- `get`; `redact` knows all of them. Shared by all workers, thread-safe.
local secrets = {}

--- Stores or replaces a value. `owner` is an integration's name or "tidegate" (API tokens), `name`
--- the secret's. Returns the version, which counts up at each change of value.
--- At most 64 KB a value, 10,000 secrets and 256 KB of values in all; beyond that it raises.
---@param source string "environment", "file", "stored", "token"
---@param expires_at? number wall time
---@return integer version
function secrets.put(owner, name, value, source, expires_at) end
--- Stores or replaces `name` and `previous_name`, both from the store, or removes the latter when
--- there is no `previous`: both at one time, or it raises and nothing has changed.
---@param previous? string
---@param expires_at? number wall time at which `previous` ends
function secrets.rotate(owner, name, value, previous_name, previous, expires_at) end
---@return string|nil value, integer? version, string? source, number? expires_at
function secrets.get(owner, name) end
--- A number that is another after each change of any value: what was read of the table is still true
--- while it is the same.
---@return integer
function secrets.changes() end
--- Removes it; with `version` only when it is still that one (a token that was refused).
---@return boolean removed
function secrets.remove(owner, name, version) end
--- The owner's secrets, never their values.
---@return { owner: string, name: string, source: string, version: integer, expires_at?: number }[]
function secrets.list(owner) end
--- How much is held, and how much can be.
---@return { count: integer, bytes: integer, count_max: integer, bytes_max: integer }
function secrets.usage() end
--- `text` with every occurrence of every known value of 8 bytes and more replaced by
--- "[redacted]": as it stands, percent-encoded, JSON-escaped (each twice over, too) and inside
--- base64 of anything that holds it, such as "user:value". The same string when there is none.
---@return string
function secrets.redact(text) end

return secrets
