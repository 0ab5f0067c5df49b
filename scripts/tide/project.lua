-- A project on disk: what its config.lua says, where its data lies, and the store that goes
-- with it.

local database = require "tide.database"
local host = require "tide.host"
local locate = require "tide.locate"
local migrations = require "tide.migrations"
local settings = require "tide.settings"
local sources = require "tide.sources"
local store = require "tide.store"
local tls = require "tide.tls"
local tokens = require "tide.tokens"

local M = {}

M.DEFAULT_CONFIG = "config.lua"

local Project = {}
Project.__index = Project


-- The files in `data_dir`. The socket's path may be as long as a path may be.
local FILES = {
  lock = "tidegate.lock",
  socket = "tidegate.sock",
  address = "address",
  token = "admin.token",
  database = "project.db",
  log = "repl.log",
}


-- The path of one of the project's own files: "lock", "socket", "address", "token", "database", "log".
function Project:file(name)
  return self.config.data_dir .. "/" .. FILES[name]
end


function Project:make_data_directory()
  return host.make_directory(self.config.data_dir, 448) -- 0700
end


-- Takes the data directory for this process, until it ends.
function Project:lock()
  local made, err = self:make_data_directory()
  if not made then
    return nil, err
  end
  return host.lock(self:file("lock"))
end


-- Opens the store and brings its tables up to date; the lock is held. How many migrations
-- were applied.
function Project:open_store()
  local opened, err, code = store.open(self.config.store)
  if not opened then
    return nil, err, code
  end
  return store.migrate(migrations.framework("sqlite"), "tidegate")
end


-- The path of a file or folder beside config.lua.
function Project:beside(name)
  local folder = self.config_path:match("^(.*)/[^/]*$")
  return (folder and folder .. "/" or "") .. name
end


-- The project's own migrations, in order; nil and each fault as "FILE: message".
function Project:migrations()
  return migrations.read(self:beside("migrations"), "sqlite")
end


-- Opens the database of the project's own tables for all workers and brings it up to date; the lock
-- is held. How many migrations were applied; a project without any has no such database.
function Project:open_database()
  local list, faults = self:migrations()
  if not list then
    return nil, table.concat(faults, "\n")
  end
  local path = self:file("database")
  if #list == 0 and not host.stat(path) then
    return 0
  end
  local opened, message = database.open(path)
  if not opened then
    return nil, message
  end
  local applied
  applied, message = opened:migrate(list)
  if applied then
    database.share(opened)
  end
  return applied, message
end


-- The lock, then the databases: what a command needs that works without a running service.
function Project:open_locked()
  local locked, message = self:lock()
  if not locked then
    return nil, message
  end
  local applied, err, code = self:open_store()
  if not applied then
    return nil, err, code
  end
  local own
  own, err = self:open_database()
  if not own then
    return nil, err
  end
  return applied, own
end


-- Loads the certificate of `tls`, for every listener of the process. When it ends, false when the API
-- is plain; nil and "FILE:LINE: tls: message".
function Project:load_certificate()
  local files = self.config.tls
  if files == nil then
    return false
  end
  local expires_at, message = tls.load(files.certificate, files.key)
  if expires_at == nil then
    return nil, ("%s: tls: %s"):format(self.where({ "tls" }), message)
  end
  return expires_at
end


-- An address of the API as its callers write it.
function Project:shown_address(address)
  return self.config.tls and not address:match("^unix:") and "https://" .. address or address
end


-- What config.lua asks for and this version cannot do. Serving without it would be no service.
local function unsupported(config, where)
  local faults = {}
  if config.redis ~= nil then
    faults[#faults + 1] = where({ "redis" }) .. ": redis: this version does not have it; leave it out"
  end
  if not config.store:match("^sqlite:.") then
    faults[#faults + 1] = where({ "store" }) .. ": store: this version knows sqlite:PATH only"
  end
  return faults
end


-- Addresses that nobody could listen at.
local function bad_addresses(config, where, faults)
  local list = type(config.listen) == "table" and config.listen or { config.listen }
  for _, address in ipairs(list) do
    local ok, message = host.check_address(address)
    if not ok then
      faults[#faults + 1] = ("%s: listen: %s"):format(where({ "listen" }), message)
    end
  end
end


-- What to do where there is no project.
local function with_hint(config_path, faults)
  if not host.stat(config_path) then
    faults[1] = faults[1] .. "; a project begins with its config.lua: go to its folder, name the file with -c, or make "
      .. "a new one with `tidegate init DIR`"
  end
  return faults
end


-- Reads config.lua and every provider of a project. `getenv` is the process's unless given.
-- nil and each fault as "FILE:LINE: message" when the configuration is wrong.
function M.read(config_path, getenv)
  config_path = config_path or M.DEFAULT_CONFIG
  local read, faults = sources.read(config_path, getenv)
  if not read then
    return nil, with_hint(config_path, faults)
  end
  local config = settings.with_defaults(read.config, config_path)
  local where = locate.new(config_path, read.config_text)
  faults = unsupported(config, where)
  bad_addresses(config, where, faults)
  local _, fault = tokens.configured(config.tokens)
  if fault then
    faults[#faults + 1] = ("%s: %s"):format(where({ "tokens" }), fault)
  end
  if #faults > 0 then
    return nil, faults
  end
  return setmetatable({ config_path = config_path, sources = read, config = config, where = where }, Project)
end


--- The project of a service that may be running. Also when its config.lua is wrong as it is now: then where a
--- project has its data unless told otherwise, and `faults`.
function M.locate(config_path)
  local opened, faults = M.read(config_path)
  if opened then
    return opened
  end
  config_path = config_path or M.DEFAULT_CONFIG
  return setmetatable({ config_path = config_path, config = settings.with_defaults({}, config_path), faults = faults },
    Project)
end


return M
