-- The words of a verb's line. Spaces inside quotes and brackets are part of the word, so that JSON can be written
-- as it is: list:=[1, 2] name="Kim Minsu".

local M = {}

local OPENING, CLOSING = { ["["] = true, ["{"] = true }, { ["]"] = true, ["}"] = true }


-- Where the string that begins at `at` ends; nil when it does not.
local function end_of_string(text, at)
  local quote = text:sub(at, at)
  local position = at + 1
  while position <= #text do
    local character = text:sub(position, position)
    if character == quote then
      return position
    end
    position = position + (character == "\\" and 2 or 1)
  end
end


-- Where the word that begins at `at` ends; nil when a quote does not.
local function end_of_word(text, at)
  local depth, position = 0, at
  while position <= #text do
    local character = text:sub(position, position)
    if character == '"' or (character == "'" and text:sub(position - 1, position - 1):find("[%s=]")) then
      position = end_of_string(text, position)
      if not position then
        return nil
      end
    elseif OPENING[character] then
      depth = depth + 1
    elseif CLOSING[character] then
      depth = depth - 1
    elseif character:find("%s") and depth <= 0 then
      return position - 1
    end
    position = position + 1
  end
  return #text
end


local function unquoted(word)
  local before, quote, content = word:match("^([^\"']*=?)([\"'])(.*)%2$")
  if not quote or before:find(":=$") or not (before == "" or before:find("=$")) then
    return word
  end
  return before .. content:gsub("\\(.)", "%1")
end


--- The words of `text`; nil and a message.
---@param text string
---@return string[]|nil, string? message
function M.split(text)
  local words, at = {}, text:find("%S")
  while at do
    local last = end_of_word(text, at)
    if not last then
      return nil, "a quote is not closed"
    end
    words[#words + 1] = unquoted(text:sub(at, last))
    at = text:find("%S", last + 1)
  end
  return words
end


return M
