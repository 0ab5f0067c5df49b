-- What a rule looks at: one file of a project, read, and what is known of it.
--
--   path, text, kind     "provider", "script" (shared) or "config"
--   source               { tree, globals, variables, comments } of tide.lua.parser; nil when it does not load
--   provider             as tide.provider made it; nil when it did not load
--   integrations         that run on it: the generation's
--   companions           the shared scripts that it requires, subjects too
--   secret_values        every value of a declared secret that this process knows
--   generation, by_path  the whole: what was built, and all subjects
--   outline              where the keys of its table are: outline:line { "operations", "track" }

local locate = require "tide.locate"
local outline = require "tide.review.outline"
local parser = require "tide.lua.parser"
local secrets = require "tide.secrets"
local task = require "tide.task"

local M = {}

local Subject = {}
Subject.__index = Subject


-- Comments by each line that they stand in.
local function by_line(comments)
  local lines = {}
  for _, comment in ipairs(comments) do
    for line = comment.line, comment.last_line do
      lines[line] = lines[line] or comment
    end
  end
  return lines
end


--- The comments that speak of a line: in it, and those right above it.
function Subject:comments_at(line)
  self.comment_lines = self.comment_lines or by_line(self.source.comments)
  local found = { self.comment_lines[line] }
  local above = line - 1
  while self.comment_lines[above] and not self:has_code(above) do
    found[#found + 1] = self.comment_lines[above]
    above = self.comment_lines[above].line - 1
  end
  return found
end


local function code_lines(text)
  local lines, number = {}, 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    lines[number] = not line:find("^%s*%-%-") and line:find("%S") ~= nil
  end
  return lines
end


-- Whether a line has more than a comment. The lines of a long comment are taken for its own.
function Subject:has_code(line)
  self.code_lines = self.code_lines or code_lines(self.text)
  local comment = self.comment_lines[line]
  return self.code_lines[line] and not (comment and comment.line < line)
end


--- The line of a key of the file's table, as near as can be told; the first one at least.
function Subject:line_of(keys)
  local line = self.outline and self.outline:line(keys)
  if line then
    return line
  end
  self.where = self.where or locate.new("", self.text)
  return math.tointeger(tonumber(self.where(keys):match(":(%d+)$"))) or 1
end


local function parse(subject)
  local ok, source, words, line = task.guard(parser.parse, subject.text)
  if not ok then
    subject.unreadable = "it is too large"
  elseif source then
    subject.source = source
  elseif load(subject.text:gsub("^\xEF\xBB\xBF", ""), "=source", "t") then
    subject.unreadable = ("line %d: %s"):format(line, words)
  end
end


local function new(file, kind)
  local subject = setmetatable({ path = file.path, text = file.text, kind = kind, name = file.name,
    integrations = {}, companions = {} }, Subject)
  parse(subject)
  subject.outline = subject.source and outline.new(subject.source) or nil
  return subject
end


-- The values of declared secrets that are long enough to be told from other words.
local function secret_values(generation)
  local values = {}
  for _, integration in pairs(generation and generation.integrations or {}) do
    for name in pairs(integration.declared_secrets) do
      local known, value = pcall(secrets.value, integration, name)
      if known and #value >= 8 then
        values[#values + 1] = value
      end
    end
  end
  return values
end


-- Tells a provider's subject what was made of it.
local function attach(subject, generation, scripts)
  for _, integration in pairs(generation and generation.integrations or {}) do
    local code = integration.code
    if code and code.path == subject.path then
      subject.provider, subject.dependencies = code.provider, code.dependencies
      table.insert(subject.integrations, integration)
    end
  end
  for _, dependency in ipairs(subject.dependencies or {}) do
    table.insert(subject.companions, scripts[dependency.name])
  end
end


--- The files of a project that there are to review. `renew(label)` is called before each, for its budget.
---@return table[] subjects
function M.all(sources, generation, renew)
  local list, scripts = {}, {}
  local function add(file, kind)
    if file.text then
      renew("reading " .. file.path)
      list[#list + 1] = new(file, kind)
    end
    return list[#list]
  end
  add({ path = sources.config_path, text = sources.config_text, name = "config" }, "config")
  for _, file in ipairs(sources.scripts) do
    scripts[file.name] = file.text and add(file, "script")
  end
  for _, file in ipairs(sources.files) do
    add(file, "provider")
  end
  local values, by_path = secret_values(generation), {}
  for _, subject in ipairs(list) do
    by_path[subject.path] = subject
    subject.secret_values, subject.generation, subject.by_path = values, generation, by_path
    if subject.kind == "provider" then
      attach(subject, generation, scripts)
    end
  end
  return list
end


return M
