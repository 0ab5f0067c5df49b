-- Every key of the configuration, as data: what `settings` checks, fills in and documents.
--
--   name, type        the key; one of the types of `settings_type`
--   default           nil: none
--   min, max, values  bounds; the texts that are allowed
--   description       for docs/configuration.md
--   live              can change at run time (integration keys)
--   admin             changing it needs the role admin
--   column            stored in a column of its own in integration_configs
--   path              a file or folder; relative ones are relative to the folder of config.lua

local json = require "tide.json"

local M = {}

--- Top keys of config.lua.
M.top = {
  { name = "listen", type = "text_or_list", default = "127.0.0.1:8080",
    description = "Address of the HTTP API: HOST:PORT, [V6]:PORT or unix:PATH; several as a "
      .. "list." },
  { name = "workers", type = "workers", default = "auto", min = 1, max = 256,
    description = "Worker threads; \"auto\" is one per core." },
  { name = "store", type = "text", default = "sqlite:var/tidegate.db",
    description = "The database: sqlite:PATH or postgres://…" },
  { name = "redis", type = "text",
    description = "URL of a Redis that several instances share; left out, state stays inside the "
      .. "process." },
  { name = "providers", type = "text_or_list", default = "providers", path = true,
    description = "The folder of the provider files, or a list of folders; the first that has a "
      .. "name wins." },
  { name = "defaults", type = "integration", default = {},
    description = "Integration keys for all integrations." },
  { name = "integrations", type = "integrations", default = {},
    description = "Integration keys by integration; naming a bundled provider makes it active." },
  { name = "data_dir", type = "text", default = "var", path = true,
    description = "The folder of the store, the lock, the Unix socket and the first token." },
  { name = "watch", type = "boolean", default = true,
    description = "Reload when a file changes; false reloads only when told, all files together." },
  { name = "public_url", type = "url",
    description = "The address under which third parties reach this service." },
  { name = "trusted_proxies", type = "network_list", default = {},
    description = "Addresses or networks (CIDR) whose X-Forwarded-For is believed." },
  { name = "browser_origins", type = "text_list", default = json.array(),
    description = "Origins whose pages may call the API (CORS)." },
  { name = "tls", type = "tls",
    description = "{ certificate, key } as PEM files: the API speaks TLS." },
  { name = "drain_seconds", type = "number", default = 30, min = 0, max = 3600,
    description = "How long running calls may take to end when the service stops." },
  { name = "drain_delay_seconds", type = "number", default = 0, min = 0, max = 3600,
    description = "How long /health says 503 before connections are refused, so that load "
      .. "balancers notice." },
  { name = "log_level", type = "text", default = "info",
    values = { "debug", "info", "warn", "error" },
    description = "The least level of what is logged." },
  { name = "max_request_bytes", type = "integer", default = 1048576, min = 1024, max = 268435456,
    description = "The largest request body that is accepted." },
  { name = "log_retention_days", type = "number", default = 30, min = 0, max = 3650,
    description = "How long call logs are kept." },
  { name = "event_retention_days", type = "number", default = 90, min = 0, max = 3650,
    description = "How long webhook events are kept that were processed." },
  { name = "failed_event_retention_days", type = "number", default = 90, min = 0, max = 3650,
    description = "How long webhook events are kept that failed for good." },
  { name = "idempotency_hours", type = "number", default = 24, min = 0, max = 8760,
    description = "How long the answer to an Idempotency-Key is kept." },
  { name = "job_hours", type = "number", default = 24, min = 0, max = 8760,
    description = "How long the results of asynchronous calls are kept." },
  { name = "metrics_public", type = "boolean", default = false,
    description = "Serve /metrics without a token." },
  { name = "script_timeout_ms", type = "integer", default = 1000, min = 10, max = 600000,
    description = "CPU time that a script may use between two waits." },
  { name = "script_slice_ms", type = "integer", default = 10, min = 1, max = 1000,
    description = "CPU time after which other tasks of the worker come first." },
  { name = "memory_limit_mb", type = "integer", default = 256, min = 16, max = 1048576,
    description = "Ceiling of the Lua memory of each worker." },
  { name = "cache_limit_mb", type = "integer", default = 128, min = 1, max = 1048576,
    description = "Memory for cached results, of all workers together; a single one takes a sixteenth "
      .. "of it at most." },
  { name = "worker_stuck_seconds", type = "number", default = 30, min = 1, max = 3600,
    description = "A worker that has not returned to its loop for so long ends the process for "
      .. "its supervisor." },
  { name = "db_transaction_seconds", type = "number", default = 5, min = 0.1, max = 60,
    description = "How long a script's transaction may stay open, and a single statement of `ctx.db` run." },
  { name = "otlp_endpoint", type = "url",
    description = "Where spans are sent (OTLP over HTTP)." },
  { name = "alerts", type = "object", default = {},
    description = "Where alerts are sent." },
  { name = "tokens", type = "list",
    description = "API tokens that are managed by the configuration; left out, they are made by "
      .. "`tidegate token`." },
}

--- Keys of an integration: of `defaults`, `integrations.NAME`, a provider's `config`.
M.integration = {
  { name = "provider", type = "name",
    description = "The provider file to use, when its name is not the integration's." },
  { name = "is_enabled", type = "boolean", default = true, live = true, column = true,
    description = "false refuses calls with `disabled`." },
  { name = "is_mock_mode", type = "boolean", default = false, live = true, column = true,
    description = "Answer with the provider's `mock` and reach no third party." },
  { name = "base_url", type = "base_url", live = true, admin = true, column = true,
    description = "The third party's address; paths are appended. smtp://HOST:PORT for mail, "
      .. "several as a list." },
  { name = "timeout_seconds", type = "number", default = 30, min = 0.01, max = 3600, live = true,
    column = true,
    description = "Bounds one upstream request; waiting for tokens is not counted." },
  { name = "total_timeout_seconds", type = "number", default = 50, min = 0.01, max = 86400,
    live = true,
    description = "Bounds a whole call, its waits included." },
  { name = "max_retries", type = "integer", default = 3, min = 0, max = 100, live = true,
    column = true,
    description = "Attempts after the first." },
  { name = "retry_backoff_factor", type = "number", default = 2.0, min = 1, max = 100, live = true,
    column = true,
    description = "The wait before attempt n+1 is this to the power n-1, in seconds." },
  { name = "retry_max_delay_seconds", type = "number", default = 60, min = 0, max = 3600,
    live = true, column = true,
    description = "The longest wait between two attempts." },
  { name = "circuit_breaker_enabled", type = "boolean", default = true, live = true, column = true,
    description = "Whether the circuit breaker acts." },
  { name = "circuit_breaker_failure_threshold", type = "integer", default = 5, min = 1,
    max = 100000, live = true,
    column = true, description = "Consecutive failures that open the breaker." },
  { name = "circuit_breaker_timeout_seconds", type = "number", default = 60, min = 0.1, max = 86400,
    live = true,
    column = true, description = "How long it stays open before probes are let through." },
  { name = "circuit_breaker_half_open_calls", type = "integer", default = 1, min = 1, max = 1000,
    live = true,
    description = "Probes at a time, and successes that close the breaker." },
  { name = "circuit_breaker_window_seconds", type = "number", min = 1, max = 86400, live = true,
    description = "Sliding window over which rates are measured." },
  { name = "circuit_breaker_failure_rate", type = "number", min = 0, max = 1, live = true,
    description = "Share of failures in the window that opens the breaker." },
  { name = "slow_call_ms", type = "number", min = 1, max = 3600000, live = true,
    description = "A call that takes longer counts as slow: a share of them as large as "
      .. "circuit_breaker_failure_rate in the window opens the breaker." },
  { name = "rate_limit_enabled", type = "boolean", default = true, live = true, column = true,
    description = "Whether calls to the third party are limited." },
  { name = "rate_limit_calls_per_minute", type = "integer", default = 60, min = 0, max = 100000000,
    live = true,
    column = true, description = "Upstream requests per minute; 0 lets none through." },
  { name = "rate_limit_calls_per_hour", type = "integer", default = 1000, min = 0, max = 1000000000,
    live = true,
    column = true, description = "Upstream requests per hour; 0 lets none through." },
  { name = "rate_limit_burst", type = "integer", min = 1, max = 100000000, live = true,
    description = "Size of the minute's bucket; left out, the minute's rate." },
  { name = "rate_limit_max_wait_seconds", type = "number", default = 30, min = 0, max = 3600,
    live = true,
    description = "How long a request waits for its turn before it is refused." },
  { name = "rate_limit_queue", type = "integer", default = 1000, min = 0, max = 1000000,
    live = true,
    description = "Requests that may wait at a time." },
  { name = "rate_limit_pause_max_seconds", type = "number", default = 3600, min = 0, max = 86400,
    live = true,
    description = "The longest pause that an upstream can ask for." },
  { name = "max_concurrency", type = "integer", min = 1, max = 1000000, live = true,
    description = "Calls that run at a time; left out, no limit." },
  { name = "cache_enabled", type = "boolean", default = true, live = true, column = true,
    description = "Whether results of operations with `cache` are kept." },
  { name = "cache_ttl_seconds", type = "number", default = 3600, min = 0, max = 31536000,
    live = true, column = true,
    description = "How long a cached result is fresh." },
  { name = "cache_stale_seconds", type = "number", default = 0, min = 0, max = 31536000,
    live = true,
    description = "How long after that it is still answered at once while it is refreshed." },
  { name = "cache_keep_seconds", type = "number", default = 86400, min = 0, max = 31536000,
    live = true,
    description = "How long past its expiry it is kept for when the upstream fails." },
  { name = "cache_negative_seconds", type = "number", default = 0, min = 0, max = 86400,
    live = true,
    description = "How long `not_found` is kept." },
  { name = "mock_error_rate", type = "number", default = 0, min = 0, max = 1, live = true,
    description = "Share of mock answers that fail." },
  { name = "mock_error_codes", type = "text_list", default = json.array { "upstream_error" }, live = true,
    values = { "upstream_error", "network_error", "timeout", "rate_limited", "upstream_auth", "not_found", "rejected" },
    description = "What mock failures are: codes of errors, one taken at random each time." },
  { name = "mock_delay_ms", type = "number", default = 0, min = 0, max = 600000, live = true,
    description = "How long a mock answer takes." },
  { name = "mock_responses", type = "object", live = true,
    description = "Mock answers by operation, instead of the provider's." },
  { name = "health_interval_seconds", type = "number", default = 300, min = 0, max = 86400,
    live = true,
    description = "Time between two health checks; 0 makes none." },
  { name = "allow_private_networks", type = "boolean", default = false, live = true, admin = true,
    description = "Let public names resolve into private, loopback and link-local ranges." },
  { name = "max_response_bytes", type = "integer", default = 8388608, min = 1024, max = 1073741824,
    live = true,
    description = "The largest upstream answer, after decompression." },
  { name = "batch_concurrency", type = "integer", default = 8, min = 1, max = 1000, live = true,
    description = "Calls of one batch that run at a time." },
  { name = "log_bodies", type = "boolean", default = true, live = true, admin = true,
    description = "Whether request and response bodies go into the call log (redacted)." },
  { name = "log_body_bytes", type = "integer", default = 4096, min = 0, max = 1048576, live = true,
    description = "How much of a body goes into the call log." },
  { name = "log_calls", type = "text", default = "all", values = { "all", "uncached", "failed" },
    live = true,
    description = "Which calls get a row in the call log." },
  { name = "redact_fields", type = "text_list", default = json.array(), live = true, admin = true,
    description = "Further names of fields and headers that are taken out of logs and errors." },
  { name = "reload_rollback", type = "boolean", default = false, live = true,
    description = "Go back to the version before when a new one keeps failing." },
  { name = "http2", type = "boolean", default = false, live = true,
    description = "Offer HTTP/2 to the upstream." },
  { name = "webhook_tolerance_seconds", type = "number", default = 300, min = 0, max = 86400,
    live = true,
    description = "How far a webhook's time-stamp may be off, either way." },
  { name = "webhook_max_bytes", type = "integer", default = 1048576, min = 1024, max = 268435456,
    live = true,
    description = "The largest webhook that is accepted." },
  { name = "webhook_timeout_seconds", type = "number", default = 60, min = 0.1, max = 86400,
    live = true,
    description = "Bounds one run of a webhook handler." },
  { name = "webhook_concurrency", type = "integer", default = 8, min = 1, max = 1000, live = true,
    description = "Events that are processed at a time." },
  { name = "webhook_dedupe_seconds", type = "number", default = 2592000, min = 0, max = 31536000,
    live = true,
    description = "How long the id of an event is remembered, so that it is processed once." },
  { name = "webhook_retry_seconds", type = "number_list", live = true, min = 0, max = 604800,
    default = json.array { 5, 60, 300, 1800, 7200, 18000, 36000, 36000 },
    description = "Waits before each further run of a failed event." },
  { name = "webhook_poisoned_key", type = "text", default = "skip", values = { "skip", "park" }, live = true,
    description = "What becomes of later events of an `ordering_key` when one has failed for good: they go on, or "
      .. "wait until it is retried or discarded." },
  { name = "webhook_ip_allowlist", type = "network_list", live = true, admin = true,
    description = "Addresses or networks that may send webhooks; left out, all." },
  { name = "webhook_rate_limit_per_minute", type = "integer", min = 0, max = 100000000, live = true,
    description = "Webhooks per minute; left out, no limit." },
  { name = "extra_config", type = "object", default = {}, live = true, admin = true, column = true,
    description = "What the provider itself defines. Layers are merged key by key; null removes "
      .. "a key." },
}


local function by_name(list)
  local index = {}
  for _, key in ipairs(list) do
    index[key.name] = key
  end
  return index
end


M.top_by_name = by_name(M.top)
M.integration_by_name = by_name(M.integration)


return M
