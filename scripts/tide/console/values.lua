-- Words such as key=value and key:=JSON as values by name. No word reads a file: who types here is not always who
-- owns them.

local json = require "tide.json"

local M = {}

M.WORDS = "is neither key=value nor key:=JSON"


--- The values that words from `first` on give. `coerce(name, text)` gives the text of key=value its type; nil
--- leaves it a text.
---@param words string[]
---@param first integer
---@param coerce? fun(name: string, text: string): any
---@return table<string, any>
function M.read(words, first, coerce)
  local values = {}
  for index = first, #words do
    local name, mark, text = words[index]:match("^([%w_.-]+)(:?=)(.*)$")
    if not name then
      error(("%s %s"):format(words[index], M.WORDS), 0)
    end
    local value, message
    if mark == ":=" then
      value, message = json.decode(text)
      if value == nil then
        error(("%s: %s"):format(name, message), 0)
      end
    else
      value = coerce and coerce(name, text)
      if value == nil then
        value = text
      end
    end
    values[name] = value
  end
  return values
end


--- The input of an operation, as its schema has it.
---@return table
function M.input(session, integration, operation, words, first)
  local known = session:generation().integrations[integration]
  local definition = known and known.operations[operation]
  local schema = definition and definition.input
  if type(schema) ~= "table" or type(schema.definition) ~= "table" then
    return M.read(words, first)
  end
  return M.read(words, first, function(name, text) return (schema:coerce(name, text)) end)
end


return M
