-- Templates read into a tree, once, before values are put in (`docs/api/template.lua`).
--
-- A tree is a list of nodes: { kind = "text", text }, { kind = "value", name, path, line, raw },
-- { kind = "if" or "each", name, path, line, body, otherwise }, the last two lists of nodes.
-- Only plain searches and single classes of characters are used: a template cannot make reading
-- it slow.

local message = require "tide.message"
local unicode = require "tide.text"

local M = {}

M.MAX_BYTES = 1024 * 1024
M.MAX_DEPTH = 32
local MAX_NAME_BYTES = 200

local Parser = {}
Parser.__index = Parser


function Parser:fail(words, ...)
  return nil, ("line %d: " .. words):format(self.line, ...)
end


-- Counts the lines up to `stop`. Only ever goes forward.
function Parser:count_lines(stop)
  local at = self.counted
  while true do
    local found = self.text:find("\n", at, true)
    if not found or found >= stop then
      break
    end
    self.line = self.line + 1
    at = found + 1
  end
  self.counted = at
end


-- Where the tag that starts at `start` ends, and what is in it: start of the rest, content, raw.
function Parser:read_tag(start)
  local text = self.text
  local opening, closing, raw = "{{", "}}", false
  if text:sub(start, start + 4) == "{{!--" then
    opening, closing = "{{!--", "--}}"
  elseif text:sub(start, start + 2) == "{{{" then
    opening, closing, raw = "{{{", "}}}", true
  end
  local from, to = text:find(closing, start + #opening, true)
  if not from then
    return self:fail("%s without %s", opening, closing)
  end
  local content = text:sub(start + #opening, from - 1)
  return to + 1, opening == "{{!--" and "!" or unicode.trim(content), raw
end


-- { "a", "b" } of "a.b", or nil.
local function path_of(name)
  local path = {}
  if #name > MAX_NAME_BYTES then
    return nil
  end
  for step in name:gmatch("[^.]*") do
    if not step:find("^[%a_\x80-\xff][%w_\x80-\xff-]*$") then
      return nil
    end
    path[#path + 1] = step
  end
  return path
end


function Parser:node(kind, name)
  local path = path_of(name)
  if not path then
    return self:fail("%q is not the name of a value", message.clean(name, 60))
  end
  return { kind = kind, name = name, path = path, line = self.line }
end


function Parser:add(node)
  local list = self.list
  list[#list + 1] = node
end


function Parser:add_text(from, to)
  if to >= from then
    self:add { kind = "text", text = self.text:sub(from, to) }
  end
end


function Parser:open_block(kind, name)
  if kind ~= "if" and kind ~= "each" then
    return self:fail("{{#%s}} is unknown: there are {{#if}} and {{#each}}", message.clean(kind, 60))
  end
  if #self.open == M.MAX_DEPTH then
    return self:fail("blocks are nested deeper than %d", M.MAX_DEPTH)
  end
  local node, err = self:node(kind, name)
  if not node then
    return nil, err
  end
  self:add(node)
  node.body = {}
  self.open[#self.open + 1] = { node = node, list = self.list }
  self.list = node.body
  return true
end


function Parser:open_otherwise()
  local block = self.open[#self.open]
  if not block or block.node.otherwise then
    return self:fail("{{else}} without a block before it")
  end
  block.node.otherwise = {}
  self.list = block.node.otherwise
  return true
end


function Parser:close_block(kind)
  local block = self.open[#self.open]
  if not block then
    return self:fail("{{/%s}} closes nothing", message.clean(kind, 60))
  end
  if block.node.kind ~= kind then
    return self:fail("{{/%s}} where {{#%s}} of line %d is open", message.clean(kind, 60),
      block.node.kind, block.node.line)
  end
  self.open[#self.open] = nil
  self.list = block.list
  return true
end


function Parser:add_value(content, raw)
  local node, err = self:node("value", content)
  if not node then
    return nil, err
  end
  node.raw = raw
  self:add(node)
  return true
end


-- What the tag means: true, or nil and why it has no meaning.
function Parser:take(content, raw)
  if raw then
    return self:add_value(content, true)
  end
  local sign = content:sub(1, 1)
  if sign == "!" then
    return true
  elseif sign == "#" then
    local kind, name = content:match("^#%s*(%S*)%s*(.*)$")
    return self:open_block(kind, name)
  elseif sign == "/" then
    return self:close_block(content:match("^/%s*(.*)$"))
  elseif content == "else" then
    return self:open_otherwise()
  end
  return self:add_value(content, false)
end


local function stands_for_a_value(content, raw)
  return raw or not (content:find("^[#/!]") or content == "else")
end


-- A block's tag or a comment alone on its line takes the line with it: where the text before it
-- ends and where the text after it begins.
function Parser:whole_line(start, after)
  local text = self.text
  local before = start - 1
  while before >= self.at and text:find("^[ \t]", before) do
    before = before - 1
  end
  if before >= 1 and text:byte(before) ~= 10 then
    return start - 1, after
  end
  local _, last = text:find("^[ \t]*\r?\n", after)
  if not last then
    _, last = text:find("^[ \t]*$", after)
  end
  if not last then
    return start - 1, after
  end
  return before, last + 1
end


-- From self.at to behind the next tag; nil at the end of the text.
function Parser:step()
  local start = self.text:find("{{", self.at, true)
  if not start then
    self:add_text(self.at, #self.text)
    return false
  end
  self:count_lines(start)
  local after, content, raw = self:read_tag(start)
  if not after then
    return nil, content
  end
  local text_end = start - 1
  if not stands_for_a_value(content, raw) then
    text_end, after = self:whole_line(start, after)
  end
  self:add_text(self.at, text_end)
  self.at = after
  return self:take(content, raw)
end


--- The tree of a template.
---@param text string
---@return table|nil tree, string? message "line 3: …", string? code
function M.parse(text)
  if #text > M.MAX_BYTES then
    return nil, ("a template may have at most %d bytes"):format(M.MAX_BYTES), "too_large"
  end
  local tree = {}
  local parser = setmetatable({
    text = text, at = 1, line = 1, counted = 1, list = tree, open = {},
  }, Parser)
  local more, err
  repeat
    more, err = parser:step()
  until not more
  local block = parser.open[#parser.open]
  if more == false and block then
    err = ("line %d: {{#%s}} without {{/%s}}"):format(block.node.line, block.node.kind, block.node.kind)
  end
  if err then
    return nil, err, "invalid_template"
  end
  return tree
end


return M
