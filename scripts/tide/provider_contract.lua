-- The keys of the provider contract, as data: key -> type of its value ("text", "boolean",
-- "function", "table", "list of texts"), or several of them.

local M = {}

M.provider = {
  name = "text", type = "text", summary = "text", description = "text", hosts = "list of texts",
  auth = { "table", "function" }, tls = "table", config = "table", secrets = "list of texts",
  operations = "table",
  health = "function", self_test = "function", webhooks = "table", classify = "function",
}

M.operation = {
  summary = "text", description = "text", input = { "table", "boolean" },
  output = { "table", "boolean" },
  prepare = "function", cache = { "boolean", "table" }, run = "function", mock = "function",
  fallback = "function",
  idempotent = "boolean",
}

M.cache = { ttl_seconds = "number", version = { "number", "text" } }

M.webhook = {
  signature = { "table", "function", "text" }, event_type = { "text", "table", "function" },
  event_id = { "text", "table", "function" }, events = "function",
  ordering_key = { "text", "table", "function" }, respond = "table", handshake = "function",
  on = "table",
}

M.respond = { status = "number", headers = "table", body = "text" }

--- What an operation may not be called: these are endpoints of the API.
M.reserved_operations = {
  config = true, secrets = true, breaker = true, cache = true, health = true, explain = true,
  batch = true,
}

M.types = { api = true, smtp = true, webhook = true }


return M
