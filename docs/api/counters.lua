---@meta tide.state.counters

--- Metrics cells: one writer (this worker) each, summed when read (framework).
local counters = {}

---@class Counter
local Counter = {}
---@param amount? number 1
function Counter:add(amount) end

---@class Histogram
local Histogram = {}
---@param value number
function Histogram:observe(value) end

--- The cell of this worker for a series; made once, kept. At most 1,000 series per name
--- (beyond it the label values become "other", counted in dropped_total{what="series"}).
---@param name string "calls_total"
---@param labels? string ready text: 'integration="acme",outcome="ok"'
---@return Counter
function counters.counter(name, labels) end
---@return Counter with set(value); the sum over workers is shown
function counters.gauge(name, labels) end
---@param buckets? number[] upper bounds; default 1 ms … 60 s
---@return Histogram
function counters.histogram(name, labels, buckets) end
--- Prometheus text of everything, sorted by name, each with HELP and TYPE.
---@return string
function counters.render() end

--- The help text of a name.
---@param name string
---@param kind "counter"|"gauge"|"histogram" for the reader of the code; the first cell decides
---@param help string
function counters.describe(name, kind, help) end

--- Label sets that were refused a series of their own.
---@return number
function counters.dropped_series() end

return counters
