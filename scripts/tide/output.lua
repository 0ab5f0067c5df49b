-- Results on stdout: JSON where a program reads, pretty-printed where a person does.

local host = require "tide.host"
local json = require "tide.json"
local client = require "tide.client"

local M = {}


-- Prints a result: one line of JSON, or indented at a terminal unless `options.json`.
function M.print(value, options)
  local pretty = host.is_terminal("stdout") and not options.json
  host.write("stdout", assert(json.encode(value, { pretty = pretty })) .. "\n")
end


-- Prints the answer of the service, or says what went wrong: the exit code and a message.
function M.answer(options, status, value)
  if not status then
    return 1, value
  end
  if status >= 400 then
    return 1, client.explain(value)
  end
  if type(value) == "string" then
    host.write("stdout", value)
  else
    M.print(value, options)
  end
  return 0
end


-- Says something to whoever runs the command.
function M.say(...)
  host.write("stderr", table.concat({ ... }) .. "\n")
end


return M
