---@meta tide.state.slots

--- So many at a time: the slots of an integration and one line of those who wait for one; one cell
--- for each name, shared by all workers (framework).
---
---     local slot <close>, retry_after = cell:enter(30)
---     if slot == nil then return nil, "overloaded", retry_after end
local slots = {}

---@class SlotsState
---@field used integer
---@field max? integer nil: no limit
---@field waiting integer

--- The cell of a name, the same in every worker; new ones have no limit. Raises beyond 4,096 names
--- in the life of a process.
---@param name string 1 to 127 bytes
---@return Slots
function slots.of(name) end


---@class Slots
local Slots = {}

--- More let those in who wait; fewer let nobody in until enough have left.
---@param max? integer at least 1; nil: no limit
---@param queue? integer how many may wait at a time, default 1,000
function Slots:configure(max, queue) end

--- Takes a slot, waiting for it in arrival order. nil and seconds when none came in time, or
--- when too many wait already.
---@param max_wait_seconds number
---@return Slot|nil slot, number? retry_after
function Slots:enter(max_wait_seconds) end

---@return SlotsState
function Slots:state() end


--- Left when it is closed or collected, at the latest.
---@class Slot
local Slot = {}

--- Frees the slot; once, later calls do nothing.
function Slot:leave() end

return slots
