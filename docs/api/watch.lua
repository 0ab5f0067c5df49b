---@meta tide.watch

--- What the kernel tells of changed files, and a look at them where it does not (framework;
--- `scripts/tide/reload/project_watch.lua` makes one of the two).
---
--- A change has settled 15 ms after a save was complete (closed, or moved to its name), 100 ms after
--- the last sign of a file that is still open, and 500 ms after the first sign however much follows.
local watch = {}

--- Watches nothing yet.
---@param options? { events?: boolean } events: false refuses everything, to be looked at instead
---@return watch.Watch
function watch.new(options) end


---@class watch.Watch
local Watch = {}

---@class watch.Survey
---@field signature integer another one: something changed
---@field is_new boolean a change since the look may have been missed, as something is watched that was not: look again
---@field folders string[] where the kernel tells of changes
---@field refused { folder: string, reason: string }[] where it does not

--- Looks at the paths, files or folders, on another thread, then watches every step that leads to them,
--- links too, and nothing else. What is missing is watched where it would appear. In folders names that
--- begin with one dot do not count, nor does what lies in their folders. Waits.
---@param paths string[] at most 1,024; of a folder's files 1,000 are looked at (and all are watched)
---@return watch.Survey|nil, string? message, string? code "closed", by another task meanwhile
function Watch:follow(paths) end

--- Waits until a change that was noted has settled, and forgets it. False when `seconds` passed first.
--- For one task at a time; what happens between two waits is noted for the next.
---@param seconds number
---@return boolean|nil is_settled, string? message, string? code "closed", by another task meanwhile
function Watch:wait(seconds) end

--- Notes a change that was found by looking, and may go on.
function Watch:note() end
--- Whether a change was noted and not waited for.
---@return boolean
function Watch:is_noted() end

--- Also `__close`.
function Watch:close() end

return watch
