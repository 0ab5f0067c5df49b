-- Lists that are read from a table of the store, newest first: the filters of a query become the
-- conditions of a statement, and the id of a page's last row the cursor of the next. Ids begin
-- with the time, so that a range of times is a range of ids, which have an index.

local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local row_id = require "tide.row_id"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"

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


function M.time(value)
  local seconds = time.parse(value)
  if not seconds then
    return nil, "must be a time such as 2026-01-15T09:00:00Z"
  end
  return row_id.at(seconds)
end


-- What a reader takes.
local TAKES = {
  [M.text] = { type = "string", maxLength = 255 },
  [M.boolean] = { type = "boolean" },
  [M.uuid] = shape.of("uuid"),
  [M.time] = shape.of("time"),
}

local USUAL = {
  integration = "Only of this integration.",
  from = "Not before this time.",
  to = "Before this time.",
}


-- Conditions --------------------------------------------------------------------------------------


local Where = {}
Where.__index = Where


function Where:add(condition, value)
  self.values[#self.values + 1] = value
  self.conditions[#self.conditions + 1] = ("%s $%d"):format(condition, #self.values)
end


-- Only the integrations that a token is bound to.
function Where:bind(column, integrations)
  local places = {}
  for name in pairs(integrations) do
    self.values[#self.values + 1] = name
    places[#places + 1] = "$" .. #self.values
  end
  self.conditions[#self.conditions + 1] = ("%s IN (%s)"):format(column, table.concat(places, ", "))
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
-- stays, so that the same filters always make the same statement; where the condition is a table it
-- has the whole condition by value, and the values stand in the reader's place. `cursor` and `limit`
-- come of themselves.
--
-- `options`: `condition`, which every row meets; `id` and `integration`, what stands for these two
-- columns in conditions and order. An expression (id || '') keeps an index on the column from being
-- chosen where the condition has a better one.
function M.new(select, filters, options)
  options = options or {}
  local search = setmetatable({
    select = select, filters = filters, parameters = { limit = true }, condition = options.condition,
    id = options.id or "id", integration = options.integration or "integration_name",
  }, Search)
  filters[#filters + 1] = { "cursor", search.id .. " <", M.uuid }
  for _, filter in ipairs(filters) do
    search.parameters[filter[1]] = true
  end
  return search
end


-- Its parameters for the API's description. `words`: descriptions by name.
function Search:describe(words)
  local list = {}
  for _, filter in ipairs(self.filters) do
    local name, reader = filter[1], filter[3]
    if name ~= "cursor" then
      local schema = type(reader) == "table" and { type = "string", enum = reader } or TAKES[reader]
      list[#list + 1] = { name = name, schema = schema, description = words and words[name] or USUAL[name] }
    end
  end
  return table.move(shape.PAGE, 1, #shape.PAGE, #list + 1, list)
end


-- Adds what a filter asks for; nil and what is wrong with its value.
local function add_filter(where, filter, text)
  if type(filter[2]) == "table" then
    local condition = filter[2][text]
    where.conditions[#where.conditions + 1] = condition
    return condition, "must be " .. table.concat(filter[3], " or ")
  end
  local value, problem = filter[3](text)
  if value == nil then
    return nil, problem
  end
  where:add(filter[2], value)
  return true
end


-- The conditions that a query makes: `text()` and `values`; nil and an error.
function Search:conditions(query, identity)
  local where = setmetatable({ conditions = { self.condition }, values = {} }, Where)
  for _, filter in ipairs(self.filters) do
    local name = filter[1]
    if query[name] then
      local added, problem = add_filter(where, filter, query[name])
      if not added then
        return nil, exchange.invalid("#/" .. name, name .. " " .. problem)
      end
    end
  end
  if identity.integrations then
    where:bind(self.integration, identity.integrations)
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


-- A page of what `query` asks for, each row changed in place by `show`; nil and an error.
function Search:page(query, identity, show)
  local limit, err = exchange.limit_of(query)
  local where
  if limit then
    where, err = self:conditions(query, identity)
  end
  if not where then
    return nil, err
  end
  where.values[#where.values + 1] = limit + 1
  local statement = ("%s%s ORDER BY %s DESC LIMIT $%d"):format(self.select, where:text(), self.id, #where.values)
  local rows, message, code = store.query(statement, table.unpack(where.values))
  if not rows then
    return nil, M.unavailable(message, code)
  end
  for _, row in ipairs(rows) do
    show(row)
  end
  return exchange.list(rows, limit, function(row) return row.id end)
end


-- The answer to a request.
function Search:answer(current, show)
  local query, err = current:query(self.parameters)
  if not query then
    return nil, err
  end
  return self:page(query, current.identity, show)
end


return M
