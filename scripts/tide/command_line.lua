-- Options of a command, as data, and how they are read.
--
-- { name, value, list, number, short, help, values }: `value` names what follows the option (left
-- out: it is a flag), `list` lets it come again, `number` makes it a whole number, `values` lists what
-- completion offers.

local usage = require "tide.usage"

local M = {}

-- What every command that looks at a project takes.
M.CONFIG = { name = "config", short = "c", value = "FILE", help = "the configuration (config.lua)" }
-- What every command with a result takes.
M.JSON = { name = "json", help = "print JSON, at a terminal too" }


-- "--expires-days" -> the field expires_days
local function field(name)
  return (name:gsub("-", "_"))
end


local function index(options)
  local by_text = {}
  for _, option in ipairs(options) do
    by_text["--" .. option.name] = option
    if option.short then
      by_text["-" .. option.short] = option
    end
  end
  return by_text
end


-- The option that is written so: "--name" or "-n".
function M.find(options, text)
  return index(options)[text]
end


local function convert(option, text)
  if not option.number then
    return text
  end
  return text:match("^%d+$") and math.tointeger(tonumber(text)) or nil
end


local function take(result, option, text, shown)
  local value = convert(option, text)
  if value == nil then
    return ("%s takes a whole number, not %s"):format(shown, text)
  end
  local name = field(option.name)
  if option.list then
    result[name] = result[name] or {}
    table.insert(result[name], value)
    return nil
  end
  if result[name] ~= nil then
    return shown .. " is given twice"
  end
  result[name] = value
end


-- Options by field, and the other arguments as the list part; nil and what is wrong. "--"
-- ends the options.
function M.parse(options, arguments)
  local by_text, result = index(options), {}
  local at = 1
  while at <= #arguments do
    local argument = arguments[at]
    local name, attached = argument:match("^(%-%-[%w-]+)=(.*)$")
    local option = by_text[name or argument]
    if argument == "--" then
      table.move(arguments, at + 1, #arguments, #result + 1, result)
      return result
    elseif not option and argument:match("^%-.") then
      return nil, "there is no option " .. (name or argument)
    elseif not option then
      result[#result + 1] = argument
    elseif not option.value then
      if attached then
        return nil, name .. " takes no value"
      end
      result[field(option.name)] = true
    else
      if not attached then
        at = at + 1
        attached = arguments[at]
      end
      if not attached then
        return nil, argument .. " needs a value: " .. option.value
      end
      local fault = take(result, option, attached, name or argument)
      if fault then
        return nil, fault
      end
    end
    at = at + 1
  end
  return result
end


-- How an option is written: "-c, --config FILE".
function M.spelling(option)
  local text = (option.short and "-" .. option.short .. ", " or "") .. "--" .. option.name
  return option.value and text .. " " .. option.value or text
end


-- How a command is used, as text.
function M.usage(command)
  return "usage: tidegate " .. table.concat(usage.lines(command), "\n       tidegate ")
end


-- The text of --help.
function M.describe(command)
  local lines = { M.usage(command), "", command.summary, "" }
  for _, option in ipairs(command.options or {}) do
    lines[#lines + 1] = ("  %-28s %s%s"):format(M.spelling(option), option.help,
      option.list and " (may come again)" or "")
  end
  return table.concat(lines, "\n"):gsub("\n+$", "") .. "\n"
end


return M
