---@meta tide.terminal

--- The terminal of the process: lines that a person types (framework; `scripts/tide/console/prompt.lua`
--- makes a prompt of it). The worker goes on while somebody types.
local terminal = {}

---@class terminal.EditorOptions
---@field history? string the file of the lines that were typed before; left out: they are kept in memory

--- Takes standard input. Where it and standard output are a terminal, lines are edited there: emacs keys,
--- history (Ctrl-R searches), completion with TAB, pasted text of several lines; what is typed while no
--- line is read is kept for the next and not shown, and Ctrl-C is then a signal (`host.wait_signal`).
--- Elsewhere lines are read as they come. The terminal's modes come back with the close, and however the
--- process ends, but for SIGKILL. There is one editor at a time.
---@param options? terminal.EditorOptions
---@return terminal.Editor|nil, string? message, string? code
function terminal.editor(options) end
--- The columns and rows of the terminal; nil when there is none.
---@return integer|nil columns, integer? rows
function terminal.size() end


---@class terminal.Editor
local Editor = {}

--- Waits for what happens to the line that is read, which begins with `prompt`, or goes on after
--- "complete" and "resize":
---
---   "line", text         a line, without its end, at most 64 KiB
---   "too_long"           a longer one, which is gone
---   "complete", text, at TAB was pressed after `at` bytes of the line so far; `offer` within 2 s answers
---   "interrupt"          Ctrl-C: the line is dropped
---   "end"                the input has ended, or Ctrl-D was pressed in an empty line
---   "resize"             the terminal has another size
---
--- A task that is cancelled drops the line. For one task at a time.
---@param prompt string
---@return string|nil event, string? text_or_message, integer|string? at_or_code "closed", by another task meanwhile
function Editor:read(prompt) end
--- The candidates for the word that begins after `from` bytes of the line: what they have in common is put in
--- its place, and a second TAB lists them.
---@param from integer
---@param words string[] at most 200
function Editor:offer(from, words) end
--- Whether lines are edited.
---@return boolean
function Editor:is_editing() end
--- Drops what was typed ahead.
function Editor:forget() end
--- Gives the terminal back. Also `__close`.
function Editor:close() end

return terminal
