-- Names that mean nothing.

local library = require "tide.sandbox.library"
local suggest = require "tide.suggest"

local M = {}

-- So many names are compared with so many that there are; a file with more faults has other troubles than misspelling.
local MAX_HINTS, MAX_CANDIDATES = 50, 1000

M.name = "undeclared_global"
M.severity = "error"
M.kinds = { provider = true, script = true, config = true }
M.describe = "A name that is neither a local nor one of the sandbox's is read: it is nil. Or one is written: it is "
  .. "kept between calls, by each worker for itself. `config.lua` has `env` and nothing else."


local function known_names(of)
  if of.kind == "config" then
    return { env = true }
  end
  local names = library.new()
  names.require, names._ENV = true, true
  return names
end


local function has_own_environment(of)
  for _, variable in ipairs(of.source.variables) do
    if variable.name == "_ENV" then
      return true
    end
  end
end


local function written(of)
  local names = {}
  for _, use in ipairs(of.source.globals) do
    names[use.name] = names[use.name] or use.is_write
  end
  return names
end


local function candidates(of, known)
  local names = {}
  for name in pairs(known) do
    names[name] = true
  end
  local variables = of.source.variables
  for i = 1, math.min(#variables, MAX_CANDIDATES) do
    names[variables[i].name] = true
  end
  return names
end


local function read_words(of, use, names)
  local hint = names and suggest.hint(use.name, names) or ""
  if of.kind == "config" then
    return ("%s is not known: config.lua sees env and nothing else%s"):format(use.name, hint)
  end
  local missing = library.MISSING[use.name]
  if missing then
    return ("%s is not available to a provider: %s"):format(use.name, missing)
  end
  return ("%s is not declared, so it is nil%s: define it as a local, or require its module"):format(use.name, hint)
end


local function words_of(of, use, names)
  if use.is_write then
    return ("sets the global %s: put `local` before it, or keep the value with ctx.cache"):format(use.name)
  end
  return read_words(of, use, names)
end


--- Uses of unknown names that no later local explains: those are used_before_definition's.
function M.review(of)
  if has_own_environment(of) then
    return {}
  end
  local known, set, found, seen = known_names(of), written(of), {}, {}
  local names = candidates(of, known)
  for _, use in ipairs(of.source.globals) do
    local is_explained = use.defined_at or (known[use.name] and not use.is_write)
      or (set[use.name] and not use.is_write)
    local place = use.name .. ":" .. use.line
    if not is_explained and not seen[place] then
      seen[place] = true
      found[#found + 1] = { line = use.line, message = words_of(of, use, #found < MAX_HINTS and names or nil) }
    end
  end
  return found
end


return M
