-- Runs a script in an `_ENV` of its own: the allow list of `sandbox_library` and a `require`
-- that knows the framework's modules for scripts and the project's own files.

local json = require "tide.json"
local locate = require "tide.locate"
local library = require "tide.sandbox.library"
local message = require "tide.message"
local suggest = require "tide.suggest"
local task = require "tide.task"
local view = require "tide.view"

local M = {}

M.MAX_SOURCE_BYTES = 4 * 1024 * 1024
M.MAX_MODULES = 200

--- The framework's modules that a script can require.
M.MODULES = {
  ["tide.json"] = true, ["tide.crypto"] = true, ["tide.re"] = true, ["tide.time"] = true,
  ["tide.uuid"] = true,
  ["tide.text"] = true, ["tide.xml"] = true, ["tide.template"] = true, ["tide.fail"] = true,
}

-- What every provider may see of them, made once per Lua state.
local views = {}


-- The real encoder takes the read-only tables of `ctx` for empty ones.
local function encode(value, options)
  return json.encode(view.plain(value), options)
end


local function members_of(name, module)
  local members = {}
  for key, member in pairs(module) do
    members[key] = member
  end
  if name == "tide.json" then
    members.encode = encode
  end
  return members
end


-- A module behind a table that cannot be changed. Only its own functions are seen: those that a
-- script put there would be seen by all.
local function module_view(name)
  if views[name] then
    return views[name]
  end
  local found, module = pcall(require, name)
  if not found then
    return nil, ("module %s is not part of this version"):format(name)
  end
  local real_metatable = debug.getmetatable(module)
  local members = members_of(name, module)
  views[name] = setmetatable({}, {
    __index = members,
    __newindex = function(_, key)
      error(("%s is read-only: %s cannot be set"):format(name, tostring(key)), 2)
    end,
    -- A copy: `next` gives the table that it walks away.
    __pairs = function() return next, members_of(name, members), nil end,
    __call = real_metatable and real_metatable.__call,
    __metatable = false,
  })
  return views[name]
end


--- A module of the framework as scripts see it; nil and why there is none.
---@param name string
---@return table|nil, string? message
function M.module(name)
  if type(name) == "string" and M.MODULES[name] then
    return module_view(name)
  end
  return nil, ("module %s not found%s: the framework's modules for scripts can be required, such as tide.json"):format(
    message.clean(name, 100), suggest.hint(name, M.MODULES))
end


--- The members of a module as scripts see it; nil for any other value. To be read only.
---@param value any
---@return table|nil
function M.members(value)
  for _, known in pairs(views) do
    if rawequal(known, value) then
      return debug.getmetatable(value).__index
    end
  end
end


local function unknown_global(_, name)
  local hint = library.MISSING[name]
  if hint then
    error(("%s is not available to a provider: %s"):format(name, hint), 2)
  end
  return nil
end


local Loader = {}
Loader.__index = Loader


-- The chain of requires that leads back to `name`, or nil.
function Loader:cycle(name)
  for i, loading in ipairs(self.stack) do
    if loading == name then
      return table.concat(self.stack, " -> ", i) .. " -> " .. name
    end
  end
  return nil
end


local function not_found(name)
  local hint = suggest.hint(name, M.MODULES)
  local words = "module %s not found%s: a provider can require the framework's modules for "
    .. "scripts, "
    .. "such as tide.json, and files of the project's scripts folder"
  return nil, words:format(message.clean(name, 100), hint)
end


-- Runs a file of the project for the first time in this sandbox.
function Loader:run_file(name, text, path)
  if #self.dependencies >= M.MAX_MODULES then
    return nil, "more than " .. M.MAX_MODULES .. " scripts are required"
  end
  self.dependencies[#self.dependencies + 1] = { name = name, path = path, text = text }
  local depth = #self.stack
  -- Also when it raises: a script may catch that and require it again.
  local _ <close> = setmetatable({}, { __close = function() self.stack[depth + 1] = nil end })
  self.stack[depth + 1] = name
  local value = self:compile(text, path)(name)
  if value == nil then
    value = true
  end
  self.modules[name] = value
  return value
end


-- The module, or nil and why there is none.
function Loader:module(name)
  if M.MODULES[name] then
    return module_view(name)
  end
  if self.modules[name] ~= nil then
    return self.modules[name]
  end
  if type(name) ~= "string" or not name:match("^[%w_][%w_.-]*$") or name:find("..", 1, true) then
    return not_found(name)
  end
  local cycle = self:cycle(name)
  if cycle then
    return nil, "scripts require each other in a circle: " .. cycle
  end
  local text, path = self.find(name)
  if not text then
    return not_found(name)
  end
  return self:run_file(name, text, path)
end


-- Where in the file `path` it called. `return require "x"` is a tail call and leaves no line.
local function caller(path)
  local info = debug.getinfo(3, "Sl")
  if info and info.source == "@" .. path and info.currentline > 0 then
    return ("%s:%d: "):format(path, info.currentline)
  end
  return path .. ": "
end


-- Everything required by one script shares its environment's library, but has globals of its own.
function Loader:compile(text, path)
  local env = library.new()
  env.require = function(name)
    local value, err = self:module(name)
    if err then
      error(caller(path) .. err, 0)
    end
    return value
  end
  setmetatable(env, { __index = unknown_global, __metatable = false })
  if text:sub(1, 3) == "\xEF\xBB\xBF" then
    text = text:sub(4)
  end
  local chunk, err = load(text, "@" .. path, "t", env)
  if not chunk then
    -- The compiler's own stack ran out: the message handler has made a table of that.
    error(type(err) == "string" and err or path .. ": it is nested too deeply", 0)
  end
  return chunk
end


local function words_of(value)
  if type(value) == "table" and type(rawget(value, "message")) == "string" then
    local where = rawget(value, "where")
    return (type(where) == "string" and where .. ": " or "") .. value.message
  end
  if type(value) == "table" then
    return "a table was raised as an error"
  end
  return message.clean(value)
end


-- Whether a message already begins with the file that it is about.
local function names_file(words, path, dependencies)
  if words:match("^[^\n]-:%d+: ") or words:sub(1, #path + 1) == path .. ":" then
    return true
  end
  for _, dependency in ipairs(dependencies) do
    if words:sub(1, #dependency.path + 1) == dependency.path .. ":" then
      return true
    end
  end
  return false
end


--- Runs `source` in a fresh sandbox and returns what it returns. The caller has set the task's
--- budget. `options.find(name) -> text, path` finds the project's own scripts; those that were
--- required are added to `options.dependencies`, a list of { name, path, text }.
---@param source string
---@param path string shown in messages: "providers/acme.lua"
---@param options? { find?: function, dependencies?: table[] }
---@return any value, string? err "FILE:LINE: message" where that is known
function M.load(source, path, options)
  if type(source) ~= "string" or type(path) ~= "string" then
    error("sandbox.load expects a source and its path", 2)
  end
  if #source > M.MAX_SOURCE_BYTES then
    return nil, ("%s: larger than %d bytes"):format(path, M.MAX_SOURCE_BYTES)
  end
  options = options or {}
  library.protect_strings()
  local loader = setmetatable({
    find = options.find or function() return nil end,
    dependencies = options.dependencies or {},
    modules = {},
    stack = {},
  }, Loader)
  local ok, value, kind = task.guard(function()
    return loader:compile(source, path)(path)
  end)
  if ok then
    return value
  end
  if kind then
    local reason = locate.split(message.clean(value))
    return nil, ("%s: stopped while it was loaded: %s"):format(path, reason)
  end
  local words = locate.restore(message.clean(words_of(value)), path)
  return nil, names_file(words, path, loader.dependencies) and words or path .. ": " .. words
end


return M
