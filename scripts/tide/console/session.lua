-- One console: lines of Lua and verbs (".status"), each run in a task of its own, with the rights of whoever is
-- at it. What they print is read with `read`; nothing that is typed keeps the worker from its other work.

local host = require "tide.host"
local redact = require "tide.redact"
local task = require "tide.task"
local time = require "tide.time"
local buffer = require "tide.console.buffer"
local complete = require "tide.console.complete"
local environment = require "tide.console.environment"
local failure = require "tide.console.failure"
local input = require "tide.console.input"
local integrations = require "tide.console.integrations"
local plain_text = require "tide.console.plain_text"
local printer = require "tide.console.printer"
local verbs = require "tide.console.verbs"
local inside = require "tide.console.inside"

local M = {}

local WIDTH, WIDTH_MIN, WIDTH_MAX = 80, 20, 1000
local VALUES_MAX = 50
-- Of one argument of print.
local PRINTED_BYTES_MAX = buffer.BYTES_MAX
-- Globals of consoles that leave less than half of the worker's memory free are given up.
local MEMORY_SHARE = 0.5

local Session = {}
Session.__index = Session


-- Printing ----------------------------------------------------------------------------------------


function Session:layout()
  return { width = self.width, is_color = self.is_color, describe = integrations.describe }
end


-- Writes text that is fit for a terminal.
function Session:write(text)
  self.buffer:write(text)
end


-- Writes text that others made.
function Session:show(text)
  if #text > PRINTED_BYTES_MAX then
    text = ("%s\n… %d more bytes"):format(text:sub(1, PRINTED_BYTES_MAX), #text - PRINTED_BYTES_MAX)
  end
  self:write(plain_text.safe(redact.text(text)) .. "\n")
end


local function printed(session, value)
  if type(value) ~= "string" then
    return printer.text(value, session:layout())
  end
  if #value > PRINTED_BYTES_MAX then
    value = ("%s… %d more bytes"):format(value:sub(1, PRINTED_BYTES_MAX), #value - PRINTED_BYTES_MAX)
  end
  return plain_text.safe(redact.text(value))
end


-- What `print` does in a console.
function Session:print(...)
  local count = select("#", ...)
  for index = 1, math.min(count, VALUES_MAX) do
    self:write((index > 1 and "\t" or "") .. printed(self, (select(index, ...))))
  end
  self:write(count > VALUES_MAX and ("\t… %d more\n"):format(count - VALUES_MAX) or "\n")
end


-- Shows the values of a line; the first becomes `_`.
function Session:echo(values)
  for index = 1, math.min(values.n, VALUES_MAX) do
    local value = values[index]
    if type(value) == "string" and value == self.json_text then
      self:write(plain_text.safe(self.json_shown) .. "\n")
    else
      self:write(printer.text(value, self:layout()) .. "\n")
    end
  end
  if values.n > VALUES_MAX then
    self:write(("… %d more values\n"):format(values.n - VALUES_MAX))
  end
  if values.n > 0 then
    rawset(self.env, "_", values[1])
  end
end


-- Running -----------------------------------------------------------------------------------------


-- The generation that is in force.
function Session:generation()
  return self.instance.live:current()
end


-- The CPU time that a line may use between two waits, in ms, and the memory of the worker, in bytes.
function Session:limits()
  local config = self:generation().config
  return config.script_timeout_ms, config.memory_limit_mb * 1024 * 1024
end


-- What a line leaves behind must not be what the worker's own work lacks.
function Session:give_up_globals()
  local _, memory_limit = self:limits()
  local most = memory_limit * MEMORY_SHARE
  if collectgarbage("count") * 1024 <= most then
    return
  end
  collectgarbage()
  if collectgarbage("count") * 1024 <= most then
    return
  end
  self.env, self.members = environment.new(self)
  self.json_text, self.json_shown = nil, nil
  collectgarbage()
  self.buffer:put("… the globals of this console were given up: they held too much memory\n")
end


function Session:finish(has_ended)
  if not has_ended then
    self.failed = true
    self.buffer:put("cancelled\n")
  end
  self:give_up_globals()
  self.state, self.task = "done", nil
  self.buffer.bell:ring()
end


local function fail(session, raised, kind, traceback)
  local options = session:layout()
  options.limit_ms = (session:limits())
  session.failed = true
  session:write(failure.text(session.inputs, raised, kind, traceback, options) .. "\n")
end


local function run_within(limit_ms, run)
  task.budget(limit_ms, "the console's line")
  return task.guard(run)
end


-- Runs a line in a task of its own, as what it leaves of its budget is not enough to tell what became of it.
local function run_apart(session, run)
  local child <close> = task.spawn(run_within, (session:limits()), run)
  local joined, ok, raised, kind, traceback = child:join()
  if not joined then
    -- Stopped after the guard; cancelled for its memory.
    local reason = raised == "cancelled" and "out_of_memory" or raised
    return fail(session, ok, reason)
  end
  if not ok then
    fail(session, raised, kind, traceback)
  end
end


local function work(session, text, run)
  local has_ended = false
  local ending <close> = setmetatable({}, { __close = function() session:finish(has_ended) end })
  if session.on_line then
    session.on_line(text)
  end
  run_apart(session, run)
  has_ended = true
end


-- What a text is, as a function to run; "incomplete"; nil and a message.
function Session:prepare(text)
  if text:find("^%s*%.%a") then
    return verbs.prepare(self, text)
  end
  local chunk, message = self.inputs:compile(text, self.env)
  if chunk == nil then
    return nil, failure.text(self.inputs, message, nil, nil, self:layout())
  end
  return chunk == "incomplete" and chunk or function() self:echo(table.pack(chunk())) end
end


-- Why no line can start; nil when one can.
function Session:refusal(text)
  if self.ended then
    return "this console has ended"
  end
  if self.state ~= "done" then
    return "a line is still running: read until it is done, or cancel it"
  end
  if #text > input.BYTES_MAX then
    return ("the input is longer than %d bytes"):format(input.BYTES_MAX)
  end
end


--- Starts a line. "incomplete": more lines have to follow; give the whole text again with the next one. nil and a
--- message: it was not started, and why.
---@param text string
---@return "running"|"incomplete"|nil, string? message
function Session:start(text)
  local refused = self:refusal(text)
  if refused then
    return nil, refused
  end
  local _, memory_limit = self:limits()
  host.set_memory_limit(memory_limit)
  local run, message = self:prepare(text)
  if type(run) ~= "function" then
    self.failed = run == nil
    return run, message
  end
  self.state, self.failed, self.is_cancelled, self.started_at = "running", false, false, time.monotonic()
  local started, handle = pcall(task.detach, work, self, text, run)
  if not started then
    self.state, self.failed = "done", true
    return nil, tostring(handle)
  end
  self.task = self.state == "running" and handle or nil
  return "running"
end


--- What was printed since the last time; waits at most `seconds` for that, or for the end of the line.
---@param seconds number
---@return string text, "running"|"done" state, boolean failed whether the line that is done failed
function Session:read(seconds)
  self.readers = self.readers + 1
  local ending <close> = setmetatable({}, { __close = function() self.readers = self.readers - 1 end })
  self.buffer.bell:wait(seconds, function()
    return self.buffer.bytes > 0 or self.state == "done"
  end)
  return self.buffer:take(), self.state, self.failed
end


--- Cancels the line that runs; what it has printed stays.
function Session:cancel()
  if self.task then
    self.is_cancelled = true
    self.task:cancel()
  end
end


--- What could stand in place of the word before byte `at` (the bytes before the cursor).
---@return { from: integer, words: string[] }
function Session:complete(text, at)
  return complete.find(self, text, at)
end


function Session:resize(width)
  self.width = math.max(WIDTH_MIN, math.min(math.tointeger(width) or WIDTH, WIDTH_MAX))
end


function Session:close()
  self.ended = true
  self:cancel()
  self.env, self.members = nil, nil
end


local function banner_of(session)
  return ("Tidegate %s%s, role %s; Lua, or a verb: .help lists them"):format(host.version,
    session.project and ", " .. session.project or "", session.identity.role)
end


--- A console. `options`: `instance` (as for api.new), `identity` (name, role, rights), `width`, `is_color`,
--- `on_line(text)` (called in the task of each line, before it runs), `project` (what the banner names).
---@param options table
---@return table
function M.new(options)
  local session = setmetatable({
    instance = options.instance, identity = options.identity, is_color = options.is_color or false,
    on_line = options.on_line, project = options.project,
    api = inside.new(options.instance, options.identity),
    buffer = buffer.new(options.buffer), inputs = input.new(),
    state = "done", failed = false, ended = false, readers = 0,
  }, Session)
  session:resize(options.width)
  session.env, session.members = environment.new(session)
  session.banner = banner_of(session)
  return session
end


return M
