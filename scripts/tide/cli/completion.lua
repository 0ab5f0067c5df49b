-- `tidegate completion`: the script that teaches a shell to complete this program's words; and, for that
-- script, the words themselves: `tidegate completion words -- WORD ...`.

local host = require "tide.host"
local completion = require "tide.completion"
local task = require "tide.task"

local M = {}

M.summary = "print the script that lets bash or zsh complete commands"
M.usage = "completion bash|zsh"
M.options = {}

local SCRIPTS = { bash = "scripts/completion/tidegate.bash", zsh = "scripts/completion/_tidegate" }


-- One line each: the text, and after a tab what it is.
local function print_words(words)
  local ok, candidates = task.guard(completion.words, words)
  local lines = {}
  for index, candidate in ipairs(ok and candidates or {}) do
    local description = candidate[2] and tostring(candidate[2]):gsub("%c", " ") or nil
    lines[index] = candidate[1] .. (description and "\t" .. description or "") .. "\n"
  end
  host.write("stdout", table.concat(lines))
  return 0
end


function M.run(options)
  local shell = options[1]
  if shell == "words" then
    -- A shell has no use for a message: it is in the middle of a line.
    return #options > 1 and print_words({ table.unpack(options, 2) }) or 0
  end
  local asset = SCRIPTS[shell or ""]
  if not asset or options[2] then
    return 2, "bash or zsh?"
  end
  host.write("stdout", assert(host.asset(asset)))
  return 0
end


return M
