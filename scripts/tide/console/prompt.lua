-- The loop at the terminal: reads lines, runs them in a session (console/session.lua, console/remote.lua), and
-- writes what they print as it comes. Where standard input is no terminal the lines are run one after the other.

local host = require "tide.host"
local task = require "tide.task"
local terminal = require "tide.terminal"
local output = require "tide.output"

local M = {}

local PROMPT, CONTINUED = "tide> ", "  ... "
local WIDTH = 80
-- Of one look at what a line prints; a session may answer earlier.
local READ_SECONDS = 20
-- As long as the editor waits.
local COMPLETE_SECONDS = 2
local CLOSE_SECONDS = 1
local FOLDER_MODE = 448 -- 0700
local TOO_LONG = "the line is longer than 64 KiB; it was not run"
local UNFINISHED = "the input ends inside of what was not finished; it was not run"

local Prompt = {}
Prompt.__index = Prompt


-- Where the lines that were typed are kept; nil when there is no place for them.
local function history_path()
  local state = host.getenv("XDG_STATE_HOME")
  if not state or state:sub(1, 1) ~= "/" then
    local home = host.getenv("HOME")
    state = home and home .. "/.local/state"
  end
  if not state then
    return nil
  end
  host.make_directory(state .. "/tidegate", FOLDER_MODE) -- without it the editor says why nothing is kept
  return state .. "/tidegate/history"
end


--- What a session needs to know of this terminal: its width, and whether colours can be shown.
---@return { width: integer, is_color: boolean }
function M.layout()
  local no_color = host.getenv("NO_COLOR")
  return {
    width = terminal.size() or WIDTH,
    is_color = host.is_terminal("stdout") and (no_color or "") == "" and host.getenv("TERM") ~= "dumb",
  }
end


-- Output ------------------------------------------------------------------------------------------


function Prompt:write(text)
  if text == "" then
    return
  end
  self.is_at_start = text:sub(-1) == "\n"
  if not host.write("stdout", text) then
    error(output.LOST, 0)
  end
end


-- A sentence of the prompt's own, on a line of its own.
function Prompt:say(message)
  if self.is_editing then
    self:write((self.is_at_start and "" or "\n") .. message .. "\n")
  else
    host.write("stderr", "tidegate: " .. message .. "\n")
  end
end


function Prompt:fail(message)
  self.has_failed = true
  self:say(message)
end


function Prompt:greet()
  if self.session.banner then
    self:say(self.session.banner)
  end
  for _, note in ipairs(self.options.notes or {}) do
    self:say(note)
  end
end


-- Running -----------------------------------------------------------------------------------------


-- After the session did not answer as it should: nil when there is none any more.
function Prompt:recover(message)
  if not self.options.recover then
    self:fail(message)
    return true
  end
  local session, words = self.options.recover(self.session)
  self:fail(words or message)
  if session and session ~= true then
    self.session = session
  end
  return session ~= nil
end


-- Writes what the line prints until it is done; nil when the session is lost.
function Prompt:drain()
  while true do
    local text, state = self.session:read(READ_SECONDS)
    if not text then
      return self:recover(state)
    end
    self:write(text)
    if state == "done" or self.session.ended then
      self.has_failed = self.has_failed or self.session.failed or false
      return true
    end
  end
end


-- Starts what was typed so far, and waits for its end unless more has to follow; nil when the session is lost.
function Prompt:start_input(input)
  local state, message = self.session:start(input)
  self.pending = state == "incomplete" and input or nil
  if not state then
    return self:recover(message)
  end
  return state == "incomplete" or self:drain()
end


-- The same, while Ctrl-C is meant for what runs: a service that hangs does not answer a start either.
function Prompt:run_input(input)
  self.is_running, self.was_cancelled = true, false
  local guard <close> = setmetatable({}, { __close = function() self.is_running = false end })
  return self:start_input(input)
end


-- The exit code of a session that has ended, by .quit or otherwise.
function Prompt:ended()
  local why = self.options.why_ended and self.options.why_ended()
  if why then
    self:fail(why)
    return 1
  end
  return self:exit_code()
end


-- At a prompt somebody saw what failed.
function Prompt:exit_code()
  return self.has_failed and not self.is_editing and 1 or 0
end


-- Editing -----------------------------------------------------------------------------------------


-- Candidates are of the whole input, the editor knows its last line.
function Prompt:complete(text, at)
  local before = self.pending and self.pending .. "\n" or ""
  local _, found = task.timeout(COMPLETE_SECONDS, self.session.complete, self.session, before .. text, #before + at)
  if type(found) == "table" and found.from >= #before then
    self.editor:offer(found.from - #before, found.words)
  else
    self.editor:offer(at, {})
  end
end


local EVENTS = {}


function EVENTS.line(prompt, text)
  if not prompt.pending and not text:find("%S") then
    return nil
  end
  if not prompt:run_input(prompt.pending and prompt.pending .. "\n" .. text or text) then
    return 1
  end
  if prompt.session.ended then
    return prompt:ended()
  end
end


function EVENTS.too_long(prompt)
  prompt:fail(TOO_LONG)
end


function EVENTS.complete(prompt, text, at)
  prompt:complete(text, at)
end


function EVENTS.interrupt(prompt)
  prompt.pending = nil
end


function EVENTS.resize(prompt)
  prompt.session:resize(M.layout().width)
end


-- Ctrl-D in an input that is not finished drops that.
EVENTS["end"] = function(prompt)
  local was_pending = prompt.pending
  prompt.pending = nil
  if was_pending then
    prompt:fail(UNFINISHED)
  end
  if not (was_pending and prompt.is_editing) then
    return prompt:exit_code()
  end
end


function Prompt:loop()
  while true do
    if self.is_editing and not self.is_at_start then
      self:write("\n")
    end
    local event, text, at = self.editor:read(self.pending and CONTINUED or PROMPT)
    self.is_at_start = true
    if not event then
      error(text, 0)
    end
    local code = EVENTS[event](self, text, at)
    if code then
      return code
    end
  end
end


-- Signals -----------------------------------------------------------------------------------------


-- Ctrl-C while a line runs cancels it; once more, when that does not end it, leaves it alone.
function Prompt:interrupt()
  if not self.is_running then
    return self.is_editing
  end
  if self.was_cancelled then
    self:say("the line has not ended; it was left")
    return false
  end
  self.was_cancelled = true
  self.editor:forget()
  task.spawn(self.session.cancel, self.session)
  return self.is_editing
end


-- Returns at a signal that ends the prompt.
function Prompt:watch_signals()
  while true do
    local signal = host.wait_signal()
    if signal ~= "INT" or not self:interrupt() then
      return 1
    end
  end
end


--- Runs lines in `session` until the input ends, .quit, or a signal. `options`:
---
---   recover(session)  asked when the session does not answer: true (it is there), another session and what to say,
---                     or nil and what to say
---   why_ended()       what to say of a session that ended by itself; nil of one that was told to
---   history           a path instead of the usual file
---   notes             what to say after the session's banner, a list of sentences
---
--- The exit code: 1 when the session is lost, a signal came, or, where no terminal is, a line failed.
---@param session table
---@param options? { recover?: function, why_ended?: function, history?: string, notes?: string[] }
---@return integer code
function M.run(session, options)
  options = options or {}
  local editor <close> = assert(terminal.editor { history = options.history or history_path() })
  local prompt = setmetatable({
    session = session, options = options, editor = editor, is_editing = editor:is_editing(),
    is_at_start = true, has_failed = false, is_running = false,
  }, Prompt)
  if prompt.is_editing then
    prompt:greet()
  end
  local ok, code = pcall(task.race, {
    function() return prompt:loop() end,
    function() return prompt:watch_signals() end,
  })
  task.timeout(CLOSE_SECONDS, prompt.session.close, prompt.session)
  if not ok then
    error(code, 0)
  end
  return code
end


return M
