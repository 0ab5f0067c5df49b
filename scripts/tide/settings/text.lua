-- The configuration of an integration, its history, and what becomes of a call by it, laid out for people.

local json = require "tide.json"
local columns = require "tide.columns"
local message = require "tide.message"
local plain_text = require "tide.console.plain_text"
local sorted = require "tide.sorted"

local M = {}

local VALUE_BYTES_MAX <const> = 200
-- Of 80 columns, what a key and a source leave for a value.
local VALUE_COLUMNS <const> = 32
-- Of 80, what the columns before leave for the state of a policy.
local NOW_COLUMNS <const> = 56
-- What of a value comes from several layers is shown member by member.
local MERGED <const> = "extra_config"


local function value_text(value)
  local is_plain = type(value) == "string" and not value:find("%c")
  local text = is_plain and value or json.encode(value, { canonical = true }) or tostring(value)
  return message.clean(text, VALUE_BYTES_MAX)
end


-- Values ------------------------------------------------------------------------------------------


local function is_object(value)
  return type(value) == "table" and not json.is_array(value) and next(value) ~= nil
end


local function add_members(rows, path, value, sources)
  if is_object(value) then
    for _, name in ipairs(sorted.names(value)) do
      add_members(rows, path .. "." .. name, value[name], sources)
    end
  else
    rows[#rows + 1] = { path, value_text(value), sources[path] or sources[MERGED] }
  end
end


-- Rows of key, value and source: a long value moves its own source aside, not those of all.
local function aligned(rows)
  local widest, lines = 0, {}
  for _, row in ipairs(rows) do
    widest = math.max(widest, math.min(plain_text.width(row[2]), VALUE_COLUMNS))
  end
  for index, row in ipairs(rows) do
    local gap = math.max(0, widest - plain_text.width(row[2])) + 2
    lines[index] = { row[1], row[2] .. (" "):rep(gap) .. (row[3] or "") }
  end
  return columns.text(lines)
end


--- Every value with where it comes from, a line each.
---@param data { values: table, sources: table<string, string>, version: integer }
---@return string
function M.values(data)
  local rows = { { "KEY", "VALUE", "FROM" } }
  for _, name in ipairs(sorted.names(data.values)) do
    if name == MERGED then
      add_members(rows, name, data.values[name], data.sources)
    else
      rows[#rows + 1] = { name, value_text(data.values[name]), data.sources[name] }
    end
  end
  return aligned(rows)
end


--- The keys that a patch names, as they are now.
---@param data { values: table, sources: table<string, string> }
---@param patch table
---@return string
function M.changed(data, patch)
  local values, unset = {}, {}
  for _, name in ipairs(sorted.names(patch)) do
    values[name] = data.values[name]
    if values[name] == nil then
      unset[#unset + 1] = name .. " is not set\n"
    end
  end
  return (next(values) ~= nil and M.values { values = values, sources = data.sources } or "") .. table.concat(unset)
end


--- One value, and where it comes from.
---@param data { key: string, value: any, source: string|userdata }
---@return string
function M.value(data)
  if data.value == json.null then
    return data.key .. " is not set\n"
  end
  return ("%s  (%s)\n"):format(value_text(data.value), data.source)
end


-- History -----------------------------------------------------------------------------------------


--- The changes, a line each.
---@param changes table[]
---@return string
function M.history(changes)
  if #changes == 0 then
    return "nothing was changed while the service ran\n"
  end
  local rows = { { "VERSION", "TIME", "BY", "CHANGE" } }
  for _, change in ipairs(changes) do
    rows[#rows + 1] = { tostring(change.version), change.created_at, message.clean(change.actor, 100),
      value_text(change.patch) }
  end
  return columns.text(rows)
end


-- Explaining --------------------------------------------------------------------------------------


local VERDICTS <const> = {
  pass = "would pass", wait = "would wait", answer = "would be answered", refuse = "would be refused",
}


-- No more digits than somebody reads: "58.01".
local function short(value)
  if math.type(value) ~= "float" or math.abs(value) >= 1e15 then
    return value
  end
  local rounded = tonumber(("%.2f"):format(value)) or value
  return math.tointeger(rounded) or rounded
end


-- "closed, calls 12, failures 3"
local function state_text(state)
  local parts = {}
  for _, name in ipairs(sorted.names(state or {})) do
    parts[#parts + 1] = ("%s %s"):format(name, value_text(short(state[name])))
  end
  return table.concat(parts, ", ")
end


local function verdict_line(data)
  local words = ("%s.%s %s"):format(data.integration, data.operation, VERDICTS[data.verdict] or data.verdict)
  if data.policy then
    words = ("%s by %s"):format(words, data.policy)
  end
  if data.why then
    words = ("%s: %s"):format(words, data.why)
  end
  return message.clean(words) .. "\n"
end


-- Adds the row of a policy; what does not fit beside it goes on below.
local function add_step(rows, step, now)
  local row = { step.policy, step.verdict, "" }
  rows[#rows + 1] = row
  for part in now:gsub(", ", ",\0"):gmatch("%Z+") do
    if row[3] ~= "" and plain_text.width(row[3]) + plain_text.width(part) + 1 > NOW_COLUMNS then
      row = { "", "", "" }
      rows[#rows + 1] = row
    end
    row[3] = row[3] .. (row[3] ~= "" and " " or "") .. part
  end
end


local function steps_of(data)
  local rows = { { "POLICY", "VERDICT", "NOW" } }
  for _, step in ipairs(data.policies) do
    local now = {}
    now[#now + 1] = step.why and message.clean(step.why)
    now[#now + 1] = step.state and state_text(step.state)
    add_step(rows, step, table.concat(now, "; "))
  end
  return columns.text(rows)
end


--- What would become of a call, the policies in order with their state, and the values.
---@param data table as explain.lua makes it
---@return string
function M.explanation(data)
  local values, sources = {}, {}
  for name, setting in pairs(data.settings) do
    values[name], sources[name] = setting.value, setting.source
    for path, source in pairs(setting.sources or {}) do
      sources[name .. "." .. path] = source
    end
  end
  return table.concat({ verdict_line(data), steps_of(data), M.values { values = values, sources = sources } }, "\n")
end


return M
