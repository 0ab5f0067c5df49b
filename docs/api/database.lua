---@meta tide.database

--- The project's own tables: a database of their own, apart from the framework's store, with its
--- own writer, so that a transaction that stays open while a script runs delays nobody else's
--- commit. For the framework; scripts have `ctx.db`.
---
--- SQL and values are as in `tide.store`: one statement a call, `$1`…`$n`. Statements may SELECT,
--- INSERT, UPDATE and DELETE on the project's tables and use functions of a list; everything else
--- is refused ("sql"). All but `open`, `share`, `shared`, `close` and `rollback` wait.
--- Failures are nil, message, code, with the codes of `tide.store`: "sql", "constraint", "timeout",
--- "too_large" (10,000 rows, 8 MB), "unavailable", "overloaded" (1,000 transactions wait).
local database = {}

--- Opens (creates) the file at `path`, for this worker. It is closed with the handle; that waits for
--- what runs to stop.
---@param path string
---@return database.Database|nil, string? message, string? code
function database.open(path) end

--- Makes the database that of the whole process, for `shared`; closed when the process ends. Once, by
--- the main worker, before the others start.
---@param opened database.Database
function database.share(opened) end

--- The database of the process; nil when there is none.
---@return database.Database|nil, string? message, string? code
function database.shared() end


---@class database.Database
local Database = {}

--- Runs one statement, as a transaction of its own when it writes. Cancelling the task stops it.
---@param seconds number its limit
---@param sql string
---@param ... store.Value
---@return store.Row[]|nil rows, integer|string changes, string? code
function Database:query(seconds, sql, ...) end

--- Opens a transaction: waits for its turn (at most 10 s), then holds the only writer for at most
--- `seconds`; past that it is rolled back and every further use says "timeout". With `sql`, a
--- statement of the framework's that runs first, unfenced; its rows are the second result.
---@param seconds number
---@param sql? string
---@param ... store.Value
---@return database.Transaction|nil, store.Row[]|string rows, string? code
function Database:begin(seconds, sql, ...) end

--- Applies what is new of the project's migrations; as `store.migrate`.
---@param migrations { number: integer, name: string, sql: string }[]
---@return integer|nil applied, string? message, string? code
function Database:migrate(migrations) end

--- Idempotent; also `__close` and `__gc`.
function Database:close() end


---@class database.Transaction
local Transaction = {}

---@param sql string
---@param ... store.Value
---@return store.Row[]|nil rows, integer|string changes, string? code
function Transaction:query(sql, ...) end

--- Returns when the transaction is on the disk. With `sql`, a last statement of the framework's,
--- unfenced. However it ends, the transaction is over; after "timeout" it is unknown how.
---@param sql? string
---@param ... store.Value
---@return true|nil, string? message, string? code
function Transaction:commit(sql, ...) end

--- Ends the transaction without its effects, unless it is over. Does not wait. Also `__close` and `__gc`.
function Transaction:rollback() end

return database
