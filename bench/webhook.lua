-- The rows of webhooks: events that are acknowledged, events that are processed, and both beside a million stored
-- ones. Other than in the other rows nothing has a core of its own: service, store and sender share all of them, and
-- what counts is how many events a second are acknowledged.

local processes = require "processes"

local M = {}

local CONNECTIONS = 64
local RATE = 8000
local STORED = 1000000
local FSYNC_SECONDS = 2
local DRAIN_SECONDS = 120
local START_MS = 250
local P99_MS = 15
local FSYNCS = 0.1

local PEER = "fastify + better-sqlite3, "
local SERVE = "env BENCH_DATA=%s BENCH_TOKEN=%s TIDEGATE_ACK_WEBHOOK_SECRET=%s TIDEGATE_RUN_WEBHOOK_SECRET=%s "
  .. "%s serve -c bench/webhook/config.lua --listen 127.0.0.1:%d"

local STRACE = "strace -D -f --seccomp-bpf -c -e trace=fsync,fdatasync -o %s "

local Webhooks = {}
Webhooks.__index = Webhooks


local function median(results, key)
  local list = {}
  for index, result in ipairs(results) do list[index] = result[key] end
  table.sort(list)
  local middle = (#list + 1) / 2
  return (list[math.floor(middle)] + list[math.ceil(middle)]) / 2
end


-- Candidates --------------------------------------------------------------------------------------


-- Our service on the data in `folder`; `before` stands before its command.
function Webhooks:service(folder, before)
  local port = self.bench:free_port()
  local command = SERVE:format(folder, self.token, self.secret, self.secret, (before or "") .. self.host, port)
  local pid = self.bench:start("", "webhook-" .. port, command)
  self.bench:wait_listening(pid, port)
  return { who = "tidegate", pid = pid, port = port, folder = folder, path = "/api/v1/webhooks/ack" }
end


-- The same by hand; `mode`: "batched" or "each".
function Webhooks:peer(mode, words)
  local port = self.bench:free_port()
  local folder = self.bench:directory("webhook-" .. mode)
  local command = ("node %s/webhook.js %d %s/bench.db %s %s"):format(self.peers, port, folder, self.secret, mode)
  local pid = self.bench:start("", "webhook-" .. mode, command)
  self.bench:wait_listening(pid, port)
  return { who = PEER .. words, pid = pid, port = port, path = "/api/v1/webhooks/ack" }
end


-- Events for `seconds`, `rate` a second or (0) as fast as they are acknowledged.
function Webhooks:send(candidate, seconds, rate, path)
  self.runs = self.runs + 1
  local command = ("%s %d %s %s bench/payload.json %d %g %d %d"):format(self.sender, candidate.port,
    path or candidate.path, self.secret, CONNECTIONS, seconds, rate, self.runs)
  local before = processes.cpu_us(candidate.pid)
  local result = processes.read_result(processes.capture(command .. " 2>&1"), command)
  result.cpu = (processes.cpu_us(candidate.pid) - before) / result.operations
  result.rate = result.operations / (result.duration_us / 1e6)
  return result
end


-- What the database in a folder holds: see bench/webhook_events.lua.
function Webhooks:events(folder, integration, delays)
  local command = ("%s run bench/webhook_events.lua %s/bench.db %s %s"):format(self.host, folder, integration,
    delays or "")
  local result = {}
  for key, value in processes.capture(command .. " 2>&1"):gmatch("([%w_]+)=(%d+)") do
    result[key] = tonumber(value)
  end
  if not result.completed then
    processes.fail("no result from: %s\n%s", command, processes.capture(command .. " 2>&1"))
  end
  return result
end


local function milliseconds()
  return tonumber((processes.capture("date +%s%N"))) / 1e6
end


-- fsyncs an event, counted by strace: the one figure that a busy machine changes little.
function Webhooks:fsyncs(folder)
  local counted = folder .. "/fsyncs"
  local service = self:service(folder, STRACE:format(counted))
  local result = self:send(service, FSYNC_SECONDS, 0)
  self.bench:stop(service.pid)
  local calls = 0
  for _ = 1, 50 do
    for line in processes.capture("cat " .. counted):gmatch("[^\n]+") do
      if line:find("f%a*sync$") then
        calls = calls + tonumber(line:match("^%s*%S+%s+%S+%s+%S+%s+(%d+)"))
      end
    end
    if calls > 0 then
      return calls / result.operations
    end
    os.execute("sleep 0.1")
  end
  processes.fail("strace counted nothing: %s", processes.capture("cat " .. counted))
end


-- Rows --------------------------------------------------------------------------------------------


local function line(title, who, result, verdict)
  return {
    title, who, ("%.2f"):format(result.cpu), ("%.0f"):format(result.rate),
    ("%.2f / %.2f"):format(result.p50_us / 1e3, result.p99_us / 1e3), verdict or "",
  }
end


local function missed(reached)
  return reached and "" or ", MISSED"
end


-- The candidates by turns; the medians of each.
function Webhooks:measure(candidates)
  local results = {}
  for index, candidate in ipairs(candidates) do
    results[index] = {}
    self:send(candidate, 1, 0)
  end
  for round = 1, self.rounds do
    for turn = 1, #candidates do
      local index = round % 2 == 1 and turn or #candidates + 1 - turn
      results[index][round] = self:send(candidates[index], self.seconds, 0)
    end
  end
  for index, list in ipairs(results) do
    local summary = {}
    for _, key in ipairs { "cpu", "rate", "p50_us", "p99_us" } do summary[key] = median(list, key) end
    results[index] = summary
  end
  return table.unpack(results)
end


function Webhooks:acknowledge()
  local folder = self.bench:directory("webhook-ack")
  local candidates = { self:service(folder), self:peer("batched", "batched"), self:peer("each", "a commit each") }
  local ours, batched, each = self:measure(candidates)
  for _, candidate in ipairs(candidates) do self.bench:stop(candidate.pid) end
  local fsyncs = self:fsyncs(folder)
  local reached = ours.rate >= 2 * batched.rate and ours.rate >= 12 * each.rate and ours.p99_us < P99_MS * 1000
    and fsyncs <= FSYNCS
  local verdict = ("acks %.2f x batched (goal 2 x), %.1f x a commit each (goal 12 x), p99 goal %d ms, "
    .. "%.3f fsyncs an event (goal %.1f)%s"):format(ours.rate / batched.rate, ours.rate / each.rate, P99_MS, fsyncs,
    FSYNCS, missed(reached))
  return {
    line("A webhook acknowledged", candidates[1].who, ours, verdict),
    line("", candidates[2].who, batched), line("", candidates[3].who, each),
  }, reached
end


-- Waits until nothing is left to do.
function Webhooks:drain(folder)
  for _ = 1, DRAIN_SECONDS do
    local events = self:events(folder, "run")
    if events.pending + events.processing == 0 then
      return events
    end
    os.execute("sleep 1")
  end
  return self:events(folder, "run")
end


function Webhooks:constant_rate(title, folder, service)
  local before = self:events(folder, "run")
  local sent = self:send(service, self.run_seconds, RATE, "/api/v1/webhooks/run")
  local left = self:events(folder, "run")
  local after = self:drain(folder)
  self.bench:stop(service.pid)
  local delays = self:events(folder, "run", "delays")
  local completed = after.completed - before.completed
  local queue = left.pending + left.processing
  local reached = sent.unsent == 0 and completed == sent.operations and queue < RATE
  return {
    line(title, service.who, sent, ("%d a second for %g s: %d of %d completed, queue at the end %d, start delay "
      .. "p50 %d ms, p99 %d ms, %d sent too late%s"):format(RATE, self.run_seconds, completed, sent.operations, queue,
      delays.start_p50_ms, delays.start_p99_ms, sent.unsent, missed(reached))),
  }, reached
end


function Webhooks:process()
  local folder = self.bench:directory("webhook-run")
  return self:constant_rate("A webhook processed", folder, self:service(folder))
end


-- A folder with a database of so many completed events.
function Webhooks:fill(count)
  local folder = self.bench:directory("webhook-million")
  local service = self:service(folder)
  self:send(service, 0.1, 100)
  self.bench:stop(service.pid)
  local command = ("%s run bench/webhook_copies.lua %s/bench.db %d 2>&1"):format(self.host, folder, count)
  local output, ok = processes.capture(command)
  if not ok then
    processes.fail("%s\n%s", command, output)
  end
  return folder
end


-- Milliseconds from the command to the open port: the median of five starts.
function Webhooks:start_ms(folder)
  local times = {}
  for index = 1, 5 do
    local before = milliseconds()
    local service = self:service(folder)
    times[index] = { ms = milliseconds() - before }
    self.bench:stop(service.pid)
  end
  return median(times, "ms")
end


function Webhooks:million()
  local folder = self:fill(STORED)
  local start_ms = self:start_ms(folder)
  local service = self:service(folder)
  local ours = self:measure { service }
  local reached = start_ms < START_MS and ours.p99_us < P99_MS * 1000
  local verdict = ("p99 goal %d ms; starts in %.0f ms (goal %d ms)%s"):format(P99_MS, start_ms, START_MS,
    missed(reached))
  local lines, all_processed = self:constant_rate("", folder, service)
  table.insert(lines, 1, line("The same beside 1,000,000 stored events", service.who, ours, verdict))
  return lines, reached and all_processed
end


function Webhooks:compile()
  self.sender = self.bench.scratch .. "/webhook_sender"
  local output, ok = processes.capture(("${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o %s "
    .. "bench/webhook_sender.c -lcrypto 2>&1"):format(self.sender))
  if not ok then
    processes.fail("bench/webhook_sender.c does not compile:\n%s", output)
  end
end


-- The rows. `options`: bench (processes), host (our program), peers (a folder), secret, token, rounds, seconds,
-- run_seconds.
function M.rows(options)
  local webhooks = setmetatable(options, Webhooks)
  webhooks.runs = 0
  local function row(name, title, about, run)
    return {
      name = name, title = title, about = about,
      run = function()
        if not webhooks.sender then
          webhooks:compile()
        end
        return run(webhooks)
      end,
    }
  end
  return {
    row("webhook_ack", "A webhook acknowledged", "POST of 1 KB, HMAC-SHA256 over the raw body verified, JSON decoded, "
      .. "stored once by its event id with body, headers and indexes, answered after the commit (SQLite, WAL, "
      .. "synchronous=FULL), nothing to do with it; 64 connections. Service, store and sender share all cores. "
      .. "fsyncs are counted by strace in a run of their own", Webhooks.acknowledge),
    row("webhook_run", "A webhook processed", ("the same with a handler of one line, at a constant rate of %d events a "
      .. "second that does not wait for the service; ops/s and latencies are those of the acknowledgement, the start "
      .. "delay is the time from the receipt to the start of the handler"):format(RATE), Webhooks.process),
    row("webhook_million", "The same beside 1,000,000 stored events", "both rows again in a database of 1,000,000 "
      .. "completed events, and the time from the command to the open port", Webhooks.million),
  }
end


return M
