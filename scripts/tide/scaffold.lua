-- New files in a project, from the templates inside the binary (scripts/templates). Nothing that is there is
-- ever overwritten.

local host = require "tide.host"
local message = require "tide.message"

local M = {}

local TEMPLATES = "scripts/templates/"
local FILE_MODE, FOLDER_MODE = 420, 493 -- 0644, 0755
-- So many names of a folder that is not empty are said.
local NAMES_SHOWN = 5
-- What a file is called among the templates and in a project: those of the binary do not begin with a dot.
local HIDDEN = { gitignore = ".gitignore" }


-- The words in capitals that a template has in place of a name.
local function fill(text, words)
  return (text:gsub("NEW_%u+", words))
end


local function template(name, words)
  local text = host.asset(TEMPLATES .. name) or error("there is no template " .. name, 2)
  return fill(text, words)
end


local function shown(names)
  local list = {}
  for i = 1, math.min(#names, NAMES_SHOWN) do
    list[i] = message.clean(names[i], 100)
  end
  local more = #names > NAMES_SHOWN and (" and %d more"):format(#names - NAMES_SHOWN) or ""
  return table.concat(list, ", ") .. more
end


-- The names in a folder; none where there is no folder yet.
local function names_in(folder)
  local names, words, code = host.list(folder)
  if names or code == "not_found" then
    return names or {}
  end
  return nil, words
end


-- Whether a name is taken, be it by a link to nowhere.
local function is_taken(path)
  local folder, name = path:match("^(.*)/([^/]*)$")
  local names, words = names_in(folder or ".")
  if not names then
    return nil, words
  end
  for _, other in ipairs(names) do
    if other == (name or path) then
      return true
    end
  end
  return false
end


local function refuse_taken(files)
  for _, file in ipairs(files) do
    local taken, words = is_taken(file.path)
    if taken == nil then
      return nil, words
    end
    if taken then
      return nil, file.path .. " is there already: nothing was written"
    end
  end
  return true
end


local function write(file)
  local folder = file.path:match("^(.*)/[^/]*$")
  if folder then
    local made, words = host.make_directory(folder, FOLDER_MODE)
    if not made then
      return nil, words
    end
  end
  return host.write_file(file.path, file.text, FILE_MODE)
end


-- Writes all files, or, when one is there already, none. Their paths; nil and what is wrong.
local function write_all(files)
  local free, words = refuse_taken(files)
  if not free then
    return nil, words
  end
  local paths = {}
  for i, file in ipairs(files) do
    local written
    written, words = write(file)
    if not written then
      return nil, words
    end
    paths[i] = file.path
  end
  return paths
end


--- Makes a project in a folder that is empty or not there. The paths written; nil and what is wrong.
---@param folder string
---@return string[]|nil paths, string? message
function M.project(folder)
  local names, words = names_in(folder)
  if not names then
    return nil, words
  end
  if #names > 0 then
    return nil, ("%s is not empty (%s): name a folder that is new or empty"):format(folder, shown(names))
  end
  local files, prefix = {}, TEMPLATES .. "project/"
  for i, asset in ipairs(host.assets(prefix)) do
    local name = asset:sub(#prefix + 1)
    files[i] = { path = folder .. "/" .. (HIDDEN[name] or name), text = template("project/" .. name, {}) }
  end
  return write_all(files)
end


--- Makes a provider and its spec. The paths written; nil and what is wrong.
---@param name string a valid name of an integration
---@param path string of the provider's file
---@param spec_path string of its spec
---@param variable string that holds its secret
---@return string[]|nil paths, string? message
function M.provider(name, path, spec_path, variable)
  local words = { NEW_NAME = name, NEW_VARIABLE = variable }
  return write_all {
    { path = path, text = template("provider/provider.lua", words) },
    { path = spec_path, text = template("provider/spec/provider_spec.lua", words) },
  }
end


return M
