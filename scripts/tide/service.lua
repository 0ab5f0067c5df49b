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
local boot = require "tide.boot"
local certificate = require "tide.certificate"
local gauges = require "tide.gauges"
local generation = require "tide.generation"
local health = require "tide.api.health"
local idempotency = require "tide.idempotency"
local master_key = require "tide.master_key"
local metric_windows = require "tide.metric_windows"
local metrics = require "tide.api.metrics"
local policy_state = require "tide.policy_state"
local project = require "tide.project"
local retention = require "tide.retention"
local secret_files = require "tide.secret_files"
local secret_seals = require "tide.secret_seals"
local secrets_store = require "tide.secrets_store"
local status = require "tide.api.status"
local tokens = require "tide.tokens"
local disk = require "tide.webhook.disk"
local webhook_gauges = require "tide.webhook.gauges"
local recover = require "tide.webhook.recover"

local M = {}

local Service = {}
Service.__index = Service


local function lines(list)
  return type(list) == "table" and table.concat(list, "\n") or list
end


-- What the command line says instead of config.lua.
local function apply_options(config, options)
  if options.listen and #options.listen > 0 then
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
function Service:build(strict)
  boot.publish(self.project.sources)
  local built, faults = boot.build()
  if not built then
    return nil, lines(faults)
  end
  if strict and #built.errors > 0 then
    return nil, lines(built.errors)
  end
  self.generation = built
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
  log_faults(self.generation.errors, "a provider did not load")
  self.secret_files = secret_files.new(self.generation, getenv)
  local faults, message = secrets_store.load(self.generation, getenv)
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
  for index, configured in ipairs(self.project.config.tokens or {}) do
    if configured.token then
      state.put("tidegate", "configured_token_" .. index, configured.token, "token")
    end
  end
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


function Service:open_database()
  local applied, message = self.project:open_database()
  if not applied then
    return nil, message
  end
  self.project_migrations = applied
  return true
end


-- Breakers and limits as they were, before anybody calls.
function Service:load_policies()
  local names = {}
  for name in pairs(self.generation.integrations) do
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


function Service:reserve()
  local message
  self.addresses, message = host.reserve(self.project.config.listen)
  if not self.addresses then
    return nil, message
  end
  self.shown = {}
  for index, address in ipairs(self.addresses) do
    self.shown[index] = self.project:shown_address(address)
  end
  return true
end


function Service:publish_facts()
  local config = self.project.config
  host.publish(health.STATE, "starting")
  host.publish(metrics.STARTED, ("%.3f"):format(time.now()))
  host.publish(status.FACTS, json.encode {
    listen = json.array(self.shown), workers = config.workers, config = self.project.config_path,
  })
  return true
end


function Service:start_workers()
  cache.set_limit(self.project.config.cache_limit_mb * 1024 * 1024)
  host.set_stuck_seconds(self.project.config.worker_stuck_seconds)
  local started, message = host.start_workers(self.project.config.workers, "tide.boot", "start",
    lines(self.addresses), tostring(self.project.config.workers))
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
    boot.handler(self.generation, config.workers), { max_body_bytes = config.max_request_bytes })
  if not self.socket then
    return nil, message
  end
  return host.write_file(self.project:file("address"), lines(self.shown) .. "\n")
end


-- The steps of the start, in order; each returns nil and a message when it fails.
local function steps(options)
  return {
    function(service) return service.project:lock() end,
    function(service) return service:build(options.strict) end,
    Service.load_certificate,
    Service.reserve,
    Service.open_store,
    Service.open_database,
    Service.load_policies,
    function(service) return recover.run(service.generation) end,
    function(service) service.disk = disk.watch(service.project.config.data_dir) return true end,
    Service.ensure_token,
    Service.load_secrets,
    Service.publish_facts,
    Service.start_workers,
    Service.listen_locally,
  }
end


function Service:start(options)
  for _, step in ipairs(steps(options)) do
    local done, message = step(self)
    if not done then
      return nil, message
    end
  end
  host.publish(health.STATE, "serving")
  self.ticker = gauges.start()
  self.webhook_gauges = webhook_gauges.start(function() return self.generation end)
  self.certificate = self.project.config.tls and certificate.watch()
  self.windows = metric_windows.start()
  self.cleaner = idempotency.start_cleaning()
  self.secret_files:start()
  self.retention = retention.start(self.generation)
  self.secrets_cleaner = secrets_store.start_cleaning(function() return self.generation end)
  self.policies:start()
  gauges.describe_generation(self.generation)
  log.info(("listening on %s with %d workers"):format(table.concat(self.shown, ", "),
    self.project.config.workers), {
    addresses = self.shown, workers = self.project.config.workers, version = host.version,
    pid = host.process().pid, generation = generation.describe(self.generation),
    migrations_applied = self.migrations, project_migrations_applied = self.project_migrations,
  })
  return true
end


-- Something to try: the first operation whose input has an example in its schema, else the list
-- of what there is. Its path, and the body as JSON.
function Service:example()
  local found
  for name, integration in pairs(self.generation.integrations) do
    for operation, definition in pairs(integration.operations) do
      local schema = definition.input and definition.input.definition
      local example = type(schema) == "table" and schema.examples and schema.examples[1]
      local path = ("/api/v1/integrations/%s/%s"):format(name, operation)
      if example and (not found or path < found.path) then
        found = { path = path, body = json.encode(example, { canonical = true }) }
      end
    end
  end
  return found or { path = "/api/v1/integrations" }
end


local function curl_line(address, example, token_path)
  local socket = address:match("^unix:(.*)$")
  local parts = { "curl -s" }
  if socket then
    parts[#parts + 1] = "--unix-socket " .. socket
  end
  local origin = socket and "http://localhost" or address:match("^https://") and address or "http://" .. address
  parts[#parts + 1] = origin .. example.path
  parts[#parts + 1] = ('-H "Authorization: Bearer $(cat %s)"'):format(token_path)
  if example.body then
    parts[#parts + 1] = ("-H 'Content-Type: application/json' -d '%s'"):format(example.body)
  end
  return table.concat(parts, " ")
end


-- For whoever started the service by hand.
function Service:greet()
  local words = { ("Tidegate %s listens on %s"):format(host.version, table.concat(self.shown, ", ")) }
  if self.token_path then
    words[#words + 1] = "The administrator's token is in " .. self.token_path
    words[#words + 1] = "Try it:"
    words[#words + 1] = "  " .. curl_line(self.shown[1], self:example(), self.token_path)
  else
    words[#words + 1] = "Make a token: tidegate token create --name NAME --role caller"
  end
  host.write("stderr", table.concat(words, "\n") .. "\n")
end


-- Stopping ----------------------------------------------------------------------------------------


-- Returns at the first signal that ends the service.
local function wait_for_end()
  while true do
    local signal = host.wait_signal()
    if signal ~= "HUP" then
      return signal
    end
    log.warn("SIGHUP: this version does not reload while it runs; restart the service")
  end
end


-- Everything that was accepted is answered, then recorded.
function Service:stop(signal)
  local config = self.project.config
  log.info("draining", { signal = signal, drain_seconds = config.drain_seconds })
  host.publish(health.STATE, "draining")
  if config.drain_delay_seconds > 0 then
    task.sleep(config.drain_delay_seconds)
  end
  local ending = time.monotonic() + config.drain_seconds
  host.stop_workers(config.drain_seconds)
  local left = math.max(0.5, ending - time.monotonic())
  task.timeout(left, boot.drain, { self.socket })
  self.socket:close()
  self.ticker:cancel()
  if self.certificate then
    self.certificate:cancel()
  end
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


-- Serves the project until a signal ends it. `options`: config, listen (list), workers,
-- strict. The exit code, and what went wrong.
function M.run(options)
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, lines(faults)
  end
  apply_options(opened.config, options)
  log.set_level(opened.config.log_level)
  master_key.load(opened.sources.getenv) -- so that no message of the start can show it
  local service = setmetatable({ project = opened }, Service)
  local started, message = service:start(options)
  if not started then
    return 1, message
  end
  service:greet()
  service:stop(wait_for_end())
  return 0
end


return M
