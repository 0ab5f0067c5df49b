-- The main worker of the running service: the order of start and stop.

local cache = require "tide.state.cache"
local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local server = require "tide.server"
local state = require "tide.state.secrets"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local addresses = require "tide.addresses"
local adoption = require "tide.reload.adoption"
local boot = require "tide.boot"
local certificate = require "tide.certificate"
local gauges = require "tide.gauges"
local generation = require "tide.generation"
local greeting = require "tide.greeting"
local health = require "tide.api.health"
local idempotency = require "tide.idempotency"
local listeners = require "tide.listeners"
local live = require "tide.live"
local master_key = require "tide.secret.master_key"
local metric_windows = require "tide.metric_windows"
local metrics = require "tide.api.metrics"
local policy_state = require "tide.policy_state"
local project = require "tide.project"
local reload_request = require "tide.reload.request"
local reloader = require "tide.reload.reloader"
local retention = require "tide.retention"
local run_time_settings = require "tide.settings.run_time"
local rollback = require "tide.reload.rollback"
local secret_ageing = require "tide.secret.ageing"
local secret_files = require "tide.secret.files"
local secret_seals = require "tide.secret.seals"
local secrets_store = require "tide.secret.store"
local status = require "tide.api.status"
local tokens = require "tide.tokens"
local disk = require "tide.webhook.disk"
local webhook_gauges = require "tide.webhook.gauges"
local recover = require "tide.webhook.recover"

local M = {}

local Service = {}
Service.__index = Service

-- What a reload asks of it.
Service.prepare, Service.adopt = adoption.prepare, adoption.adopt


local function lines(list)
  return type(list) == "table" and table.concat(list, "\n") or list
end


-- What the command line says instead of config.lua.
function Service:apply_options(config)
  local options = self.options
  if options.is_private then
    config.listen = {}
  elseif options.listen and #options.listen > 0 then
    config.listen = options.listen
  end
  config.workers = options.workers or config.workers
  if config.workers == "auto" then
    config.workers = host.processors()
  end
  if type(config.listen) == "string" then
    config.listen = { config.listen }
  end
end


-- Starting ----------------------------------------------------------------------------------------


-- The generation, checked before anything is opened. With `strict` no provider may be broken.
function Service:build(strict, terms)
  boot.publish(self.project.sources, terms)
  local built, faults = live.build()
  if not built then
    return nil, lines(faults)
  end
  if strict and #built.errors > 0 then
    return nil, lines(built.errors)
  end
  built.version = live.publish(self.project.sources, live.terms_of(built, terms or {})) -- for the workers
  self.live = live.new(built)
  host.set_memory_limit(built.config.memory_limit_mb * 1024 * 1024)
  return true
end


local function log_faults(faults, words)
  for _, fault in ipairs(faults) do
    log.error(words, { error = fault })
  end
end


-- Secrets are in one table for all workers: they are read once.
function Service:load_secrets()
  local getenv = self.project.sources.getenv
  local built = self.live:current()
  log_faults(built.errors, "a provider or a run-time setting is left out")
  self.secret_files = secret_files.new(built, getenv)
  local faults, message = secrets_store.load(built, getenv)
  if not faults then
    return nil, message
  end
  log_faults(faults, "a secret could not be read")
  secret_seals.follow(getenv)
  return true
end


-- The token that makes a new service usable, known to redaction as long as it is there.
function Service:ensure_token()
  local path = self.project:file("token")
  local count, message = tokens.count()
  if not count then
    return nil, message
  end
  if count == 0 and not next(self.project.config.tokens or {}) then
    local entry, err = tokens.create({ name = "admin", role = "admin" }, { actor = "service" })
    if not entry then
      return nil, tostring(err)
    end
    local written
    written, message = host.write_file(path, entry.token .. "\n", 384) -- 0600
    if not written then
      tokens.revoke(entry.id, { actor = "service" })
      return nil, message
    end
  end
  local token = host.stat(path) and (host.read_file(path, 4096) or ""):match("^(%S+)")
  if token then
    state.put("tidegate", "admin_token", token, "token")
  end
  tokens.conceal(self.project.config.tokens)
  self.token_path = token and path
  return true
end


function Service:open_store()
  local applied, message = self.project:open_store()
  if not applied then
    return nil, ("the store %s: %s"):format(self.project.config.store, message)
  end
  self.migrations = applied
  return idempotency.recover()
end


-- What was rolled back stays so: where the files are still those, they are replaced before anybody calls.
function Service:load_rollback()
  local message
  self.rollback, message = rollback.load()
  if not self.rollback then
    return nil, "what was rolled back could not be read: " .. message
  end
  local substitutes = self.rollback:substitutes()
  if next(substitutes) then
    local built
    built, message = self:build(false, { substitutes = substitutes })
    if not built then
      return nil, message
    end
  end
  self.rollback:settle(self.live.generation, self.project.sources)
  return true
end


function Service:open_database()
  local applied, message = self.project:open_database()
  if not applied then
    return nil, message
  end
  self.project_migrations = applied
  return true
end


-- What was changed while a service ran, before the workers read it.
local function load_settings()
  local faults, message = run_time_settings.load()
  if not faults then
    return nil, "the run-time settings could not be read: " .. message
  end
  log_faults(faults, "run-time settings could not be read")
  return true
end


-- Breakers and limits as they were, before anybody calls.
function Service:load_policies()
  local names = {}
  for name in pairs(self.live:current().integrations) do
    names[#names + 1] = name
  end
  local message
  self.policies, message = policy_state.load(names)
  return self.policies ~= nil, message
end


-- Before the workers, whose listeners show it.
function Service:load_certificate()
  local expires_at, message = self.project:load_certificate()
  if expires_at then
    certificate.note(expires_at)
  end
  return expires_at ~= nil, message
end


-- Says where it listens, for commands and for who asks.
function Service:show_addresses()
  local config = self.project.config
  self.shown = {}
  for index, address in ipairs(self.addresses.list) do
    self.shown[index] = self.project:shown_address(address)
  end
  host.publish(status.FACTS, json.encode {
    listen = json.array(self.shown), workers = config.workers, config = self.project.config_path,
  })
  return host.write_file(self.project:file("address"), lines(self.shown) .. "\n")
end


function Service:reserve()
  self.addresses = addresses.new(self.project.config.workers)
  return self.addresses:open(self.project.config.listen)
end


local function publish_facts()
  host.publish(health.STATE, "starting")
  host.publish(metrics.STARTED, ("%.3f"):format(time.now()))
  return true
end


function Service:start_workers()
  cache.set_limit(self.project.config.cache_limit_mb * 1024 * 1024)
  host.set_stuck_seconds(self.project.config.worker_stuck_seconds)
  local started, message = host.start_workers(self.project.config.workers, "tide.boot", "start",
    tostring(self.project.config.workers))
  host.release()
  if not started then
    host.stop_workers(0)
    return nil, message
  end
  return true
end


-- The command line's way in: the same API, without a token for who owns the process.
function Service:listen_locally()
  local config = self.project.config
  local message
  self.socket, message = server.listen("unix:" .. self.project:file("socket"),
    boot.handler(self.live, config.workers), { max_body_bytes = config.max_request_bytes })
  if not self.socket then
    return nil, message
  end
  return self:show_addresses()
end


-- The steps of the start, in order; each returns nil and a message when it fails.
local function steps(options)
  return {
    function(service) return service.project:lock() end,
    function(service) return not options.is_private or log.write_to(service.project:file("log")) end,
    function(service) return service:build(options.strict) end,
    Service.load_certificate,
    Service.reserve,
    Service.open_store,
    Service.load_rollback,
    Service.open_database,
    load_settings,
    Service.load_policies,
    function(service) return recover.run(service.live:current()) end,
    function(service) service.disk = disk.watch(service.project.config.data_dir) return true end,
    Service.ensure_token,
    Service.load_secrets,
    publish_facts,
    Service.start_workers,
    Service.listen_locally,
  }
end


-- What goes on beside the calls, each until it is stopped or cancelled.
function Service:start_tasks()
  self.ticker = gauges.start()
  self.webhook_gauges = webhook_gauges.start(function() return self.live:current() end)
  self.certificate = self.project.config.tls and certificate.watch()
  self.windows = metric_windows.start()
  self.cleaner = idempotency.start_cleaning()
  self.secret_files:start()
  self.retention = retention.start(self.live)
  self.secrets_cleaner = secret_ageing.start(function() return self.live:current() end)
  self.policies:start()
  self.follower = task.keep("the following of reloads", self.live.follow, self.live, function() end)
  self.reloader = reloader.new(self.project, self.live, self.project.config.workers, self, self.rollback)
  self.reloader:start()
end


function Service:start(options)
  for _, step in ipairs(steps(options)) do
    local done, message, code = step(self)
    if not done then
      return nil, message, code
    end
  end
  host.publish(health.STATE, "serving")
  self:start_tasks()
  local where = #self.shown > 0 and table.concat(self.shown, ", ") or "the Unix socket alone"
  log.info(("listening on %s with %d workers"):format(where, self.project.config.workers), {
    addresses = self.shown, workers = self.project.config.workers, version = host.version,
    pid = host.process().pid, generation = generation.describe(self.live:current()),
    migrations_applied = self.migrations, project_migrations_applied = self.project_migrations,
  })
  return true
end


-- Stopping ----------------------------------------------------------------------------------------


-- Returns at the first signal that ends the service; SIGHUP asks for a reload.
local function wait_for_end()
  while true do
    local signal = host.wait_signal()
    if signal ~= "HUP" then
      return signal
    end
    reload_request.want(reload_request.SIGNAL)
  end
end


-- Everything that was accepted is answered, then recorded.
function Service:stop(signal)
  local config = self.project.config
  log.info("draining", { signal = signal, drain_seconds = config.drain_seconds })
  host.publish(health.STATE, "draining")
  self.reloader:stop()
  if config.drain_delay_seconds > 0 then
    task.sleep(config.drain_delay_seconds)
  end
  local ending = time.monotonic() + config.drain_seconds
  host.stop_workers(config.drain_seconds)
  local left = math.max(0.5, ending - time.monotonic())
  task.timeout(left, listeners.drain, { self.socket })
  self.socket:close()
  self.ticker:cancel()
  if self.certificate then
    self.certificate:cancel()
  end
  self.follower:cancel()
  self.windows:stop()
  self.cleaner:cancel()
  self.secret_files:stop()
  self.retention:cancel()
  self.secrets_cleaner:cancel()
  self.disk:cancel()
  self.webhook_gauges:cancel()
  self.policies:stop()
  local flushed, message = store.flush()
  if not flushed then
    log.error("rows of the call log may be lost", { error = message })
  end
  host.remove(self.project:file("address"))
  log.info("stopped", { signal = signal })
end


-- Starts the project's service in this process. `options`: config, listen (list), workers, strict, is_private (it
-- listens at the Unix socket alone, and its log is a file). nil, what went wrong, and a code: "locked" when another
-- process serves the project.
function M.start(options)
  local opened, faults = project.read(options.config)
  if not opened then
    return nil, lines(faults)
  end
  local service = setmetatable({ project = opened, options = options }, Service)
  service:apply_options(opened.config)
  log.set_level(opened.config.log_level)
  master_key.load(opened.sources.getenv) -- so that no message of the start can show it
  local started, message, code = service:start(options)
  if not started then
    return nil, message, code
  end
  return service
end


-- Serves the project until a signal ends it. `options` as for start. The exit code, and what went wrong.
function M.run(options)
  local service, message = M.start(options)
  if not service then
    return 1, message
  end
  host.write("stderr", greeting.text(service.shown, service.token_path, service.live:current()))
  service:stop(wait_for_end())
  return 0
end


return M
