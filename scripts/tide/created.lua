-- Says which files a command has made, and what to type next.

local host = require "tide.host"
local output = require "tide.output"

local M = {}


local function lines(title, list)
  return title .. "\n  " .. table.concat(list, "\n  ") .. "\n"
end


-- Words at a terminal, JSON to a program.
function M.report(paths, commands, options)
  if options.json or not host.is_terminal("stdout") then
    output.print({ created = paths, next = commands }, options)
    return
  end
  host.write("stdout", lines("Created", paths) .. "\n" .. lines("Next", commands))
end


return M
