-- Comments that allow what a rule would find: `-- check: allow RULE (why)`, on the line itself or in the comment
-- right above it. The reason must be given.

local suggest = require "tide.suggest"

local M = {}

local DIRECTIVE = "^%s*check:%s*allow%f[%s]%s*([%w_]*)%s*(.*)$"


local function names_of(rules)
  local names = {}
  for _, rule in ipairs(rules) do
    names[rule.name] = true
  end
  return names
end


local function fault(of, comment, words)
  return { file = of.path, line = comment.line, rule = "allowance", severity = "error", message = words }
end


--- Allowances that are none: of a rule that there is not, or without a reason.
function M.faults(of, rules)
  local found, names = {}, names_of(rules)
  for _, comment in ipairs(of.source.comments) do
    local name, reason = comment.text:match(DIRECTIVE)
    if name and not names[name] then
      found[#found + 1] = fault(of, comment, ("allows %s, which is no rule%s"):format(name, suggest.hint(name, names)))
    elseif name and not reason:find("%a%a") then
      found[#found + 1] = fault(of, comment, ("allows %s without a reason: write it in parentheses after the name")
        :format(name))
    end
  end
  return found
end


--- Whether a finding of a rule in a line is allowed.
function M.covers(of, rule, line)
  for _, comment in ipairs(of:comments_at(line)) do
    local name, reason = comment.text:match(DIRECTIVE)
    if name == rule and reason:find("%a%a") then
      return true
    end
  end
  return false
end


return M
