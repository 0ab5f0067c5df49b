-- What could stand at the cursor: verbs and their arguments, globals, fields along a path, and what an operation
-- takes. Raw reads only: nothing of the session runs.

local sandbox = require "tide.sandbox"
local secrets = require "tide.state.secrets"
local view = require "tide.view"
local candidates = require "tide.console.candidates"
local integrations = require "tide.console.integrations"
local verbs = require "tide.console.verbs"
local words = require "tide.console.words"

local M = {}

M.MAX = 200

-- What is looked at of the text before the cursor, and of a table's keys.
local LOOKED_BYTES = 4096
local LOOKED_KEYS = 100000

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do
  KEYWORDS[#KEYWORDS + 1] = word
end


-- Values ------------------------------------------------------------------------------------------


-- The table whose fields can be read of `value` without running anything; nil when there is none.
local function fields_of(value)
  if type(value) == "string" then
    return string
  end
  if type(value) ~= "table" then
    return nil
  end
  if view.is(value) then
    return debug.getmetatable(value).view_of
  end
  return sandbox.members(value) or value
end


local function names_in(value)
  local listed = integrations.names(value)
  if listed then
    return listed
  end
  local names, looked = {}, 0
  for key in next, fields_of(value) or {} do
    looked = looked + 1
    if looked > LOOKED_KEYS then
      break
    end
    if type(key) == "string" and #key <= 200 and key:find("^[%a_][%w_]*$") then
      names[#names + 1] = key
    end
  end
  return names
end


local function global(session, name)
  local value = rawget(session.env, name)
  if value == nil then
    value = session.members[name]
  end
  return value
end


local function member_of(value, name)
  if integrations.names(value) then
    return integrations.member(value, name)
  end
  return rawget(fields_of(value) or {}, name)
end


-- The value at the end of "a.b.c"; nil when it cannot be read.
local function value_at(session, path)
  local value
  for name in path:gmatch("[^%.]*") do
    if value == nil then
      value = global(session, name)
    else
      value = member_of(value, name)
    end
    if value == nil then
      return nil
    end
  end
  return value
end


local function globals(session)
  local names, seen = {}, {}
  for _, members in ipairs({ session.env, session.members }) do
    for name in next, members do
      if type(name) == "string" and not seen[name] and name:find("^[%a_][%w_]*$") then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  return table.move(KEYWORDS, 1, #KEYWORDS, #names + 1, names)
end


-- Lines of Lua ------------------------------------------------------------------------------------


-- Inside of a quote: names that a function takes. Each gives candidates for what a pattern found.
local QUOTED = {
  { "call%s*%(%s*[\"']([%w_]*)$", function(session) return candidates.integrations(session) end },
  { "call%s*%(%s*[\"']([%w_]+)[\"']%s*,%s*[\"']([%w_]*)$", candidates.operations },
  { "config%s*%(%s*[\"']([%w_]*)$", function(session) return candidates.integrations(session) end },
  { "cache%.[%w_]+%s*%(%s*[\"']([%w_]*)$", function(session) return candidates.integrations(session) end },
  { "help%s*%(%s*[\"']([%w_]*)$", function(session) return candidates.integrations(session) end },
  { "help%s*%(%s*[\"']([%w_]+)[\"']%s*,%s*[\"']([%w_]*)$", candidates.operations },
  { "require%s*%(?%s*[\"']([%w_.]*)$", function()
    local names = {}
    for name in pairs(sandbox.MODULES) do
      names[#names + 1] = name
    end
    return names
  end },
}


local function quoted(session, before)
  for _, each in ipairs(QUOTED) do
    local first, second = before:match(each[1])
    if first then
      return each[2](session, first), second or first
    end
  end
end


-- Where the value of a member would stand nothing of the input is meant.
local INPUT_OF_PROXY = "integrations%.([%w_]+)%.([%w_]+)%s*%(?%s*{([^{}]*)$"
local INPUT_OF_CALL = "call%s*%(%s*[\"']([%w_]+)[\"']%s*,%s*[\"']([%w_]+)[\"']%s*,%s*{([^{}]*)$"

local function input_key(session, before)
  local integration, operation, rest = before:match(INPUT_OF_PROXY)
  if not integration then
    integration, operation, rest = before:match(INPUT_OF_CALL)
  end
  local word = integration and ("," .. rest):match("[,;]%s*([%a_]?[%w_]*)$")
  if word then
    return candidates.inputs(session, integration, operation, " = "), word
  end
end


local function field(session, before)
  local start, path, mark, word = before:match("()([%a_][%w_%.]*)([%.:])([%a_]?[%w_]*)$")
  if not path then
    return nil
  end
  -- Fields of what a call or an index gives.
  if before:sub(1, start - 1):find("[%)%]}\"'%.:]%s*$") then
    return {}, word
  end
  local value = value_at(session, path)
  if value == nil or (mark == ":" and not fields_of(value)) then
    return {}, word
  end
  return names_in(value), word
end


local function of_line(session, before)
  local list, word = quoted(session, before)
  if not list then
    list, word = input_key(session, before)
  end
  if not list then
    list, word = field(session, before)
  end
  if not list then
    word = before:match("[%a_][%w_]*$")
    list = word and globals(session) or {}
  end
  return list, word or ""
end


-- Verbs -------------------------------------------------------------------------------------------


local function of_verb(session, before)
  local name, rest = before:match("^%s*%.([%w_]*)(.*)$")
  if name == "json" and rest:find("%S") then
    return of_verb(session, (rest:gsub("^%s*%.?", ".")))
  end
  if rest == "" then
    local names = verbs.names()
    names[#names + 1] = "json"
    return names, name
  end
  local verb = verbs.find(name)
  local word = rest:match("%S*$")
  local arguments = words.split(rest:sub(1, #rest - #word))
  if not (verb and verb.complete and arguments) then
    return {}, word
  end
  return verb.complete(session, arguments), word
end


-- The whole -----------------------------------------------------------------------------------------


-- Those that begin with `word`, sorted, each once.
local function fitting(list, word)
  local seen, found = {}, {}
  for _, candidate in ipairs(list) do
    local fits = candidate:sub(1, #word) == word and candidate ~= word
    if fits and not seen[candidate] and secrets.redact(candidate) == candidate then
      seen[candidate] = true
      found[#found + 1] = candidate
    end
  end
  table.sort(found)
  return table.move(found, 1, math.min(#found, M.MAX), 1, {})
end


--- What could stand in place of the word before the cursor. `at`: the bytes before it; `from`: those before the
--- word.
---@param session table
---@param text string
---@param at integer
---@return { from: integer, words: string[] }
function M.find(session, text, at)
  at = math.max(0, math.min(at, #text))
  local before = text:sub(math.max(1, at - LOOKED_BYTES + 1), at)
  if session.ended then
    return { from = at, words = {} }
  end
  local find = before:find("^%s*%.%a*") and at <= LOOKED_BYTES and of_verb or of_line
  local list, word = find(session, before)
  return { from = at - #word, words = fitting(list, word) }
end


return M
