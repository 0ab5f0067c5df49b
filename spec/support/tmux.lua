-- A real terminal of 80 by 24, with a shell in it: what a person types and sees.

local host = require "tide.host"
local service = require "spec.support.service"

local M = {}

local Screen = {}
Screen.__index = Screen

local CONFIGURATION = "set -g default-terminal screen\nset -g history-limit 5000\nset -s escape-time 0\n"
local SHELL_PROMPT = "shell$ "


local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end


function Screen:tmux(...)
  local words = { "tmux -u -S", quote(self.folder .. "/socket"), "-f", quote(self.folder .. "/tmux.conf") }
  for _, argument in ipairs { ... } do
    words[#words + 1] = quote(argument)
  end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local text = pipe:read("a")
  return pipe:close() and text or error("tmux: " .. text, 2)
end


--- Opens a terminal; its shell has `environment` besides what it needs.
---@param environment? table<string, string>
function M.open(environment)
  local folder = os.tmpname()
  os.remove(folder)
  assert(host.make_directory(folder, 448))
  assert(host.write_file(folder .. "/tmux.conf", CONFIGURATION, 384))
  local screen = setmetatable({ folder = folder }, Screen)
  local words = { "env", "PS1=" .. SHELL_PROMPT, "HOME=" .. folder }
  for name, value in pairs(environment or {}) do
    words[#words + 1] = name .. "=" .. value
  end
  words[#words + 1] = "sh"
  screen:tmux("new-session", "-d", "-x", "80", "-y", "24", table.unpack(words))
  screen:wait_for("shell%$")
  return screen
end


--- What is on the screen, without what is empty below.
function Screen:text()
  return (self:tmux("capture-pane", "-p"):gsub("%s+$", ""))
end


--- The same with what has scrolled away.
function Screen:all()
  return (self:tmux("capture-pane", "-p", "-S", "-"):gsub("%s+$", ""))
end


--- The last line that is not empty.
function Screen:last_line()
  return self:text():match("[^\n]*$")
end


--- Waits until the screen, with what has scrolled away, matches; the error shows what is there instead.
function Screen:wait_for(pattern, seconds)
  return self:wait(pattern, function() return self:all():match(pattern) end, seconds)
end


--- Waits until `condition` holds.
function Screen:wait(what, condition, seconds)
  local ok, value = pcall(service.wait, what, condition, seconds)
  return ok and value or error(("%s\non the screen:\n%s"):format(value, self:text()), 2)
end


--- Waits for a last line that matches: a prompt.
function Screen:wait_for_line(pattern, seconds)
  return self:wait(pattern, function() return self:last_line():match(pattern) end, seconds)
end


--- Presses keys by name: "Enter", "C-c", "Up".
function Screen:press(...)
  self:tmux("send-keys", ...)
end


function Screen:type(text)
  self:tmux("send-keys", "-l", "--", text)
end


--- Types a line and ends it.
function Screen:enter(text)
  self:type(text)
  self:press("Enter")
end


--- Pastes as a terminal does that marks pasted text.
function Screen:paste(text)
  local path = self.folder .. "/pasted"
  assert(host.write_file(path, text, 384))
  self:tmux("load-buffer", path)
  self:tmux("paste-buffer", "-p")
end


function Screen:resize(columns, rows)
  self:tmux("resize-window", "-x", tostring(columns), "-y", tostring(rows))
end


--- The modes of the terminal, as stty says them.
function Screen:modes()
  local path = self:tmux("display-message", "-p", "#{pane_tty}"):match("%S+")
  local pipe = assert(io.popen("stty -g <" .. quote(path)))
  local modes = pipe:read("l")
  pipe:close()
  return modes
end


local function read_process(pid, name)
  local file = io.open(("/proc/%s/%s"):format(pid, name))
  local text = file and file:read("a") or ""
  if file then
    file:close()
  end
  return text
end


--- A process that the shell has started, by a part of its command line.
function Screen:find_process(part)
  local shell = self:tmux("display-message", "-p", "#{pane_pid}"):match("%d+")
  for pid in read_process(shell, ("task/%s/children"):format(shell)):gmatch("%d+") do
    if read_process(pid, "cmdline"):find(part, 1, true) then
      return pid
    end
  end
  error("no process of the shell has in its command line: " .. part, 2)
end


--- Ends the terminal and all in it.
function Screen:close()
  pcall(self.tmux, self, "kill-server")
  os.execute("rm -rf " .. quote(self.folder))
end


return M
