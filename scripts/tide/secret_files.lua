-- Secrets whose values are in files (TIDEGATE_NAME_SECRET_FILE) take effect again when the files change,
-- while the service runs. The main worker looks after them.

local crypto = require "tide.crypto"
local host = require "tide.host"
local log = require "tide.log"
local task = require "tide.task"
local secrets = require "tide.secrets"
local settings = require "tide.settings"

local M = {}

local INTERVAL_SECONDS = 0.5

local Files = {}
Files.__index = Files


-- What tells one state of a file from another; nil for a pipe, which cannot be read again. The files are
-- small, and on this machine: reading them does not hold up the worker for long.
local function state_of(path)
  local kind = host.stat(path)
  if kind == "other" then
    return nil
  end
  local text, message = host.read_file(path, secrets.FILE_BYTES_MAX)
  return text and crypto.digest("sha256", text) or "fault: " .. message
end


local function add(files, getenv, integration, name)
  local variable = settings.variable(integration.name, name)
  local value, path = getenv(variable), getenv(variable .. "_FILE")
  if (value == nil or value == "") and path ~= nil and path ~= "" then
    files.list[#files.list + 1] = { integration = integration, name = name, path = path, taken = state_of(path) }
  end
end


--- The files of a generation's secrets, as they are before they are first read.
---@param generation table
---@param getenv? fun(name: string): string|nil
function M.new(generation, getenv)
  local files = setmetatable({ list = {}, getenv = getenv or host.getenv }, Files)
  for _, integration in pairs(generation.integrations) do
    for name in pairs(integration.declared_secrets) do
      add(files, files.getenv, integration, name)
    end
  end
  return files
end


-- Whether it was done: not while others change secrets for very long.
function Files:take(file)
  local guard <close> = secrets.enter()
  if not guard then
    return false
  end
  local fields = { integration = file.integration.name, secret = file.name }
  local before = secrets.fingerprint(file.integration)
  local message = secrets.load_one(self.getenv, file.integration, file.name)
  if message then
    fields.error = message
    log.error("a secret could not be read again; the value of before stays", fields)
  elseif secrets.fingerprint(file.integration) ~= before then
    log.info("a secret was read again from its file", fields)
  end
  return true
end


-- A file that was just written may not be complete: it is taken when it has stayed the same.
function Files:look(file)
  local now = state_of(file.path)
  if now and now ~= file.taken and now == file.seen and self:take(file) then
    file.taken = now
  end
  file.seen = now
end


--- Looks at the files twice a second, until stopped.
function Files:start()
  if #self.list == 0 then
    return
  end
  self.task = task.detach(function()
    while true do
      task.sleep(INTERVAL_SECONDS)
      for _, file in ipairs(self.list) do
        self:look(file)
      end
    end
  end)
end


function Files:stop()
  if self.task then
    self.task:cancel()
    self.task = nil
  end
end


return M
