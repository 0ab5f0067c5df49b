-- Writes man/tidegate.1 (mdoc) from the tables of the commands: their usage, summaries and options.

local cli = require "tide.cli"
local command_line = require "tide.command_line"
local help = require "tide.cli.help"
local usage = require "tide.usage"

local M = {}

-- When what stands here was last written anew; the rest is as the commands are.
local DATE = "November 24, 2026"

local HEAD = [[
.Dd %s
.Dt TIDEGATE 1
.Os
.Sh NAME
.Nm tidegate
.Nd Lua-scriptable integration runtime
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar argument ...
.Sh DESCRIPTION
.Nm
stands between an application and every third party that it depends on.
Each integration is one Lua file that can be changed while the service runs.
.Pp
Results go to standard output, as JSON where that is no terminal.
Messages go to standard error.
Commands about a running service find it by the Unix socket in the data folder
of its project.
]]

local TAIL = [[
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev TIDEGATE_ Ns Ar NAME Ns _ Ns Ar KEY
A setting of an integration, or a secret that it declares, all in capitals.
.It Ev TIDEGATE_ Ns Ar NAME Ns _ Ns Ar SECRET Ns _FILE
The file that holds the secret instead; it is read again when it changes.
.It Ev TIDEGATE_MASTER_KEY
The key under which secrets are stored: 32 bytes in base64.
Several are separated by commas; the first encrypts.
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa config.lua
The configuration of a project; relative paths in it start from its folder.
.It Pa providers/*.lua
The integrations.
.It Pa spec/*_spec.lua
Their specs, for
.Nm tidegate test .
.It Pa migrations/*.sql
The tables of the project itself.
.It Pa var/tidegate.db , var/tidegate.sock
The store, and the socket of the running service.
.It Pa var/admin.token
The first token, written where no other is configured.
.El
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
Done.
.It 1
The operation failed.
.It 2
Wrong usage.
.El
.Sh EXAMPLES
.Bd -literal
tidegate check
tidegate serve
tidegate call nice_dnb search_company business_number=1248100998
tidegate api GET /api/v1/status
tidegate docs --output docs/api
.Ed
]]


local LINE_BYTES = 78


-- Text as roff takes it: no word of it is an escape.
local function escaped(text)
  return (text:gsub("%c", " "):gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("…", "..."))
end


-- Text as an argument of a macro: none of its words is one itself.
local function argument(text)
  return '"' .. escaped(text):gsub('"', '\\(dq') .. '"'
end


-- Lines of text, none of which is a request.
local function filled(text)
  local lines, line = {}, ""
  for word in escaped(text):gmatch("%S+") do
    if line ~= "" and #line + #word >= LINE_BYTES then
      lines[#lines + 1], line = line, ""
    end
    line = line == "" and word or line .. " " .. word
  end
  lines[#lines + 1] = line
  for index, each in ipairs(lines) do
    lines[index] = each:gsub("^([.'])", "\\&%1")
  end
  return table.concat(lines, "\n")
end


local function sentence(text)
  local first = text:gsub("^%l", string.upper)
  return filled(first:find("[.!?]$") and first or first .. ".")
end


local function add_option(lines, option)
  lines[#lines + 1] = ".It " .. argument(command_line.spelling(option))
  lines[#lines + 1] = sentence(option.help)
  if option.list then
    lines[#lines + 1] = "It may come again."
  end
end


local function add_command(lines, name)
  local command = cli.command(name)
  for _, line in ipairs(usage.lines(command)) do
    lines[#lines + 1] = ".It Nm tidegate " .. argument(line)
  end
  lines[#lines + 1] = sentence(command.summary)
  if command.options and #command.options > 0 then
    lines[#lines + 1] = ".Bl -tag -width Ds"
    for _, option in ipairs(command.options) do
      add_option(lines, option)
    end
    lines[#lines + 1] = ".El"
  end
end


--- The whole page.
---@return string
function M.render()
  local lines = {}
  for _, group in ipairs(help.groups(cli.names())) do
    lines[#lines + 1] = ".Ss " .. group[1]
    lines[#lines + 1] = ".Bl -tag -width Ds"
    for _, name in ipairs(group[2]) do
      add_command(lines, name)
    end
    lines[#lines + 1] = ".El"
  end
  return HEAD:format(DATE) .. ".Sh COMMANDS\n" .. table.concat(lines, "\n") .. "\n" .. TAIL
end


return M
