-- `ctx.db`: the project's own tables, as straight-line code. Failures are raised.

local database = require "tide.database"
local errors = require "tide.errors"
local json = require "tide.json"
local markers = require "tide.markers"
local script = require "tide.script"
local store = require "tide.store"
local view = require "tide.view"

local M = {}

-- Longest result of a handler's transaction, as JSON.
local RESULT_BYTES_MAX = 1024 * 1024

-- What a script may hand over besides nil, json.null and blobs.
local VALUE_TYPES = { boolean = true, number = true, string = true, userdata = true, ["nil"] = true }


-- Arguments and errors -----------------------------------------------------------------------------


local function check_statement(name, sql, ...)
  if type(sql) ~= "string" then
    script.misuse(("%s: the SQL must be a string, got %s"):format(name, type(sql)))
  end
  for index = 1, select("#", ...) do
    local value = select(index, ...)
    if not VALUE_TYPES[type(value)] then
      script.misuse(("%s: $%d is a %s: give nil, a boolean, a number, a string or ctx.db.blob(bytes)"):format(name,
        index, type(value)))
    end
    if value ~= value then
      script.misuse(("%s: $%d is not a number (NaN)"):format(name, index))
    end
  end
end


-- The database's time-out says nothing about the third party, and what runs out of it once would
-- again: no verdict for the breaker, no attempt more.
local function raise(name, message, code)
  if code == "timeout" then
    error(errors.new(code, name .. ": " .. message, { policy = "db", deadline = true }), 0)
  end
  if code == "unavailable" or code == "overloaded" then
    error(errors.new(code, name .. ": " .. message, { policy = "db" }), 0)
  end
  error(errors.new("script_error", ("%s%s: %s"):format(script.place(), name, message), {
    constraint = code == "constraint" or nil,
  }), 0)
end


local function opened(call)
  local handle = call.generation.database or database.shared()
  if not handle then
    error(errors.new("not_configured", "ctx.db: the project has no tables of its own: write "
      .. "migrations/001_name.sql and restart the service"), 0)
  end
  return handle
end


local function limit_of(call)
  return call.generation.config.db_transaction_seconds
end


-- A write, like a POST, may not be done again without being asked for.
local function count_effect(call, changes, code)
  if code == "timeout" or (changes or 0) > 0 then
    call.effects = call.effects + 1
  end
end


-- One statement -------------------------------------------------------------------------------------


local function query(call, sql, ...)
  check_statement("ctx.db.query", sql, ...)
  script.may_wait(call, "ctx.db.query")
  local rows, changes, code = opened(call):query(limit_of(call), sql, ...)
  if not rows then
    count_effect(call, 0, code)
    raise("ctx.db.query", changes, code)
  end
  count_effect(call, changes)
  return rows, changes
end


local function blob(bytes)
  if type(bytes) ~= "string" then
    script.misuse("ctx.db.blob: expects a string, got " .. type(bytes))
  end
  return store.blob(bytes)
end


-- Transactions --------------------------------------------------------------------------------------


-- The `tx` of a transaction, for as long as it is open. Meanwhile nothing else of the coroutine's
-- may wait.
local Scope = {
  __close = function(scope)
    scope.open = false
    scope.call.in_transaction[scope.coroutine] = nil
  end,
}


local function enter(call, transaction)
  local running = coroutine.running()
  call.in_transaction = call.in_transaction or {}
  call.in_transaction[running] = true
  return setmetatable({ call = call, coroutine = running, transaction = transaction, open = true, changes = 0 }, Scope)
end


local function step(scope, sql, ...)
  check_statement("tx.query", sql, ...)
  if not scope.open then
    script.misuse("tx.query: the transaction has ended")
  end
  local rows, changes, code = scope.transaction:query(sql, ...)
  if not rows then
    raise("tx.query", changes, code)
  end
  scope.changes = scope.changes + changes
  return rows, changes
end


-- What fn returned, and how many rows it changed. `return nil, err` raises, and so rolls back.
local function run(call, transaction, fn)
  local scope <close> = enter(call, transaction)
  local value, err = fn({ query = function(...) return step(scope, ...) end })
  if value == nil and err ~= nil then
    error(err, 0)
  end
  return value, scope.changes
end


-- `...` is a last statement of the framework's, and its values.
local function commit(call, transaction, changes, ...)
  local done, message, code = transaction:commit(...)
  count_effect(call, changes, code)
  if not done then
    raise("ctx.db.transaction", message, code)
  end
end


-- A handler's transaction, once per event ----------------------------------------------------------


local function encode(value)
  local text, message = json.encode(value == nil and json.null or view.plain(value))
  if not text then
    script.misuse("ctx.db.transaction: in a webhook handler its result is kept as JSON: " .. message)
  end
  if #text > RESULT_BYTES_MAX then
    script.misuse(("ctx.db.transaction: in a webhook handler its result is kept, and is longer than %d bytes"):format(
      RESULT_BYTES_MAX))
  end
  return text
end


-- What the handler is given, in the run that commits as in those that find it done.
local function result_of(call, text)
  call.event.transaction_result = text
  if text == "null" then
    return nil
  end
  return json.decode(text)
end


local function begin(call, mark)
  local database_of, limit = opened(call), limit_of(call)
  local transaction, found, code
  if mark then
    transaction, found, code = database_of:begin(limit, markers.FIND, mark.event_id, mark.number)
  else
    transaction, found, code = database_of:begin(limit)
  end
  if not transaction then
    raise("ctx.db.transaction", found, code)
  end
  return transaction, found[1]
end


local function once(call, fn)
  local mark = markers.next(call.event)
  local transaction, found = begin(call, mark)
  local guard <close> = transaction
  if found then
    return result_of(call, found.result)
  end
  local value, changes = run(call, transaction, fn)
  local text = encode(value)
  commit(call, transaction, changes, markers.ADD, markers.values(mark, text))
  return result_of(call, text)
end


local function transaction_of(call, fn)
  if type(fn) ~= "function" then
    script.misuse("ctx.db.transaction: expects a function, got " .. type(fn))
  end
  script.may_wait(call, "ctx.db.transaction")
  if call.event then
    return once(call, fn)
  end
  local transaction = begin(call)
  local guard <close> = transaction
  local value, changes = run(call, transaction, fn)
  commit(call, transaction, changes)
  return value
end


-- The `db` member of a ctx.
function M.new(call)
  return {
    query = function(sql, ...) return query(call, sql, ...) end,
    transaction = function(fn) return transaction_of(call, fn) end,
    blob = blob,
  }
end


return M
