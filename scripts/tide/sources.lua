-- Reads what a generation is built from: config.lua, the project's providers and shared
-- scripts, the providers inside the binary.

local host = require "tide.host"
local message = require "tide.message"
local settings = require "tide.settings"

local M = {}

M.MAX_FILE_BYTES = 4 * 1024 * 1024
M.MAX_FILES = 1000


local function folder_of(path)
  return path:match("^(.*)/[^/]*$")
end


-- A file; never a pipe, whose other end may not come.
local function read_source(path, max_bytes)
  if host.stat(path) == "other" then
    return nil, "it is neither a file nor a folder"
  end
  return host.read_file(path, max_bytes)
end


-- The Lua files of a folder as { name, path, text }, added to `files`; one that cannot be read has `fault` in
-- place of `text`: the others are none the worse. Names go into messages and JSON, whatever their bytes are.
local function read_folder(folder, files)
  local names, err = host.list(folder)
  if not names then
    return nil, err
  end
  for _, file in ipairs(names) do
    local name = file:match("^([^.].*)%.lua$")
    if name then
      local path = folder .. "/" .. file
      local text, fault = read_source(path, M.MAX_FILE_BYTES)
      if #files >= M.MAX_FILES then
        return nil, ("%s: more than %d files"):format(folder, M.MAX_FILES)
      end
      files[#files + 1] = { name = message.clean(name), path = message.clean(path), text = text,
        fault = not text and "could not be read: " .. fault or nil }
    end
  end
  return true
end


-- The usual folder may be missing: a project may do with the bundled providers. One of another
-- name that is not there is a mistake. Those that are there are added to `found`.
local function read_folders(folders, files, usual, where, found)
  for _, folder in ipairs(folders) do
    local kind = host.stat(folder)
    if kind == "directory" then
      found[folder] = true
      local ok, err = read_folder(folder, files)
      if not ok then
        return nil, err
      end
    elseif kind or folder ~= usual then
      return nil, ("%s: providers: there is no folder %s"):format(where({ "providers" }), folder)
    end
  end
  return files
end


local function read_bundled()
  local files = {}
  for _, asset in ipairs(host.assets("providers/")) do
    local name = asset:match("^providers/([^/]+)%.lua$")
    if name then
      files[#files + 1] = { name = name, path = asset, text = host.asset(asset) }
    end
  end
  return files
end


--- Everything that `generation.build` needs, read once.
---@param config_path string
---@param getenv? fun(name: string): string|nil
---@return table|nil sources, string[]? errors each "FILE:LINE: message"
function M.read(config_path, getenv)
  getenv = getenv or host.getenv
  local text, err = read_source(config_path, settings.MAX_CONFIG_BYTES)
  if not text then
    return nil, { ("%s: could not be read: %s"):format(config_path, err) }
  end
  local config, where = settings.load(config_path, text, getenv)
  if not config then
    return nil, { where }
  end
  local checked = settings.check_config(config, where)
  if checked ~= true then
    return nil, checked
  end
  local base = folder_of(config_path)
  local beside = base and base .. "/" or ""
  local folders = settings.with_defaults(config, config_path).providers
  local found = {}
  local files, fault = read_folders(type(folders) == "table" and folders or { folders }, {},
    beside .. "providers", where, found)
  if not files then
    return nil, { fault }
  end
  local scripts, scripts_fault = read_folders({ beside .. "scripts" }, {}, beside .. "scripts", where, found)
  if not scripts then
    return nil, { scripts_fault }
  end
  return {
    config = config, config_path = config_path, config_text = text, files = files,
    scripts = scripts, folders = found,
    bundled = read_bundled(), getenv = getenv,
  }
end


return M
