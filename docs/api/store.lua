---@meta tide.store

--- The framework's database (SQLite or PostgreSQL behind one interface). Parameters are
--- `$1`…`$n`; values are nil/json.null (NULL), boolean (0 and 1), integer, float, string
--- (text), `store.blob(s)` (bytes). Rows are tables by column name; NULL is an absent key.
local store = {}

--- Opens the process-wide store once (main worker, at start).
---@param url string "sqlite:PATH"
---@return true|nil, string? message, string? code
function store.open(url) end

--- Runs one reading statement on a reader, off the loop. `options.max_rows` 10000.
---@return table[]|nil rows, string? message, string? code "unavailable", "overloaded", "constraint", "sql", "timeout", "too_large"
function store.query(sql, ...) end

--- Runs one writing statement; returns after the commit. Grouped with others' commits.
---@return { changes: integer, rows: table[] }|nil, string? message, string? code
function store.execute(sql, ...) end

--- Several writing statements, all or none; returns after the commit.
---@param statements { [1]: string, [integer]: any }[] each { sql, p1, p2, n = count }
---@return { changes: integer, rows: table[] }[]|nil, string? message, string? code
function store.transaction(statements) end

--- Queues one writing statement without waiting (log rows). False when the queue of
--- 64 MB is full: the row is dropped and counted.
---@return boolean queued
function store.enqueue(sql, ...) end

--- Waits until everything queued so far is committed.
---@return true|nil, string? message, string? code
function store.flush() end

--- Marks bytes as a blob.
function store.blob(bytes) end

--- Applies a numbered migration list under the store's lock. Each runs once, in order.
---@param migrations { number: integer, name: string, sql: string }[]
---@param space string "tidegate" or "project"
---@return integer|nil applied, string? message
function store.migrate(migrations, space) end

---@return { queued_bytes: integer, dropped: integer, commits: integer, rows: integer, commit_seconds_sum: number }
function store.stats() end

return store
