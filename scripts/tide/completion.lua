-- What a shell may put at the cursor: from the tables and usage lines of the commands, and from the project.
--
-- A candidate is { text, description, values }, the last for keys that take one of a few. Two texts say what the
-- shell knows itself: ":files", ":directories".

local command_line = require "tide.command_line"
local completion_project = require "tide.completion.project"
local settings_schema = require "tide.settings.schema"
local usage = require "tide.usage"

local M = {}

M.CANDIDATES_MAX = 500

local HELP = { name = "help", help = "say more about the command" }
local BOOLEANS = { "true", "false" }
local METHODS = { "DELETE", "GET", "PATCH", "POST", "PUT" }


local function listed(names)
  local candidates = {}
  for index, name in ipairs(names) do
    candidates[index] = { name }
  end
  return candidates
end


-- Names with what stands between them and a value; the values of the one that is there already.
local function with_equals(candidates, current)
  local given = current:match("^([^=:]*):?=")
  local list = {}
  for _, candidate in ipairs(candidates) do
    if not given then
      list[#list + 1] = { candidate[1] .. "=", candidate[2] }
    end
    for _, value in ipairs(candidate[1] == given and candidate[3] or {}) do
      list[#list + 1] = { given .. "=" .. tostring(value) }
    end
  end
  return list
end


-- Kinds -------------------------------------------------------------------------------------------


-- By what a usage line or the value of an option calls it. `place`: project, command, integration (the one
-- that stands before), current (what is there of the word).
local KINDS = {}


function KINDS.FILE()
  return { { ":files" } }
end


function KINDS.DIR()
  return { { ":directories" } }
end


function KINDS.INTEGRATION(place)
  local name = place.command == "webhooks" and place.current:match("^([%l%d_]+)/")
  return name and place.project:sources(name) or place.project:integrations()
end


function KINDS.OPERATION(place)
  return place.project:operations(place.integration)
end


function KINDS.SECRET(place)
  return place.project:secrets(place.integration)
end


function KINDS.METHOD()
  return listed(METHODS)
end


function KINDS.PATH(place)
  if place.command == "api" then
    return completion_project.paths(place.words[1]:upper())
  end
  return KINDS.FILE()
end


-- What can change at run time.
function KINDS.KEY()
  local candidates = {}
  for _, key in ipairs(settings_schema.integration) do
    if key.live then
      candidates[#candidates + 1] = { key.name, key.description,
        key.type == "text" and key.values or key.type == "boolean" and BOOLEANS or nil }
    end
  end
  return candidates
end


function KINDS.COMMAND()
  return M.commands()
end


local function is_about(place, action)
  return place.words[1] == action
end

-- What the keys of `key=value` are, by command.
local KEYS = {
  call = function(place) return place.project:members(place.integration, place.operation) end,
  logs = function() return completion_project.query("/api/v1/logs") end,
  webhooks = function(place)
    return completion_project.query(is_about(place, "retry") and "/api/v1/events/retry" or "/api/v1/events")
  end,
  config = function(place)
    return is_about(place, "explain") and place.project:members(place.integration, place.operation) or KINDS.KEY()
  end,
}

KINDS["KEY=VALUE"] = function(place)
  local keys = KEYS[place.command]
  local candidates = keys and keys(place) or {}
  return is_about(place, "unset") and candidates or with_equals(candidates, place.current)
end


-- Of an option: its own choices, else by what its value is called.
local function values_of(option, place)
  if option.values then
    return listed(option.values)
  end
  local kind = KINDS[option.value]
  return kind and kind(place) or {}
end


-- The line ----------------------------------------------------------------------------------------


-- What is done with the words before the last: options given, other words, the option that waits for its value.
local function read(options, words)
  local state = { given = {}, words = {}, option = nil, is_over = false }
  for index = 2, #words - 1 do
    local word = words[index]
    local name = word:match("^(%-%-[%w-]+)=")
    local option = not state.is_over and command_line.find(options, name or word)
    if state.option then
      state.given[state.option.name], state.option = word, nil
    elseif word == "--" and not state.is_over then
      state.is_over = true
    elseif option then
      state.given[option.name] = name and word:sub(#name + 2) or true
      state.option = option.value and not name and option or nil
    elseif state.is_over or word:sub(1, 1) ~= "-" then
      state.words[#state.words + 1] = word
    end
  end
  return state
end


local function contains(list, wanted)
  for _, each in ipairs(list) do
    if each == wanted then
      return true
    end
  end
  return false
end


local function slot_at(slots, index)
  local slot = slots[index]
  if slot or #slots == 0 then
    return slot
  end
  return slots[#slots].repeats and slots[#slots] or nil
end


-- Notes what a word is: the integration or operation that later words are about.
local function note(place, slot, word)
  for _, kind in ipairs(slot.kinds) do
    if kind == "INTEGRATION" or kind == "OPERATION" then
      place[kind:lower()] = word
    end
  end
end


-- The slot for the word after `place.words` in one alternative; nil where they do not fit.
local function next_slot(slots, place)
  for index, word in ipairs(place.words) do
    local slot = slot_at(slots, index)
    if not slot or not (contains(slot.words, word) or #slot.kinds > 0) then
      return nil
    end
    note(place, slot, word)
  end
  return slot_at(slots, #place.words + 1)
end


local function add_all(candidates, more)
  table.move(more, 1, #more, #candidates + 1, candidates)
end


local function words_at(name, command, place)
  local candidates = {}
  for _, slots in ipairs(usage.parse(name, command)) do
    local slot = next_slot(slots, place)
    if slot then
      add_all(candidates, listed(slot.words))
      for _, kind in ipairs(slot.kinds) do
        add_all(candidates, KINDS[kind] and KINDS[kind](place) or {})
      end
    end
  end
  return candidates
end


local function option_names(options, given)
  local candidates = {}
  for _, option in ipairs(options) do
    if option.list or given[option.name] == nil then
      candidates[#candidates + 1] = { "--" .. option.name, option.help }
      candidates[#candidates + 1] = option.short and { "-" .. option.short, option.help } or nil
    end
  end
  candidates[#candidates + 1] = { "--help", HELP.help }
  return candidates
end


local function with_prefix(candidates, prefix)
  for _, candidate in ipairs(candidates) do
    if candidate[1]:sub(1, 1) ~= ":" then
      candidate[1] = prefix .. candidate[1]
    end
  end
  return candidates
end


local function inside_command(name, command, words)
  local current = words[#words]
  local options = command.options or {}
  local state = read(options, words)
  local config = state.given.config
  local place = { command = name, current = current, words = state.words,
    project = completion_project.new(type(config) == "string" and config or nil) }
  if state.option then
    return values_of(state.option, place)
  end
  local attached = not state.is_over and current:match("^(%-%-[%w-]+)=")
  local option = attached and command_line.find(options, attached)
  if option then
    return option.value and with_prefix(values_of(option, place), attached .. "=") or {}
  end
  if current:sub(1, 1) == "-" and not state.is_over then
    return option_names(options, state.given)
  end
  return words_at(name, command, place)
end


-- The whole ---------------------------------------------------------------------------------------


--- The commands with their summaries.
function M.commands()
  local cli = require "tide.cli" -- here, as its commands require this one
  local candidates = {}
  for _, name in ipairs(cli.names()) do
    candidates[#candidates + 1] = { name, cli.command(name).summary }
  end
  return candidates
end


-- What begins as the word does, each text once, sorted; nothing that a shell would take for more than a word.
local function fitting(candidates, current)
  local list, seen = {}, {}
  for _, candidate in ipairs(candidates) do
    local text = candidate[1]
    local fits = text:sub(1, 1) == ":" or text:sub(1, #current) == current
    if fits and text:find("^[%w_@%%+=:,./-]+$") and not seen[text] then
      seen[text] = true
      list[#list + 1] = candidate
    end
  end
  table.sort(list, function(one, other) return one[1] < other[1] end)
  return table.move(list, 1, math.min(#list, M.CANDIDATES_MAX), 1, {})
end


--- What may stand for the last of `words`, which follow the program's name.
---@param words string[] at least one; the last may be empty
---@return table[] candidates
function M.words(words)
  local current = words[#words]
  if #words == 1 then
    local candidates = M.commands()
    add_all(candidates, { { "--help", "the commands" }, { "--version", "the version of this binary" } })
    return fitting(candidates, current)
  end
  local cli = require "tide.cli"
  if not contains(cli.names(), words[1]) then
    return {}
  end
  return fitting(inside_command(words[1], cli.command(words[1]), words), current)
end


return M
