-- Secrets whose values are in files (TIDEGATE_NAME_SECRET_FILE), and master keys that are
-- (TIDEGATE_MASTER_KEY_FILE), take effect again when the files change, while the service runs. The main
-- worker looks after them.

local crypto = require "tide.crypto"
local host = require "tide.host"
local log = require "tide.log"
local task = require "tide.task"
local master_key = require "tide.secret.master_key"
local secrets = require "tide.secrets"
local secret_seals = require "tide.secret.seals"
local secrets_store = require "tide.secret.store"
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


-- Taking ------------------------------------------------------------------------------------------


-- Reads a secret again. Whether it was done: not while others change secrets for very long.
local function take_secret(files, file)
  local guard <close> = secrets.enter()
  if not guard then
    return false
  end
  local fields = { integration = file.integration.name, secret = file.name }
  local before = secrets.fingerprint(file.integration)
  local message = secrets.load_one(files.getenv, file.integration, file.name)
  if message then
    fields.error = message
    log.error("a secret could not be read again; the value of before stays", fields)
  elseif secrets.fingerprint(file.integration) ~= before then
    log.info("a secret was read again from its file", fields)
  end
  return true
end


-- Reads the master keys again, and what is stored with them: what no key opened may be open now. The same
-- return value.
local function take_keys(files)
  local faults, message = secrets_store.reload(files.generation, files.getenv)
  if not faults then
    log.error("the stored secrets could not be read again", { error = message })
    return false
  end
  for _, fault in ipairs(faults) do
    log.error("a secret could not be read", { error = fault })
  end
  if #faults == 0 then
    log.info("the master keys were read again from their file")
  end
  secret_seals.follow(files.getenv)
  return true
end


-- The list ----------------------------------------------------------------------------------------


local function add_keys(files, list)
  local path = master_key.path(files.getenv)
  if path then
    list[path] = { path = path, take = take_keys }
  end
end


local function add_secret(files, list, integration, name)
  local variable = settings.variable(integration.name, name)
  local value, path = files.getenv(variable), files.getenv(variable .. "_FILE")
  if (value == nil or value == "") and path ~= nil and path ~= "" then
    list[variable] = { path = path, take = take_secret, integration = integration, name = name }
  end
end


local function list_of(files, generation)
  local list = {}
  add_keys(files, list)
  for _, integration in pairs(generation.integrations) do
    for name in pairs(integration.declared_secrets) do
      add_secret(files, list, integration, name)
    end
  end
  return list
end


--- Looks after the files of another generation from now on. Those that it shares with the one of before are
--- as they were seen last, so that no change gets lost.
---@param generation table
function Files:follow(generation)
  local before = self.list
  self.generation, self.list = generation, list_of(self, generation)
  for key, file in pairs(self.list) do
    local known = before[key]
    if known then
      file.taken, file.seen = known.taken, known.seen
    else
      file.taken = state_of(file.path)
    end
  end
end


--- The files of a generation's secrets, as they are before they are first read.
---@param generation table
---@param getenv? fun(name: string): string|nil
function M.new(generation, getenv)
  local files = setmetatable({ list = {}, getenv = getenv or host.getenv }, Files)
  files:follow(generation)
  return files
end


-- A file that was just written may not be complete: it is taken when it has stayed the same.
function Files:look(file)
  local now = state_of(file.path)
  if now and now ~= file.taken and now == file.seen and file.take(self, file) then
    file.taken = now
  end
  file.seen = now
end


--- Looks at the files twice a second, until stopped.
function Files:start()
  self.task = task.keep("the look at files of secrets", function()
    while true do
      task.sleep(INTERVAL_SECONDS)
      for _, file in pairs(self.list) do
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
