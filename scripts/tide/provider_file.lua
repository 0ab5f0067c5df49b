-- One provider file, run and checked: the code of an integration. What is loaded of it stays what it is;
-- a changed file is another code.

local crypto = require "tide.crypto"
local locate = require "tide.locate"
local message = require "tide.message"
local provider = require "tide.provider"
local sandbox = require "tide.sandbox"
local task = require "tide.task"

local M = {}

local VERSION_DIGITS = 12


-- SHA-256 of a file and of what it required, in hexadecimal; nil when one of those is not there any more.
local function digest_of(file, dependencies, scripts)
  local parts = { file.text }
  for _, dependency in ipairs(dependencies) do
    local script = scripts[dependency.name]
    if not (script and script.text) then
      return nil
    end
    parts[#parts + 1] = script.path
    parts[#parts + 1] = script.text
  end
  return crypto.hex(crypto.digest("sha256", table.concat(parts, "\0")))
end


-- Runs the file in a sandbox of its own: what it returns, or nil and why not.
local function run(file, scripts, dependencies)
  return sandbox.load(file.text, file.path, {
    dependencies = dependencies,
    find = function(name)
      local script = scripts[name]
      if script and script.fault then
        error(("%s: %s"):format(script.path, script.fault), 0)
      end
      return script and script.text, script and script.path
    end,
  })
end


-- What was raised while a provider was checked, placed in its file: a line of the framework says
-- nothing.
local function check_fault(path, raised, kind)
  if kind then
    local reason = locate.split(message.clean(raised))
    return ("%s: stopped while it was loaded: %s"):format(path, reason)
  end
  local words, file, line = locate.split(locate.restore(message.clean(raised), path))
  local place = file == path and ("%s:%d"):format(path, line) or path
  return ("%s: %s (while the provider was checked)"):format(place, words)
end


--- The code of a provider's file; nil and its faults, each "FILE:LINE: message". The check stays inside the
--- budget: a table can have metamethods.
---@param file table { name, path, text }, or `fault` in place of `text` when it cannot be read
---@param scripts table<string, table> the project's shared scripts, the same by name
---@param budget_ms integer CPU time for it
---@param loaded_at string since when it is in force
---@return table|nil code { path, digest, version, dependencies, provider, loaded_at }, string[]? faults
function M.load(file, scripts, budget_ms, loaded_at)
  if file.fault then
    return nil, { ("%s: %s"):format(file.path, file.fault) }
  end
  local dependencies = {}
  local ok, loaded, faults = task.bounded(budget_ms, "loading " .. file.path, function()
    local definition, err = run(file, scripts, dependencies)
    if err then
      return nil, { err }
    end
    return provider.check(definition, file.name, file.path, file.text)
  end)
  if not ok then
    return nil, { check_fault(file.path, loaded, faults) }
  end
  if not loaded then
    return nil, faults
  end
  local digest = digest_of(file, dependencies, scripts)
  for _, dependency in ipairs(dependencies) do
    dependency.text = nil
  end
  return { path = file.path, digest = digest, version = digest:sub(1, VERSION_DIGITS), dependencies = dependencies,
    provider = loaded, loaded_at = loaded_at }
end


--- The version of a code, as `load` would give it to a file, if it required the same scripts.
---@return string|nil
function M.version(file, scripts, dependencies)
  local digest = file.text and digest_of(file, dependencies, scripts)
  return digest and digest:sub(1, VERSION_DIGITS)
end


--- What tells one attempt to load a file from another: the file and all scripts that it might require.
---@return string
function M.attempt(file, scripts)
  local parts = { file.path, file.text or file.fault }
  for name, script in pairs(scripts) do
    parts[#parts + 1] = ("%s\0%s\0%s"):format(name, script.path, script.text or script.fault)
  end
  table.sort(parts)
  return crypto.digest("sha256", table.concat(parts, "\0"))
end


--- Whether a file, with the scripts as they are now, is what `code` was made of.
---@return boolean
function M.is_same(code, file, scripts)
  return code.path == file.path and file.text ~= nil and code.digest == digest_of(file, code.dependencies, scripts)
end


return M
