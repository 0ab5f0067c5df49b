-- Lists that are read from a table of the store, newest first: the filters of a query become the
-- conditions of a statement, and the id of a page's last row the cursor of the next. Ids begin
-- with the time, so that a range of times is a range of ids, which have an index.

local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local exchange = require "tide.api.exchange"

local M = {}


-- Readers of a filter's value: what the statement compares with; nil and what is wrong. ------------


function M.text(value)
  if #value > 255 then
    return nil, "must be at most 255 bytes"
  end
  return value
end


function M.boolean(value)
  if value == "true" or value == "1" then
    return true
  end
  if value == "false" or value == "0" then
    return false
  end
  return nil, "must be true or false"
end


function M.uuid(value)
  if not uuid.is_valid(value) then
    return nil, "must be a UUID"
  end
  return value:lower()
end


-- The least id of an instant, which has microseconds.
local function id_at(seconds)
  local milliseconds = ("%012x"):format(math.max(0, math.floor(seconds * 1e6 + 0.5) // 1000))
  return ("%s-%s-7000-8000-000000000000"):format(milliseconds:sub(1, 8), milliseconds:sub(9))
end


function M.time(value)
  local seconds = time.parse(value)
  if not seconds then
    return nil, "must be a time such as 2026-01-15T09:00:00Z"
  end
  return id_at(seconds)
end


-- Conditions --------------------------------------------------------------------------------------


local Where = {}
Where.__index = Where


function Where:add(condition, value)
  self.values[#self.values + 1] = value
  self.conditions[#self.conditions + 1] = ("%s $%d"):format(condition, #self.values)
end


-- Only the integrations that a token is bound to.
function Where:bind(integrations)
  local places = {}
  for name in pairs(integrations) do
    self.values[#self.values + 1] = name
    places[#places + 1] = "$" .. #self.values
  end
  self.conditions[#self.conditions + 1] = ("integration_name IN (%s)"):format(table.concat(places, ", "))
end


function Where:text()
  if #self.conditions == 0 then
    return ""
  end
  return " WHERE " .. table.concat(self.conditions, " AND ")
end


local Search = {}
Search.__index = Search


-- A list of what `select` ("SELECT … FROM …", without conditions) finds; the table has the columns
-- `id` and `integration_name`. `filters` are { name, condition, reader } each, in an order that
-- stays, so that the same filters always make the same statement; `cursor` and `limit` come of
-- themselves.
function M.new(select, filters)
  local search = setmetatable({ select = select, filters = filters, parameters = { limit = true } }, Search)
  filters[#filters + 1] = { "cursor", "id <", M.uuid }
  for _, filter in ipairs(filters) do
    search.parameters[filter[1]] = true
  end
  return search
end


function Search:conditions(query, identity)
  local where = setmetatable({ conditions = {}, values = {} }, Where)
  for _, filter in ipairs(self.filters) do
    local name = filter[1]
    if query[name] then
      local value, problem = filter[3](query[name])
      if value == nil then
        return nil, exchange.invalid("#/" .. name, name .. " " .. problem)
      end
      where:add(filter[2], value)
    end
  end
  if identity.integrations then
    where:bind(identity.integrations)
  end
  return where
end


-- The error of a search that the store refused.
function M.unavailable(message, code)
  if code == "timeout" or code == "too_large" then
    return errors.new("unavailable", message .. ": narrow the search, or lower limit")
  end
  return errors.new("unavailable", message)
end


-- The answer to a request: a page of rows, each changed in place by `show`; nil and an error.
function Search:answer(current, show)
  local query, err = current:query(self.parameters)
  local limit, where
  if query then
    limit, err = exchange.limit_of(query)
  end
  if limit then
    where, err = self:conditions(query, current.identity)
  end
  if not where then
    return nil, err
  end
  where.values[#where.values + 1] = limit + 1
  local statement = ("%s%s ORDER BY id DESC LIMIT $%d"):format(self.select, where:text(), #where.values)
  local rows, message, code = store.query(statement, table.unpack(where.values))
  if not rows then
    return nil, M.unavailable(message, code)
  end
  for _, row in ipairs(rows) do
    show(row)
  end
  return exchange.list(rows, limit, function(row) return row.id end)
end


return M
