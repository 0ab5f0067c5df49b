-- A service that takes webhooks of `acme`, signed, and what its specs ask of it.

local crypto = require "tide.crypto"
local json = require "tide.json"
local service = require "spec.support.service"

local M = {}

M.SECRET = "whsec_0123456789abcdef"

local Webhooks = {}
Webhooks.__index = Webhooks


-- The provider: `handlers` is the text of its `on` table's members, `more` of further keys of the
-- definition.
function M.provider(handlers, more)
  return ([[
    local fail = require "tide.fail"
    return {
      summary = "Acme",
      webhooks = {
        signature = { scheme = "hmac-sha256", header = "X-Acme-Signature", secret = "webhook_secret" },
        event_type = "type", event_id = "id",
        %s
        on = { %s },
      },
    }
  ]]):format(more or "", handlers)
end


-- Starts a service with `files` (at least providers/acme.lua). `options` as for serve; `config` is the
-- text of acme's settings, `top` of further keys of config.lua.
function M.start(files, options)
  options = options or {}
  files["config.lua"] = ("return { %s integrations = { acme = { %s } } }"):format(options.top or "",
    options.config or "")
  local project = service.project(files)
  options.environment = options.environment or {}
  options.environment.TIDEGATE_ACME_WEBHOOK_SECRET = options.environment.TIDEGATE_ACME_WEBHOOK_SECRET or M.SECRET
  local running = project:serve(options)
  return setmetatable({ project = project, service = running, options = options }, Webhooks)
end


function M.sign(body, secret)
  return crypto.hex(crypto.hmac("sha256", secret or M.SECRET, body))
end


-- Sends a payload (a table, or the body as text), signed: status, answer, headers. `options`: headers,
-- secret, path (after /acme), type (the content type).
function Webhooks:send(payload, options)
  options = options or {}
  local body = type(payload) == "string" and payload or assert(json.encode(payload))
  local headers = { ["X-Acme-Signature"] = M.sign(body, options.secret),
    ["Content-Type"] = options.type or "application/json" }
  for name, value in pairs(options.headers or {}) do
    headers[name] = value ~= "" and value or nil
  end
  return self.service:request("POST", "/api/v1/webhooks/acme" .. (options.path or ""), {
    token = false, body = body, headers = headers, fresh_connection = options.fresh_connection,
  })
end


-- The same for one that must be taken; its id.
function Webhooks:post(payload, options)
  local status, answer = self:send(payload, options)
  if status ~= 200 then
    error(("a webhook was answered %s: %s"):format(status, json.encode(answer) or tostring(answer)), 2)
  end
  return answer.id, answer
end


function Webhooks:event(id)
  local status, answer = self.service:request("GET", "/api/v1/events/" .. id)
  assert(status == 200, status)
  return answer.data
end


-- Waits until an event is in a state; the event.
function Webhooks:await(id, status)
  return service.wait("event " .. id .. " to be " .. status, function()
    local event = self:event(id)
    return event.status == status and event
  end)
end


-- The events that a query finds, newest first.
function Webhooks:events(query)
  local status, answer = self.service:request("GET", "/api/v1/events?" .. (query or ""))
  assert(status == 200, status)
  return answer.data
end


-- Starts the service again on the same data, after a stop or a kill.
function Webhooks:restart()
  self.service = self.project:serve(self.options)
end


function Webhooks:metric(pattern)
  local _, text = self.service:request("GET", "/metrics")
  return tonumber(text:match("\n" .. pattern .. " ([%d.e+]+)"))
end


function Webhooks:close()
  self.project:close()
end


M.wait = service.wait


return M
