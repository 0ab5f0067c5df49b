-- Numbered SQL files: NNN_name.sql, or NNN_name.DIALECT.sql where the databases differ.

local database = require "tide.database"
local host = require "tide.host"

local M = {}

local FILE_BYTES_MAX = 4 * 1024 * 1024
local FILES_MAX = 1000
local DIALECTS = { sqlite = true, postgres = true }


-- Number, name and dialect (nil: for all) of a file name; nothing when it is not one of a migration.
local function parse(file)
  local number, name, rest = file:match("^(%d+)_([%w_]+)%.(.*)$")
  number = math.tointeger(tonumber(number))
  local dialect = rest and rest:match("^(%a+)%.sql$")
  if not number or number < 1 or (rest ~= "sql" and not DIALECTS[dialect]) then
    return nil
  end
  return number, name, dialect
end


-- { number, name, sql } of the framework's migrations for a dialect, in order.
function M.framework(dialect)
  local list = {}
  for _, asset in ipairs(host.assets("scripts/migrations/")) do
    local number, name, of = parse(asset:match("[^/]*$"))
    if number and (of == nil or of == dialect) then
      list[#list + 1] = { number = number, name = name, sql = host.asset(asset) }
    end
  end
  return list
end


-- Puts a file into `chosen`, by number. A fault, or nil.
local function choose(chosen, path, file, dialect)
  local number, name, of = parse(file)
  if not number then
    return ("%s: name it NNN_name.sql, NNN_name.sqlite.sql or NNN_name.postgres.sql"):format(path)
  end
  if of and of ~= dialect then
    return nil
  end
  local other = chosen[number]
  if other and (other.name ~= name or other.dialect == of) then
    return ("%s: %s has the number %d, too"):format(path, other.path, number)
  end
  if not other or of then
    chosen[number] = { number = number, name = name, path = path, dialect = of }
  end
  return nil
end


local function read_all(chosen)
  local list, faults = {}, {}
  for _, entry in pairs(chosen) do
    local text, fault = host.read_file(entry.path, FILE_BYTES_MAX)
    if text then
      list[#list + 1] = { number = entry.number, name = entry.name, sql = text, path = entry.path }
    else
      faults[#faults + 1] = ("%s: could not be read: %s"):format(entry.path, fault)
    end
  end
  table.sort(list, function(left, right) return left.number < right.number end)
  return list, faults
end


-- The project's migrations in `folder` for a dialect, in order: none when there is no such folder.
-- nil and the faults, each "FILE: message", when a file is misnamed or cannot be read.
function M.read(folder, dialect)
  if host.stat(folder) ~= "directory" then
    return {}
  end
  local files, message = host.list(folder)
  if not files then
    return nil, { ("%s: %s"):format(folder, message) }
  end
  if #files > FILES_MAX then
    return nil, { ("%s: more than %d files"):format(folder, FILES_MAX) }
  end
  local chosen, faults = {}, {}
  for _, file in ipairs(files) do
    if file:match("^[^.].*%.sql$") then
      faults[#faults + 1] = choose(chosen, folder .. "/" .. file, file, dialect)
    end
  end
  local list, unread = read_all(chosen)
  table.move(unread, 1, #unread, #faults + 1, faults)
  if #faults > 0 then
    return nil, faults
  end
  return list
end


-- "FILE:LINE: words" of what the database says of a migration in `list`.
local function located(list, message)
  local number, words = message:match("^migration (%d+)_[%w_]+ of project: (.*)$")
  local line, fault = (words or ""):match("^line (%d+): (.*)$")
  for _, entry in ipairs(list) do
    if entry.number == tonumber(number) then
      return ("%s:%s: %s"):format(entry.path, line or "1", fault or words)
    end
  end
  return message
end


-- Applies a list to a database that is thrown away: true, or nil and the first fault.
function M.try(list)
  local path = os.tmpname()
  os.remove(path)
  local opened, applied, message
  opened, message = database.open(path)
  if opened then
    applied, message = opened:migrate(list)
    opened:close()
  end
  M.remove_database(path)
  if not applied then
    return nil, located(list, message)
  end
  return true
end


-- Removes the files of a database that is closed.
function M.remove_database(path)
  for _, suffix in ipairs({ "", "-wal", "-shm" }) do
    os.remove(path .. suffix)
  end
end


return M
