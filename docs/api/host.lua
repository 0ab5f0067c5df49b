---@meta tide.host

--- The process: workers, signals, files at start (framework).
local host = {}

---@type integer 0 is the main worker
host.worker = 0
---@type string "0.1.0"
host.version = nil

--- Command-line arguments after the program's name.
---@type string[]
host.arguments = {}

--- Reads a whole file (blocking: start, command line and specs only).
---@param path string
---@param max_bytes? integer 16 MiB
---@return string|nil, string? message, string? code "not_found", "too_large", "io"
function host.read_file(path, max_bytes) end
--- Writes a file through a temporary one and rename.
---@param mode? integer 0600
---@return true|nil, string? message
function host.write_file(path, bytes, mode) end
--- Deletes a file or an empty folder.
---@return true|nil, string? message, string? code
function host.remove(path) end
--- The folder that relative paths start from.
---@return string|nil, string? message, string? code
function host.working_directory() end
--- Sorted names in a folder.
---@return string[]|nil, string? message
function host.list(path) end
--- Creates a folder and its parents.
---@param mode? integer 0700
---@return true|nil, string? message
function host.make_directory(path, mode) end
---@return string|nil
function host.getenv(name) end
---@return "file"|"directory"|"other"|nil kind, string? absolute path
function host.stat(path) end
--- Bytes that may still be written to the disk of a file or folder, and its size.
---@return number|nil free, number|string total, string? code
function host.disk_space(path) end
--- Everything on standard input, bounded.
---@return string|nil, string? message
function host.read_input(max_bytes) end
--- Writes to a standard stream.
---@param stream "stdout"|"stderr"
function host.write(stream, text) end
---@return boolean
function host.is_terminal(stream) end

--- The framework's own files inside the binary (or on disk in a development build).
---@param name string "scripts/tide/boot.lua", "providers/nice_dnb.lua", "scripts/migrations/001_tables.sqlite.sql"
---@return string|nil
function host.asset(name) end
---@param prefix string
---@return string[] names, sorted
function host.assets(prefix) end

--- Takes the lock file (`flock`). `nil, "… pid 123"` when another holds it. Held to exit.
---@return true|nil, string? message
function host.lock(path) end
--- Binds each address once to see that it is free and to learn port 0's number. The
--- sockets stay open until the workers listen. `shared`: by index, whether this process listens at
--- the port already, at another address.
---@param addresses string[]
---@param shared? boolean[]
---@return string[]|nil bound, string? message
function host.reserve(addresses, shared) end
--- Whether `text` is an address to listen at (HOST:PORT, [V6]:PORT, unix:PATH); binds nothing.
---@param text string
---@return true|nil, string? message, string? code
function host.check_address(text) end
--- The workers listen: the reserved sockets are closed.
function host.release() end
--- Processor cores that are online, at least 1.
---@return integer
function host.processors() end
--- The most memory that this worker's scripts may hold; 0: no limit.
---@param bytes integer
function host.set_memory_limit(bytes) end
--- Starts `count` worker threads; each runs `require(module)[entry](...)` of plain strings and numbers, and
--- reports ready when that returns. Waits for all; `nil, message` if one failed.
---@return true|nil, string? message
function host.start_workers(count, module, entry, ...) end
--- Waits for SIGTERM, SIGINT or SIGHUP.
---@return "TERM"|"INT"|"HUP"
function host.wait_signal() end
--- Tells every worker to run its `stop` function (the second result of entry), waits, joins the threads.
---@param seconds number then tasks are cancelled
function host.stop_workers(seconds) end
--- Publishes immutable bytes under a name, for all workers; the version counts up. With a `version`
--- of one's own nothing is published unless it is newer than what is there (nil): of several who
--- publish what they read, the last to read wins.
---@param version? integer
---@return integer|nil version
function host.publish(name, bytes, version) end
---@return string|nil bytes, integer? version
function host.published(name) end
--- The version alone: nothing is copied.
---@return integer|nil version
function host.published_version(name) end
--- A number that grows with whatever is published: what was read before is still true while it is the
--- same. Costs a look at one word.
---@return integer
function host.changes() end
--- Waits until something is published after `host.changes` said `seen`, `seconds` at most. May return
--- early; look again at what you wait for.
---@param seen integer
---@param seconds number
---@return integer changes
function host.wait_changes(seen, seconds) end

--- Unix process facts for /metrics.
---@return { cpu_seconds: number, resident_bytes: integer, pid: integer }
function host.process() end

--- A worker that does not return to its loop for so long (stuck in C, where no budget reaches)
--- ends the process, for its supervisor to start anew; the last log line names the script.
---@param seconds number 0: never, as at first
function host.set_stuck_seconds(seconds) end

--- Freezes this worker's clock (specs). Timers fire only by `advance_clock`.
function host.freeze_clock() end
--- Back to the real clock.
function host.thaw_clock() end
--- Moves the frozen clock on by `seconds`, firing timers in order and letting tasks and
--- sockets come to rest in between; ends early when the task `until_done` has ended. Without
--- seconds it goes as far as the timers lead.
---@param seconds? number
---@param until_done? Task
function host.advance_clock(seconds, until_done) end

return host
