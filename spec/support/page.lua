-- A page of the documentation as a user would follow it: files are saved, commands are typed into one shell, and what
-- the page says comes of them is looked for.
--
--     `PATH`:            then a block of lua: the file
--     a block of sh      is run in the same shell as the ones before
--     a block of json    after it: its last line of output holds at least this
--     a block of text    after it: its output holds each of these lines

local host = require "tide.host"
local json = require "tide.json"
local support = require "spec.support.service"

local M = {}

local PAGE_BYTES_MAX = 1024 * 1024
local COMMAND_SECONDS = 9
-- A saved file is in force within so long; a command is tried again until then.
local EFFECT_SECONDS = 2

local Reader = {}
Reader.__index = Reader


--- The steps of a section, in order: { kind = "file", path, text }, { kind = "sh", text, json or lines }.
function M.steps(path, heading)
  local page = assert(host.read_file(path, PAGE_BYTES_MAX))
  local start = assert(page:find("\n## " .. heading .. "\n", 1, true), "no heading " .. heading)
  local section = page:sub(start + 1, (page:find("\n## ", start + 1, true) or #page + 1))
  local steps, at = {}, 1
  while true do
    local first, last, language, text = section:find("\n```(%l+)\n(.-)\n```", at)
    if not first then
      return steps
    end
    local step = steps[#steps]
    if language == "lua" then
      local name = assert(section:sub(at, first):match("`([%w_./]+)`:\n\n$"), "no file is named before a block of lua")
      steps[#steps + 1] = { kind = "file", path = name, text = text .. "\n" }
    elseif language == "sh" then
      steps[#steps + 1] = { kind = "sh", text = text }
    elseif language == "json" then
      step.json = assert(json.decode(text))
    else
      step.expected = text
    end
    at = last + 1
  end
end


-- Following ---------------------------------------------------------------------------------------


--- A shell in a new folder, with the program under test in its path; `substitutes` are plain texts to be typed in
--- place of others.
function M.shell(substitutes)
  local folder = os.tmpname()
  os.remove(folder)
  assert(host.make_directory(folder .. "/bin", 448))
  local binary = support.binary()
  os.execute(("ln -s '%s' '%s/bin/tidegate'"):format(binary, folder))
  return setmetatable({ folder = folder, substitutes = substitutes, count = 0, place = folder }, Reader)
end


local function replace(text, from, to)
  return (text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%"))))
end


function Reader:substituted(text)
  for from, to in pairs(self.substitutes) do
    text = replace(text, from, to)
  end
  return text
end


-- One shell for all: it reads commands from a pipe, and tells the end of each.
function Reader:start()
  local script = ("cd '%s' && PATH='%s/bin':$PATH && exec bash -m"):format(self.folder, self.folder)
  self.pipe = assert(io.popen(("env -u TIDEGATE_MASTER_KEY sh -c %q >/dev/null 2>'%s/err'"):format(script,
    self.folder), "w"))
  self.pipe:setvbuf("no")
end


-- Types a command; its output and its exit code.
function Reader:type(text)
  self.count = self.count + 1
  local out = ("%s/out.%d"):format(self.folder, self.count)
  self.pipe:write(("{ %s\n} >'%s' 2>'%s.err'; echo $? >'%s.part'; pwd >'%s/place'; mv '%s.part' '%s.done'\n"):format(
    text, out, out, out, self.folder, out, out))
  local code = support.wait("the end of: " .. text, function()
    return tonumber(host.read_file(out .. ".done") or nil)
  end, COMMAND_SECONDS)
  self.place = host.read_file(self.folder .. "/place"):match("[^\n]+")
  return host.read_file(out), code, host.read_file(out .. ".err")
end


-- Whether `found` holds all of `expected`.
local function holds(found, expected)
  if type(expected) ~= "table" then
    return found == expected
  end
  if type(found) ~= "table" then
    return false
  end
  for key, value in pairs(expected) do
    if not holds(found[key], value) then
      return false
    end
  end
  return #expected == #found or #expected == 0 and not json.is_array(expected)
end


local function is_as_said(step, output)
  if step.json then
    local last = output:match("([^\n]+)\n*$")
    return last ~= nil and holds(json.decode(last), step.json)
  end
  for line in (step.expected or ""):gmatch("[^\n]+") do
    if not output:find(line, 1, true) then
      return false
    end
  end
  return true
end


local function last_line(text)
  return text:match("\\\n") and text or text:match("([^\n]+)$")
end


-- Runs a block; its last line again until it says what the page says, as a person would.
function Reader:run(step)
  local typed = self:substituted(step.text)
  local output, code, err = self:type(typed)
  if code == 0 and not is_as_said(step, output) then
    pcall(support.wait, "the output", function()
      output, code, err = self:type(last_line(typed))
      return is_as_said(step, output)
    end, EFFECT_SECONDS)
  end
  if code ~= 0 or not is_as_said(step, output) then
    error(("%s\n-- gave exit code %s and\n%s%s"):format(typed, code, output, err), 0)
  end
  if typed:find("tidegate serve", 1, true) then
    support.wait("the service", function() return host.stat(self.place .. "/var/address") end)
  end
end


--- Follows the steps from the first to the last; raises what does not come out as the page says.
function Reader:follow(steps)
  self:start()
  for _, step in ipairs(steps) do
    if step.kind == "file" then
      assert(host.write_file(self.place .. "/" .. step.path, step.text))
    else
      self:run(step)
    end
  end
end


--- Ends the shell and what it has started, and removes the folder.
function Reader:close()
  if self.pipe then
    pcall(self.type, self, "kill $(jobs -p) 2>/dev/null; wait")
    self.pipe:close()
  end
  os.execute(("rm -rf '%s'"):format(self.folder))
end


return M
