-- `tidegate check` as a reviewer: what loads and is wrong all the same. Each rule is a file of review/rule/:
--
--   name, severity ("error" or "warning"), describe (a sentence or more, for docs/check.md)
--   kinds             of files that it looks at: "provider", "script" (shared), "config"
--   review(subject)   a list of { line, message } and, where it is not the rule's, severity
--
-- A finding is left out where the line, or the comment above it, says `check: allow RULE (why)`.

local host = require "tide.host"
local allowance = require "tide.review.allowance"
local message = require "tide.message"
local subject = require "tide.review.subject"
local task = require "tide.task"

local M = {}

local RULES = "scripts/tide/review/rule/"
-- CPU time for reading one file, and for reviewing it.
M.BUDGET_MS = 20000
M.MAX_FINDINGS_PER_FILE = 200

local rules


--- Every rule, in the order of their names.
---@return table[]
function M.rules()
  if not rules then
    rules = {}
    for _, asset in ipairs(host.assets(RULES)) do
      rules[#rules + 1] = require("tide.review.rule." .. asset:sub(#RULES + 1):gsub("%.lua$", ""))
    end
  end
  return rules
end


local function finding(of, rule, fault)
  return {
    file = of.path, line = fault.line, rule = rule.name, severity = fault.severity or rule.severity,
    message = message.clean(fault.message, 1000),
  }
end


local function by_place(left, right)
  if left.line ~= right.line then
    return (left.line or 0) < (right.line or 0)
  end
  if left.rule ~= right.rule then
    return left.rule < right.rule
  end
  return left.message < right.message
end


local function review_one(of)
  local found = allowance.faults(of, M.rules())
  for _, rule in ipairs(M.rules()) do
    for _, fault in ipairs(rule.kinds[of.kind] and rule.review(of) or {}) do
      if not allowance.covers(of, rule.name, fault.line) then
        found[#found + 1] = finding(of, rule, fault)
      end
    end
  end
  table.sort(found, by_place)
  return found
end


local function not_reviewed(of, words, severity)
  return { file = of.path, line = 1, rule = "review", severity = severity or "warning",
    message = "could not be reviewed: " .. message.clean(words, 500) }
end


local STOPPED = { out_of_memory = "it needs too much memory", script_timeout = "it takes too long" }


-- The findings of one file. What is too large to be looked at within the budget is said.
local function bounded(of)
  if not of.source then
    return of.unreadable and { not_reviewed(of, of.unreadable) } or {}
  end
  local ok, found, kind = task.guard(review_one, of)
  if not ok then
    return { not_reviewed(of, STOPPED[kind] or message.clean(found), not kind and "error" or nil) }
  end
  local over = #found - M.MAX_FINDINGS_PER_FILE
  if over > 0 then
    table.move({}, 1, over, M.MAX_FINDINGS_PER_FILE + 1, found)
    found[#found + 1] = { file = of.path, line = 1, rule = "review", severity = "warning",
      message = ("%d more findings are not shown"):format(over) }
  end
  return found
end


--- Reviews the files of a project: config.lua, its providers and shared scripts.
---@param sources table as sources.read gives them
---@param generation table|nil what was built of them, as far as it loaded
---@return table[] findings { file, line, rule, severity, message }, file by file
function M.run(sources, generation)
  local all = {}
  local subjects = subject.all(sources, generation, function(label)
    task.budget(M.BUDGET_MS, label)
  end)
  for _, of in ipairs(subjects) do
    task.budget(M.BUDGET_MS, "reviewing " .. of.path)
    local found = bounded(of)
    table.move(found, 1, #found, #all + 1, all)
  end
  task.budget(nil)
  return all
end


return M
