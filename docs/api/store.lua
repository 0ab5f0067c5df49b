---@meta tide.store

--- The framework's database (SQLite or PostgreSQL behind one interface). SQL is what both
--- understand, one statement a call, with parameters `$1`…`$n`; `?`, `:name`, `x::type` and
--- transaction control are refused. Values are nil or json.null (NULL), boolean, integer,
--- float, string (text) and `store.blob(s)` (bytes). Rows are tables by column name; NULL is an
--- absent key, integers are exact, texts and bytes are strings, booleans come back as 0 and 1.
---
--- All but `open`, `enqueue`, `blob` and `stats` wait. Failures are nil, message, code:
--- "unavailable" (not open, disk full or failing, locked, damaged, stopping), "overloaded" (a
--- queue is full), "constraint", "sql" (a fault in the statement), "timeout" (10 s; 5 s for one
--- statement: a write may have happened or not), "too_large" (10,000 rows, 8 MB of result,
--- 32 MB of values). A task that is cancelled stops its query; its write may still happen.
local store = {}

---@alias store.Value nil|boolean|integer|number|string|userdata
---@alias store.Row table<string, integer|number|string>
---@alias store.Result { changes: integer, rows: store.Row[] }

--- Opens the process-wide store: once, by the main worker, before the others start. Waits for
--- the disk.
---@param url string "sqlite:PATH"; the file is made when there is none
---@return true|nil, string? message, string? code
function store.open(url) end

--- Runs one reading statement. Sees all that was committed before.
---
---     local rows, err = store.query("SELECT * FROM tokens WHERE role = $1 LIMIT 50", "admin")
---@param sql string
---@param ... store.Value
---@return store.Row[]|nil rows, string? message, string? code
function store.query(sql, ...) end

--- Runs one writing statement; returns after the commit, which it shares with all others that
--- wait. `changes` counts the rows of the statement itself: 0 tells a duplicate after
--- `ON CONFLICT DO NOTHING`. `rows` are those of `RETURNING`.
---@param sql string
---@param ... store.Value
---@return store.Result|nil, string? message, string? code
function store.execute(sql, ...) end

--- Several writing statements, all or none; returns after the commit.
---
---     store.transaction({
---       { "INSERT INTO a VALUES ($1, $2)", 1, nil, n = 2 },
---       { "DELETE FROM b WHERE id = $1", 7 },
---     })
---@param statements { [integer]: any, n: integer? }[] each { sql, value… }, at most 4,096; `n` counts the values where the last may be nil
---@return store.Result[]|nil, string? message, string? code
function store.transaction(statements) end

--- Queues one writing statement without waiting (log rows). It is committed with the next
--- request that waits, or within 20 ms; kept while the disk is full or locked. False when the
--- queue of 64 MB is full: the row is dropped and counted.
---@param sql string
---@param ... store.Value
---@return boolean queued, string? message, string? code
function store.enqueue(sql, ...) end

--- Waits until everything queued so far is committed.
---@return true|nil, string? message, string? code
function store.flush() end

--- Marks bytes as a blob.
---@param bytes string
---@return userdata
function store.blob(bytes) end

--- Applies what is new of a list of migrations, in order, each in a transaction of its own
--- with its row of `schema_migrations`. The text may hold several statements, without
--- parameters. Code "sql" when one fails (its number and line are named, the ones before it
--- stay), when the database has newer ones, or when number and name contradict what is
--- applied.
---@param migrations { number: integer, name: string, sql: string }[] numbers rising
---@param space string "tidegate" or "project"
---@return integer|nil applied, string? message, string? code
function store.migrate(migrations, space) end

--- Lengths now and sums since the store was opened, over all workers. `rows` counts committed
--- statements, `failed` rows that were given up because their statement failed, `last_error`
--- what nobody else was told.
---@return { queued_bytes: integer, queued_rows: integer, waiting: integer, dropped: integer, failed: integer, refused: integer, commits: integer, failed_commits: integer, rows: integer, queries: integer, commit_seconds_sum: number, last_error: string? }
function store.stats() end

return store
