-- `tidegate init`: a project to begin with.

local command_line = require "tide.command_line"
local created = require "tide.created"
local scaffold = require "tide.scaffold"

local M = {}

M.summary = "make a project in a new folder"
M.usage = "init DIR [--json]"
M.options = { command_line.JSON }


-- A path as a shell takes it for one word.
local function quote(path)
  if path:match("^[%w_./+@,:-]+$") and not path:match("^-") then
    return path
  end
  return (path:match("^-") and "./" or "") .. "'" .. path:gsub("'", "'\\''") .. "'"
end


local function next_commands(folder)
  local enter = folder ~= "." and ("cd %s && "):format(quote(folder)) or ""
  return { enter .. "tidegate check", "tidegate test", "tidegate call weather current city=Seoul" }
end


function M.run(options)
  local folder = options[1]
  if not folder or folder == "" then
    return 2, "the folder of the new project is missing"
  end
  if options[2] then
    return 2, "one folder at a time: " .. options[2] .. " is one too many"
  end
  folder = folder:match("^(.-)/*$")
  folder = folder == "" and "/" or folder
  local paths, message = scaffold.project(folder)
  if not paths then
    return 1, message
  end
  created.report(paths, next_commands(folder), options)
  return 0
end


return M
