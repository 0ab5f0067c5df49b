-- GET /api/v1/status: the service itself.

local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local reload_request = require "tide.reload.request"
local secret_faults = require "tide.secret.faults"
local health = require "tide.api.health"
local integrations = require "tide.api.integrations"
local metrics = require "tide.api.metrics"
local shape = require "tide.api.shape"

local M = {}

-- The name under which the main worker publishes what does not change while it runs, as JSON.
M.FACTS = "facts"


local function count_loaded(generation)
  local loaded = 0
  for _, integration in pairs(generation.integrations) do
    loaded = loaded + (integration.provider and 1 or 0)
  end
  return loaded
end


-- Whether files that change are taken by themselves, and where that is seen.
local function watched(config)
  local watch = reload_request.watched()
  watch.enabled = config.watch
  return watch
end


local function get(current)
  local generation = current.generation
  local started = tonumber((host.published(metrics.STARTED))) or time.now()
  local facts = json.decode(host.published(M.FACTS) or "{}")
  local stats = store.stats()
  return { status = 200, json = { data = {
    version = host.version,
    state = host.published(health.STATE) or "starting",
    pid = host.process().pid,
    started_at = time.format(started),
    uptime_seconds = math.floor(time.now() - started),
    listen = facts.listen or json.array(),
    workers = facts.workers or 0,
    config = facts.config or json.null,
    generation = {
      version = generation.version,
      loaded = count_loaded(generation),
      integrations = integrations.statuses(current),
      versions = integrations.versions(current),
      errors = json.array({ table.unpack(integrations.faults(current)) }),
    },
    watch = watched(generation.config),
    secrets = {
      faults = json.array(secret_faults.sentences(function(name) return current:sees(name) end)),
    },
    store = {
      commits = stats.commits, rows = stats.rows, queries = stats.queries, waiting = stats.waiting,
      queued_rows = stats.queued_rows, queued_bytes = stats.queued_bytes,
      dropped = stats.dropped, failed = stats.failed, last_error = stats.last_error or json.null,
    },
    log = { dropped = log.stats().dropped },
    worker = {
      number = host.worker, tasks = task.stats().tasks, live_operations = task.stats().live_operations,
      lua_memory_bytes = math.floor(collectgarbage("count") * 1024),
    },
  } } }
end


M.routes = {
  { "GET", "/api/v1/status", needs = "read", handler = get, doc = {
    summary = "The state of the service itself",
    answers = shape.data(shape.object {
      version = "text", state = shape.choice("starting", "serving", "draining"), pid = "integer",
      started_at = "time", uptime_seconds = "integer", listen = "texts", workers = "integer", config = "text?",
      generation = "object", store = "object", log = "object", worker = "object", secrets = "object",
      watch = shape.object {
        enabled = "boolean", folders = "texts", polled = shape.list(shape.object { folder = "text", reason = "text" }),
      },
    }),
  } },
}


return M
