-- The processes of a benchmark: started in the background, measured, and ended with it. For lua5.4 on Linux; what
-- they write is in a scratch folder, which is on the disk of the build: a /tmp may be in memory.

local M = {}

local Processes = {}
Processes.__index = Processes

local FIRST_PORT = 20000
local LISTEN_SECONDS = 10
local POLL_SECONDS = 0.005


-- What a command prints, without white space at its end, and whether it succeeded.
function M.capture(command)
  local pipe = assert(io.popen(command))
  local output = pipe:read("a")
  local ok = pipe:close()
  return (output:gsub("%s+$", "")), ok
end


function M.fail(format, ...)
  error(format:format(...), 0)
end


M.cores = tonumber((M.capture("nproc")))


-- What a command begins with to run on one core, before others where that is allowed.
function M.on_core(core)
  local nice = M.capture("id -u") == "0" and "nice -n -20 " or ""
  return nice .. (M.cores > 1 and ("taskset -c %d "):format(core) or "")
end


local function alive(pid)
  return select(2, M.capture("kill -0 " .. pid .. " 2>/dev/null")) == true
end


local function listening(port)
  local wanted = (":%04X 00000000:0000 0A"):format(port)
  for line in io.lines("/proc/net/tcp") do
    if line:find(wanted, 1, true) then
      return true
    end
  end
  return false
end


-- CPU microseconds that a process has used so far, all its threads.
function M.cpu_us(pid)
  local file = assert(io.open("/proc/" .. pid .. "/stat"))
  local fields = file:read("a"):match("^.*%) (.*)$")
  file:close()
  local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) * 1e6 / 100
end


-- What a command printed as name=number; it must have done something, without a failure.
function M.read_result(text, command)
  local result = {}
  for key, value in text:gmatch("([%w_]+)=(%d+)") do result[key] = tonumber(value) end
  if not result.operations or result.operations == 0 then
    M.fail("no result from: %s\n%s", command, text)
  end
  if result.failed > 0 then M.fail("%d failed: %s\n%s", result.failed, command, text) end
  return result
end


-- Processes with a scratch folder of their own under `build`.
function M.new(build)
  local scratch = M.capture("cd " .. M.capture("mktemp -d " .. build .. "/bench.XXXXXX") .. " && pwd")
  return setmetatable({ scratch = scratch, running = {}, next_port = FIRST_PORT + math.random(0, 9000) }, Processes)
end


-- Starts a command in the background; returns its process id. `place` stands before it: see on_core.
function Processes:start(place, name, command)
  local pid = M.capture(("%s sh -c 'exec %s' >%s/%s.log 2>&1 </dev/null & echo $!"):format(place, command,
    self.scratch, name))
  self.running[pid] = name
  return pid
end


function Processes:stop(pid)
  os.execute("kill -TERM " .. pid .. " 2>/dev/null")
  for _ = 1, 100 do
    if not alive(pid) then
      break
    end
    os.execute("sleep 0.1")
  end
  os.execute("kill -KILL " .. pid .. " 2>/dev/null")
  self.running[pid] = nil
end


function Processes:free_port()
  repeat
    self.next_port = self.next_port + 1
  until not listening(self.next_port)
  return self.next_port
end


function Processes:wait_listening(pid, port)
  for _ = 1, LISTEN_SECONDS / POLL_SECONDS do
    if listening(port) then
      return
    end
    if not alive(pid) then
      break
    end
    os.execute("sleep " .. POLL_SECONDS)
  end
  M.fail("%s does not listen:\n%s", self.running[pid],
    M.capture(("tail -n 20 %s/%s.log"):format(self.scratch, self.running[pid])))
end


-- A folder in the scratch folder.
function Processes:directory(name)
  local path = self.scratch .. "/" .. name
  os.execute("mkdir -p " .. path)
  return path
end


-- Ends what still runs and removes the scratch folder.
function Processes:close()
  for pid in pairs(self.running) do
    self:stop(pid)
  end
  os.execute("rm -rf " .. self.scratch)
end


return M
