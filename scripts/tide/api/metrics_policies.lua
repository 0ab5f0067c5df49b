-- The part of GET /metrics that is read from the generation and from the cells of policies. These are the
-- same for all workers, so they are written as they are and not summed.

local cells = require "tide.cells"

local M = {}

local STATES = { "closed", "half_open", "open" }


local function head(parts, name, help)
  parts[#parts + 1] = ("# HELP tidegate_%s %s\n# TYPE tidegate_%s gauge\n"):format(name, help, name)
end


local function sample(parts, name, labels, value)
  parts[#parts + 1] = ("tidegate_%s{%s} %.14g\n"):format(name, labels, value)
end


-- { integration = cells } of those that are loaded, and their names in order.
local function read(generation)
  local names, by_name = {}, {}
  for name, integration in pairs(generation.integrations) do
    if integration.provider then
      names[#names + 1] = name
      by_name[name] = cells.of(integration, false)
    end
  end
  table.sort(names)
  return names, by_name
end


local function render_breakers(parts, names, by_name)
  head(parts, "breaker_state", "State of the circuit breaker: 1 for the current one.")
  for _, name in ipairs(names) do
    local current = by_name[name].breaker:state()
    for _, state in ipairs(STATES) do
      sample(parts, "breaker_state", ('integration="%s",state="%s"'):format(name, state), state == current and 1 or 0)
    end
  end
end


local function render_limits(parts, names, by_name)
  local waiting = {}
  head(parts, "rate_limit_tokens", "Requests that may leave at once, by the window of the limit.")
  for _, name in ipairs(names) do
    local state = by_name[name].limiter:state()
    for _, window in ipairs({ "hour", "minute" }) do
      if state[window] then
        sample(parts, "rate_limit_tokens", ('integration="%s",window="%s"'):format(name, window), state[window])
      end
    end
    waiting[name] = state.waiting
  end
  head(parts, "rate_limit_waiting", "Requests that wait for a token.")
  for _, name in ipairs(names) do
    sample(parts, "rate_limit_waiting", ('integration="%s"'):format(name), waiting[name])
  end
end


local function render_versions(parts, generation, names)
  head(parts, "provider_info", "Constant 1 for each loaded provider; its version is a label.")
  for _, name in ipairs(names) do
    sample(parts, "provider_info", ('integration="%s",version="%s"'):format(name,
      generation.integrations[name].version), 1)
  end
end


function M.render(parts, generation)
  local names, by_name = read(generation)
  render_versions(parts, generation, names)
  render_breakers(parts, names, by_name)
  render_limits(parts, names, by_name)
end


return M
