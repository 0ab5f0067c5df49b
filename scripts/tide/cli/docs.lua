-- `tidegate docs`: what can be configured, and what each integration takes and gives.

local host = require "tide.host"
local boot = require "tide.boot"
local command_line = require "tide.command_line"
local docs_configuration = require "tide.docs.configuration"
local docs_manual = require "tide.docs.manual"
local docs_project = require "tide.docs.project"
local output = require "tide.output"
local project = require "tide.project"
local sorted = require "tide.sorted"

local M = {}

M.summary = "pages about the configuration and the integrations"
M.usage = "docs [configuration | openapi | man | INTEGRATION] [--output DIR] [-c config.lua] [--json]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "output", value = "DIR", help = "write openapi.json and a page for each integration into this folder" },
}

local FILE_MODE, FOLDER_MODE = 420, 493 -- 0644, 0755


local function build(options)
  local opened, faults = project.read(options.config)
  local generation
  if opened then
    boot.publish(opened.sources)
    generation, faults = boot.build()
  end
  if not generation then
    return nil, table.concat(faults, "\n")
  end
  return generation
end


local function contents(generation)
  local lines = {
    "tidegate docs configuration   every key of config.lua",
    "tidegate docs openapi         the HTTP API as an OpenAPI document",
    "tidegate docs man             the manual page of this program",
    "tidegate docs --output DIR    pages of all integrations, and that document",
  }
  for _, name in ipairs(sorted.names(generation.integrations)) do
    local provider = generation.integrations[name].provider
    lines[#lines + 1] = ("tidegate docs %-15s %s"):format(name, provider and provider.summary or "(not loaded)")
  end
  return table.concat(lines, "\n") .. "\n"
end


-- Writes each file below a folder: their paths, or nil and what is wrong.
local function write_all(folder, files)
  local paths = sorted.names(files)
  for _, path in ipairs(paths) do
    local whole = folder .. "/" .. path
    local done, message = host.make_directory(whole:match("^(.*)/"), FOLDER_MODE)
    if done then
      done, message = host.write_file(whole, files[path], FILE_MODE)
    end
    if not done then
      return nil, ("%s could not be written: %s"):format(whole, message)
    end
  end
  return paths
end


-- Integrations that did not load have no page: that is said, and is a failure.
local function write_pages(options, generation)
  local folder = options.output:gsub("(.)/+$", "%1")
  local paths, message = write_all(folder, docs_project.files(generation))
  if not paths then
    return 1, message
  end
  output.print({ output = folder, files = paths }, options)
  if #generation.errors > 0 then
    return 1, table.concat(generation.errors, "\n")
  end
  return 0
end


local function page(generation, name)
  local integration = generation.integrations[name]
  if not integration then
    return 1, ("there is no page and no integration %s"):format(name)
  end
  if not integration.provider then
    return 1, table.concat(integration.error.faults, "\n")
  end
  host.write("stdout", docs_project.page(generation, integration))
  return 0
end

-- What needs no project.
local FIXED = { configuration = docs_configuration.render, man = docs_manual.render }


local function show(generation, topic)
  if topic == nil then
    host.write("stdout", contents(generation))
  elseif topic == "openapi" then
    host.write("stdout", docs_project.openapi(generation))
  else
    return page(generation, topic)
  end
  return 0
end


function M.run(options)
  local topic = options[1]
  if options[2] or options.output and topic then
    return 2, "one page, or --output for all of them"
  end
  if FIXED[topic] then
    host.write("stdout", FIXED[topic]())
    return 0
  end
  local generation, message = build(options)
  if not generation then
    return 1, message
  end
  if options.output then
    return write_pages(options, generation)
  end
  return show(generation, topic)
end


return M
