---@meta tide.state.trial

--- The first calls of a new version of an integration: whether too many of them fail. One trial for
--- each name, shared by all workers (framework).
---
---     trial.begin("acme", version)                             -- in any worker, at most once each
---     if trial.note("acme", version, failed) == "failing" then … bring the old one back … end
---
--- Every function raises for a name that has not 1 to 127 bytes, and beyond 4,096 names in the life of a
--- process.
local trial = {}

--- Begins the trial of a version, in place of any other. That of the same version goes on, or stays
--- over.
---@param name string
---@param version string 1 to 127 bytes, no NUL
---@param calls? integer how many calls are looked at, default 20
---@param errors? integer with so many errors among them the version fails, default 5
function trial.begin(name, version, calls, errors) end

--- A call of `version` has ended. "failing" once in the life of a trial: to the call whose error was one
--- too many. nil else, and for calls of other versions or when the trial is over.
---@param failed boolean
---@return "failing"|nil
function trial.note(name, version, failed) end

--- Forgets the trial: the same version could begin one anew.
function trial.stop(name) end

--- nil when there is none.
---@return { version: string, calls: integer, errors: integer, is_on: boolean }|nil
function trial.read(name) end

return trial
