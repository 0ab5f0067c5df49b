---@meta tide.log

--- One JSON line per event on stdout: `time, level, message`, then the fields, sorted by name.
---
--- Redacted before it is written: members with sensitive names (tide.redact) and the values of
--- all known secrets. Control characters are escaped; text that is not UTF-8 is repaired; a
--- message has at most 16 KiB, and fields that make the line longer than 256 KiB are left out.
--- The writer is a thread with a queue of 4 MB; beyond it lines are dropped and counted, and a
--- line says how many once there is room. No caller ever waits for the reader or the disk.
local log = {}

--- `message` is text; any other value is described. `fields` are plain values and tables;
--- `time`, `level` and `message` among them are left out.
---@param message any
---@param fields? table
function log.debug(message, fields) end
---@param message any
---@param fields? table
function log.info(message, fields) end
---@param message any
---@param fields? table
function log.warn(message, fields) end
---@param message any
---@param fields? table
function log.error(message, fields) end
--- For the whole process.
---@param level "debug"|"info"|"warn"|"error"|"off"
function log.set_level(level) end
--- Writes to a file from the next line on, which it begins anew (0600), for the whole process (framework).
---@param path string
---@return true|nil, string? message, string? code "io"
function log.write_to(path) end
---@param level "debug"|"info"|"warn"|"error"
---@return boolean
function log.enabled(level) end
---@return { dropped: integer }
function log.stats() end

return log
