-- One generation for all workers, or for none: the main worker proposes it, each worker builds it and answers
-- (live.lua), and when all were able to, one number says that it is in force.

local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"
local live = require "tide.live"

local M = {}

local ANSWER_SECONDS = 5


-- What a worker answered to a proposal; nil when it has not yet.
local function answer_of(worker, version)
  local bytes = host.published(live.ANSWER .. worker)
  local answer = bytes and assert(json.decode(bytes))
  return answer and answer.version == version and answer or nil
end


-- Every worker's answer; nil and a fault when one does not come.
local function wait_answers(version, workers)
  local deadline = time.monotonic() + ANSWER_SECONDS
  local answers = {}
  for worker = 1, workers do
    local changes = host.changes()
    answers[worker] = answer_of(worker, version)
    while not answers[worker] do
      if time.monotonic() >= deadline then
        return nil, ("worker %d did not build it within %d seconds"):format(worker, ANSWER_SECONDS)
      end
      changes = host.wait_changes(changes, math.max(0, deadline - time.monotonic()))
      answers[worker] = answer_of(worker, version)
    end
  end
  return answers
end


-- The faults of the configuration that any worker found, and by integration what failed on one of them and
-- not here.
local function judge(answers, failed_here)
  local faults, failed = {}, {}
  for worker, answer in ipairs(answers) do
    for _, fault in ipairs(answer.faults or {}) do
      faults[#faults + 1] = ("%s (worker %d)"):format(fault, worker)
    end
    for name, fault in pairs(answer.failed or {}) do
      failed[name] = not failed_here[name] and fault or failed[name]
    end
  end
  return faults, failed
end


local function withdraw()
  host.publish(live.PROPOSAL, "")
end


-- Proposes `candidate`, built here of `sources` under `terms`, to `workers` workers. True when all were able
-- to build it: they keep it until it is committed or withdrawn. Else nil, the faults, and what failed on
-- some worker alone, by integration.
function M.propose(candidate, sources, terms, workers)
  local version = host.publish(live.PROPOSAL, live.pack(sources, live.terms_of(candidate, terms)))
  candidate.version = version
  local answers, fault = wait_answers(version, workers)
  local faults, failed = { fault }, {}
  if answers then
    faults, failed = judge(answers, live.failures(candidate))
  end
  if #faults > 0 or next(failed) then
    withdraw()
    return nil, faults, failed
  end
  return true
end


M.withdraw = withdraw


-- Puts what all have built in force, here first.
function M.commit(candidate, own)
  own.candidate, own.answered = candidate, candidate.version
  host.publish(live.COMMITTED, tostring(candidate.version))
  return own:current()
end


return M
