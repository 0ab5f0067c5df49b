-- Text that others wrote, put into Markdown (CommonMark with tables) so that it stays what it is.

local schemas = require "tide.openapi.schemas"

local M = {}


-- The longest run of backticks in a text.
local function longest_run(text)
  local longest = 0
  for run in text:gmatch("`+") do
    longest = math.max(longest, #run)
  end
  return longest
end


--- One line of text, in a paragraph or a heading: no markup of its own begins or ends in it.
---@param text string
---@return string
function M.line(text)
  local line = schemas.words(text):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  return (line:gsub("[\\`*<>%[%]]", "\\%0"):gsub("^[#+=-]", "\\%0"))
end


--- The same in a cell of a table.
---@param text string
---@return string
function M.cell(text)
  return (M.line(text):gsub("|", "\\|"))
end


--- Text as code, on one line; in a cell of a table too.
---@param text string
---@return string
function M.code(text)
  text = schemas.words(text):gsub("%c", " "):gsub("|", "\\|")
  local fence = ("`"):rep(longest_run(text) + 1)
  local space = (#fence > 1 or text == "" or text:find("^ .* $")) and " " or ""
  return fence .. space .. text .. space .. fence
end


--- A block of code.
---@param language string
---@param text string
---@return string
function M.block(language, text)
  local fence = ("`"):rep(math.max(3, longest_run(text) + 1))
  return ("%s%s\n%s\n%s"):format(fence, language, text, fence)
end


-- The fence that a line opens or closes: its characters.
local function fence_of(line)
  return line:match("^ ? ? ?(```+)") or line:match("^ ? ? ?(~~~+)")
end


--- Paragraphs in Markdown that somebody wrote: what is left open in them ends with them, and their headings are
--- below the page's own.
---@param text string
---@return string
function M.paragraphs(text)
  local lines, open = {}, nil
  for line in (schemas.words(text):gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do
    local fence = fence_of(line)
    if open then
      local closes = fence and fence:sub(1, 1) == open:sub(1, 1) and #fence >= #open and line:find("^%s*[`~]+%s*$")
      open = not closes and open or nil
    elseif fence then
      open = fence
    else
      line = line:gsub("^(#+ )", "####%1"):gsub("^#######+", "######"):gsub("<", "\\<")
    end
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = open
  return (table.concat(lines, "\n"):gsub("%s+$", ""))
end


--- A table; cells are Markdown already.
---@param titles string[]
---@param rows string[][]
---@return string
function M.table(titles, rows)
  local lines = { "| " .. table.concat(titles, " | ") .. " |", "|" .. (" --- |"):rep(#titles) }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = "| " .. table.concat(row, " | ") .. " |"
  end
  return table.concat(lines, "\n")
end


return M
