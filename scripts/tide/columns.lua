-- Text in aligned columns, for people.

local plain_text = require "tide.console.plain_text"

local M = {}

local GAP <const> = "  "


local function width_of(text)
  return utf8.len(text) and plain_text.width(text) or #text
end


--- Rows of texts as lines, each column as wide as its widest text, the last one as it is.
---@param rows string[][]
---@return string
function M.text(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for column, text in ipairs(row) do
      widths[column] = math.max(widths[column] or 0, width_of(text))
    end
  end
  local lines = {}
  for index, row in ipairs(rows) do
    local parts = {}
    for column, text in ipairs(row) do
      local is_last = column == #row
      parts[column] = is_last and text or text .. (" "):rep(widths[column] - width_of(text))
    end
    lines[index] = table.concat(parts, GAP):gsub("%s+$", "") .. "\n"
  end
  return table.concat(lines)
end


return M
