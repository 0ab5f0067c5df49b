-- Results on stdout: JSON where a program reads, pretty-printed where a person does.

local host = require "tide.host"
local json = require "tide.json"
local client = require "tide.client"

local M = {}


-- What is raised when a result gets lost on its way out.
M.LOST = "the result could not be written to standard output: is its disk full, or its reader gone?"


local function write(text)
  if not host.write("stdout", text) then
    error(M.LOST, 0)
  end
end


-- Prints a result: one line of JSON, or indented at a terminal unless `options.json`.
function M.print(value, options)
  local pretty = host.is_terminal("stdout") and not options.json
  write(assert(json.encode(value, { pretty = pretty })) .. "\n")
end


-- Prints a result as `render` lays it out at a terminal, as JSON elsewhere or without it.
function M.show(value, options, render)
  if render and host.is_terminal("stdout") and not options.json then
    write(render(value))
  else
    M.print(value, options)
  end
end


-- Prints the answer of the service, at a terminal as `render` (if any) lays it out, or says what went wrong: the
-- exit code and a message.
function M.answer(options, status, value, render)
  if not status then
    return 1, value
  end
  if status >= 400 then
    return 1, client.explain(value)
  end
  if type(value) == "string" then
    write(value)
  else
    M.show(value, options, render)
  end
  return 0
end


-- Says something to whoever runs the command.
function M.say(...)
  host.write("stderr", table.concat({ ... }) .. "\n")
end


return M
