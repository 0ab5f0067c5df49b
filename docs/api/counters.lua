---@meta tide.state.counters

--- Metrics cells: one writer (this worker) each, summed when read (framework).
local counters = {}

---@class Counter
local Counter = {}
--- Finite and not negative.
---@param amount? number 1
function Counter:add(amount) end

---@class Gauge
local Gauge = {}
---@param value number finite
function Gauge:set(value) end
---@param amount? number 1; may be negative
function Gauge:add(amount) end

---@class Histogram
local Histogram = {}
---@param value number finite
function Histogram:observe(value) end

--- The cell of this worker for a series; made once, kept. At most 1,000 series per name; beyond
--- it all share the series with the labels `series="other"` (not kept: ask for as few as can
--- be), see dropped_series. Raises for what is no metric name, no labels, a name of another
--- kind, and beyond 256 names.
---@param name string "calls_total"
---@param labels? string ready text: 'integration="acme",outcome="ok"', at most 512 bytes
---@return Counter
function counters.counter(name, labels) end
--- The sum over workers is shown.
---@return Gauge
function counters.gauge(name, labels) end
---@param buckets? number[] upper bounds, ascending, at most 32; default 1 ms … 60 s; those of the first call for a name count
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
