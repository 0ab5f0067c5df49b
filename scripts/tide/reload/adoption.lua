-- How the service, in the main worker, goes along with a reload: what has to be there before another generation is in
-- force, and what follows its configuration from then on.

local cache = require "tide.state.cache"
local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local secrets_store = require "tide.secret.store"
local tokens = require "tide.tokens"

local M = {}

-- What is as it was at the start until the next one.
local FIXED = { "workers", "store", "redis", "data_dir" }


local function is_same(left, right)
  return json.encode({ left }, { canonical = true }) == json.encode({ right }, { canonical = true })
end


-- Whether the service can listen where the configuration says now, with the certificate that it names: a fault, or
-- nil.
local function check_listening(service, opened)
  local wanted = { listen = opened.config.listen, workers = opened.config.workers }
  service:apply_options(wanted)
  local free, taken = service.addresses:check(wanted.listen)
  if not free then
    return ("%s: listen: %s"):format(opened.where({ "listen" }), taken)
  end
  local before, now = service.project.config.tls, opened.config.tls
  if before and now and not is_same(before, now) then
    local loaded, message = opened:load_certificate()
    return loaded == nil and message or nil
  end
end


-- Before `candidate`, of the project as it was read now (`opened`), is in force: what its integrations `loaded` (a
-- list) need. nil and a message when they cannot have it.
function M.prepare(service, candidate, loaded, opened)
  local refused = check_listening(service, opened)
  if refused then
    return nil, refused
  end
  local names, some = {}, { integrations = {} }
  for name, integration in pairs(candidate.integrations) do
    names[#names + 1] = integration.provider and name or nil
  end
  for _, integration in ipairs(loaded) do
    some.integrations[integration.name] = integration
  end
  local added, message = service.policies:add(names)
  if not added then
    return nil, "the state of policies could not be read: " .. message
  end
  local faults
  faults, message = secrets_store.reload(some, service.project.sources.getenv)
  if not faults then
    return nil, message
  end
  for _, words in ipairs(faults) do
    log.error("a secret could not be read", { error = words })
  end
  return true
end


-- Keys of config.lua that were changed and are fixed at the start stay as they are.
local function keep_fixed(service, config)
  local kept = json.array()
  for _, name in ipairs(FIXED) do
    if not is_same(config[name], service.project.config[name]) then
      kept[#kept + 1] = name
      config[name] = service.project.config[name]
    end
  end
  if (config.tls == nil) ~= (service.project.config.tls == nil) then
    kept[#kept + 1] = "tls"
    config.tls = service.project.config.tls
  end
  if #kept > 0 then
    log.warn("changed in config.lua, and in force at the next start", { keys = kept })
  end
end


-- Listens where the configuration says now. A place that is taken leaves all as it was.
local function move(service, opened)
  if is_same(opened.config.listen, service.project.config.listen) then
    return
  end
  local moved, message = service.addresses:move(opened.config.listen)
  if not moved then
    opened.config.listen = service.project.config.listen
    log.error("cannot listen where config.lua says now", { error = message })
  end
end


-- `built` of the project as it was read now is in force: what follows its configuration.
function M.adopt(service, built, opened)
  service:apply_options(opened.config)
  keep_fixed(service, opened.config)
  move(service, opened)
  service.project = opened
  service:show_addresses()
  log.set_level(opened.config.log_level)
  host.set_memory_limit(opened.config.memory_limit_mb * 1024 * 1024)
  cache.set_limit(opened.config.cache_limit_mb * 1024 * 1024)
  host.set_stuck_seconds(opened.config.worker_stuck_seconds)
  service.socket:limit_body(opened.config.max_request_bytes)
  service.secret_files:follow(built)
  secrets_store.adopt(built)
  tokens.conceal(opened.config.tokens)
  local loaded, message = service:load_certificate()
  if not loaded then
    log.error("the certificate cannot be loaded; the one of before is served", { error = message })
  end
end


return M
