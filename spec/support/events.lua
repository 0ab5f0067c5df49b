-- Rows in the store of a project, its service running or not: as if they had come, and aged.

local json = require "tide.json"

local M = {}

local SEED = [==[
local host, json, store = require "tide.host", require "tide.json", require "tide.store"
assert(store.open("sqlite:var/" .. DATABASE))
local result = json.array()
for index, one in ipairs(assert(json.decode(assert(host.read_file("seed.json", 1 << 28))))) do
  local run = one.sql:find("^SELECT") and store.query or store.execute
  result[index] = assert(run(one.sql, table.unpack(one.values)))
end
host.write("stdout", json.encode(result))
return 0
]==]


local function insert(into, row)
  local names, places, values = {}, {}, json.array()
  for name, value in pairs(row) do
    names[#names + 1] = name
    places[#places + 1] = "$" .. #names
    values[#values + 1] = type(value) == "table" and json.encode(value) or value
  end
  return { sql = ("INSERT INTO %s (%s) VALUES (%s)"):format(into, table.concat(names, ", "),
    table.concat(places, ", ")), values = values }
end


-- Executes statements ({ sql, values } each) on the store, or another database in var/; what each gives.
function M.execute(project, statements, database)
  project:write("seed.lua", (SEED:gsub("DATABASE", ("%q"):format(database or "tidegate.db"))))
  project:write("seed.json", json.encode(json.array(statements)))
  local code, out, err = project:run { "run", "seed.lua" }
  assert(code == 0, err)
  return json.decode(out)
end


-- The rows of one query.
function M.query(project, sql, ...)
  return M.execute(project, { { sql = sql, values = json.array { ... } } })[1]
end


-- An id of a row; larger numbers came later, one each millisecond from 2026-01-01 on.
function M.id(number)
  local milliseconds = ("%012x"):format(1767225600000 + number)
  return ("%s-%s-7000-8000-%012x"):format(milliseconds:sub(1, 8), milliseconds:sub(9), number)
end


-- Inserts rows, columns by name; a table becomes JSON.
function M.insert(project, into, rows)
  local statements = {}
  for index, row in ipairs(rows) do
    statements[index] = insert(into, row)
  end
  M.execute(project, statements)
end


-- Inserts events: `number` gives the id, and what is left out is a failed one of "gone", an integration that
-- the project does not have.
function M.store(project, rows)
  local list = {}
  for index, given in ipairs(rows) do
    local row = { id = M.id(given.number), integration_name = "gone", event_type = "order.made", status = "failed",
      attempts = 1 }
    for name, value in pairs(given) do
      row[name] = value
    end
    row.number = nil
    list[index] = row
  end
  M.insert(project, "webhook_events", list)
end


return M
