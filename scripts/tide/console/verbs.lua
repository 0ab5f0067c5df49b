-- The verbs of a console: ".status", ".call acme track parcel=1". One file each under verbs/, found by its name:
--
--   summary   one line, for .help
--   usage     how it is written
--   fetch     function(session, arguments) -> data; it raises what went wrong
--   show      function(session, data, arguments): data as text for people
--   run       function(session, arguments, is_json) instead of both, for verbs that go on
--   complete  function(session, arguments) -> candidates for the argument after these

local host = require "tide.host"
local json = require "tide.json"
local redact = require "tide.redact"
local suggest = require "tide.suggest"
local words = require "tide.console.words"

local M = {}

local FOLDER = "scripts/tide/console/verbs/"


--- The names of all verbs, sorted.
---@return string[]
function M.names()
  local names = {}
  for _, asset in ipairs(host.assets(FOLDER)) do
    names[#names + 1] = asset:match("/([%w_]+)%.lua$")
  end
  return names
end


---@return table|nil
function M.find(name)
  for _, known in ipairs(M.names()) do
    if known == name then
      return require("tide.console.verbs." .. name)
    end
  end
end


function M.unknown(name)
  return ("there is no verb .%s%s; .help lists them"):format(name, suggest.hint(name, M.names()))
end


--- Raises that a verb is used wrongly.
function M.misuse(verb)
  error("usage: " .. verb.usage, 0)
end


-- Takes `.json` from the front and `| json` from the end; whether one was there.
local function take_json(text)
  local rest = text:match("^%s*%.json%s+(.*)$")
  local before = text:match("^(.*%S)%s*|%s*json%s*$")
  if rest then
    return "." .. rest:gsub("^%.", ""), true
  end
  return before or text, before ~= nil
end


-- Verbs whose usage is their name take no arguments.
local function run(session, verb, arguments, is_json)
  if arguments[1] and not verb.usage:find(" ", 1, true) then
    M.misuse(verb)
  end
  if verb.run then
    return verb.run(session, arguments, is_json)
  end
  local data = verb.fetch(session, arguments)
  if is_json then
    return session:show(assert(json.encode(redact.value(data), { pretty = true })))
  end
  verb.show(session, data, arguments)
end


--- What a text that begins with a dot does, as a function; nil and a message.
---@return function|nil, string? message
function M.prepare(session, text)
  local command, is_json = take_json(text)
  local name, rest = command:match("^%s*%.([%w_]+)%s*(.-)%s*$")
  local verb = name and M.find(name)
  if not verb then
    return nil, M.unknown(name or "")
  end
  local arguments, message = words.split(rest)
  if not arguments then
    return nil, message
  end
  return function() run(session, verb, arguments, is_json) end
end


return M
