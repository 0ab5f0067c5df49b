---@meta tide.state.cache

--- Values that are kept for some time, in memory that all workers share and within a number of
--- bytes (framework). A space is one integration's part: keys of its own, an epoch, counts.
---
--- An entry is fresh for its TTL, kept for some time after that, and gone then. It may be evicted
--- at any time, the least recently used of its sixteenth of the memory first; so a single entry takes a
--- sixteenth at most. Time is the worker's clock (`tide.time`); a space takes no step back in
--- time.
local cache = {}

--- The space of a name, the same in every worker. At most 4,096 in the life of a process.
---@param name string 1 to 127 bytes
---@return CacheSpace|nil space, string? message
---@return string? code "overloaded"
function cache.space(name) end

--- The whole. `bytes` are those of keys, values and what it takes to keep them; `evictions` and
--- `refused` only rise.
---@return { bytes: integer, max_bytes: integer, entries: integer, evictions: integer, refused: integer }
function cache.stats() end

--- Evicts at once what is over the new limit.
---@param bytes integer
function cache.set_limit(bytes) end


---@class CacheSpace
local CacheSpace = {}

--- nil when there is nothing. `expires_in` is above 0 while the entry is fresh and below 0 from the
--- instant of its expiry on. Counts nothing.
---@param key string
---@return string|nil value, number age_seconds, number expires_in_seconds
---@return boolean is_negative
function CacheSpace:get(key) end

--- Says what the caller made of what it got.
---@param kind "hit"|"stale"|"miss"|"negative"
function CacheSpace:count(kind) end

--- A number that each delete raises: read before a value is made, it keeps `put` from storing
--- what a delete meant.
---@return integer
function CacheSpace:epoch() end

--- Stores a value, in place of the one before. false, "too_large": a key over 65,536 bytes or a value
--- over 1 MiB; "epoch": something was deleted since; "full": larger than a sixteenth of the
--- memory. What was there stays then, and the refusal is counted.
---@param key string
---@param value string
---@param ttl_seconds number at least 0
---@param keep_seconds number at least 0: how long past its expiry it is kept
---@param epoch? integer
---@param is_negative? boolean
---@return boolean stored, "too_large"|"epoch"|"full"|nil reason
function CacheSpace:put(key, value, ttl_seconds, keep_seconds, epoch, is_negative) end

--- Whether there was an entry. Raises the epoch in any case.
---@param key string
---@return boolean
function CacheSpace:delete(key) end

--- Deletes all whose key, up to its first NUL byte, matches. `*` is any run of bytes, `?` any one
--- byte, `\` takes the byte after it as it is. Raises the epoch in any case. Where there are thousands of
--- entries other tasks run in between, here and in the next three; what is stored meanwhile may stay.
---@param pattern string at most 4,096 bytes
---@return integer count
function CacheSpace:delete_matching(pattern) end

--- How many `delete_matching` would delete.
---@param pattern string
---@return integer count
function CacheSpace:count_matching(pattern) end

--- Of the keys that match, `most` (0 to 10,000), in no order, each up to its first NUL byte and 1,024 bytes of it;
--- and how many match.
---@param pattern string
---@param most integer
---@return string[] keys, integer count
function CacheSpace:keys(pattern, most) end

--- Deletes all. Raises the epoch.
---@return integer count
function CacheSpace:clear() end

--- `hits`, `stale_hits`, `misses` and `negative_hits` are what `count` was told; `deletes` are
--- entries; `entries` and `bytes` are those of now, the others only rise.
---@return { hits: integer, stale_hits: integer, misses: integer, negative_hits: integer, stores: integer, refused: integer, evictions: integer, deletes: integer, entries: integer, bytes: integer }
function CacheSpace:stats() end

return cache
