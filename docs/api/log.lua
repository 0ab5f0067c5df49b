---@meta tide.log

--- One JSON line per event on stdout: `time, level, message, trace_id, integration, operation, …`.
--- Redacted (secrets' values; members with sensitive names) before it is written. The
--- writer is a thread with a queue of 4 MB; beyond it lines are dropped and counted.
local log = {}

---@param fields? table plain values and tables
function log.debug(message, fields) end
function log.info(message, fields) end
function log.warn(message, fields) end
function log.error(message, fields) end
---@param level "debug"|"info"|"warn"|"error"|"off"
function log.set_level(level) end
---@return boolean
function log.enabled(level) end
---@return { dropped: integer }
function log.stats() end

return log
