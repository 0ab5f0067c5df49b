-- One request of the API with what is known about it, and how it is answered.

local http = require "tide.http"
local json = require "tide.json"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local refusals = require "tide.api.refusals"
local unknown = require "tide.unknown"

local M = {}

local NO_TRACE = ("0"):rep(32)
local NO_SPAN = ("0"):rep(16)
local TRACE_STATE_MAX = 512

local Exchange = {}
Exchange.__index = Exchange


-- The trace, the caller's span and whether it samples ("01" or "00": of the flags we know that
-- one alone) of a `traceparent` (W3C Trace Context), if it is sound.
local function read_traceparent(text)
  if not text then
    return nil
  end
  local version, trace, span, flags, rest = text:match("^(%x%x)%-(%x+)%-(%x+)%-(%x%x)(.*)$")
  if not version or version == "ff" or #trace ~= 32 or #span ~= 16 or text:find("%u") then
    return nil
  end
  -- Only versions yet to come may have more fields.
  if rest ~= "" and (version == "00" or rest:sub(1, 1) ~= "-") then
    return nil
  end
  if trace == NO_TRACE or span == NO_SPAN then
    return nil
  end
  return trace, span, tonumber(flags, 16) % 2 == 1 and "01" or "00"
end


-- What others have noted of a trace, passed on as it is: `tracestate` of the same recommendation, as
-- long as everybody has to keep it. Longer ones, and what is no text, are left out.
local function read_tracestate(text)
  local sound = text and #text <= TRACE_STATE_MAX and text:find("%S") and not text:find("[^\t -~]")
  return sound and text or nil
end


function M.new(instance, request, identity)
  local trace, span, flags = read_traceparent(request:header("traceparent"))
  return setmetatable({
    instance = instance,
    generation = instance.live:current(), -- of the whole request
    request = request,
    method = request.method,
    path = request.path,
    trace_id = trace or uuid.trace_id(),
    span_id = span,
    trace_flags = flags,
    trace_state = trace and read_tracestate(request:header("tracestate")),
    params = {},
    identity = identity, -- whose token it is (api/access.lua)
  }, Exchange)
end


-- Answering ---------------------------------------------------------------------------------------


-- { status, json or body, type, headers }
function Exchange:send(answer)
  local headers = { "X-Trace-Id", self.trace_id }
  local body = answer.body
  if body == nil and answer.json ~= nil then
    body = assert(json.encode(answer.json))
  end
  if body then
    headers[3], headers[4] = "Content-Type", answer.type or "application/json"
  end
  if answer.headers then
    for name, value in pairs(answer.headers) do
      headers[#headers + 1] = name
      headers[#headers + 1] = value
    end
  end
  return self.request:respond(answer.status, headers, body)
end


-- The answer that tells an error.
function Exchange:problem(err)
  local problem = errors.problem(err, { trace_id = self.trace_id })
  local headers = { ["Retry-After"] = problem.retry_after and tostring(problem.retry_after) }
  if problem.code == "unauthorized" then
    headers["WWW-Authenticate"] = "Bearer"
  end
  headers.Allow = err.allow
  return { status = problem.status, json = problem, type = "application/problem+json", headers = headers }
end


function Exchange:send_problem(err)
  return self:send(self:problem(err))
end


-- Reading -----------------------------------------------------------------------------------------


function M.invalid(pointer, detail)
  return errors.new("invalid_input", detail, { pointer = pointer })
end


-- The query as a table of texts, of which only `known` may come; nil and an error.
function Exchange:query(known)
  local text = self.request.query
  if text == nil or text == "" then
    return {}
  end
  local query, message = http.decode_query(text)
  if not query then
    return nil, M.invalid("#", "the query cannot be read: " .. message)
  end
  for name, value in pairs(query) do
    if not known[name] then
      return nil, M.invalid("#/" .. name, "there is no parameter " .. name)
    end
    if type(value) ~= "string" then
      return nil, M.invalid("#/" .. name, name .. " is given more than once")
    end
  end
  return query
end


local function is_json(content_type)
  local essence = content_type:match("^%s*([^;%s]+)"):lower()
  return essence == "application/json" or essence:match("^application/[%w.-]+%+json$") ~= nil
end


-- The body as it came, if it says that it is JSON.
function Exchange:json_text()
  local content_type = self.request:header("content-type")
  if content_type == "application/json" or content_type and content_type:match("[^;%s]") and is_json(content_type) then
    return self.request.body
  end
end


-- The body, which must be a JSON object; nil and an error.
function Exchange:json_object()
  if not self:json_text() then
    return nil, errors.new("unsupported_media_type", "the body must be JSON: send Content-Type: application/json")
  end
  local value, message = json.decode(self.request.body)
  if value == nil then
    return nil, M.invalid("#", message)
  end
  if type(value) ~= "table" or json.is_array(value) then
    return nil, M.invalid("#", "the body must be a JSON object")
  end
  return value
end


-- Whether the caller may know of an integration; without a token there is no binding.
function Exchange:sees(name)
  local identity = self.identity
  return not (identity and identity.integrations) or identity.integrations[name] == true
end


-- May the caller have to do with this integration? An error when not.
function Exchange:refuse_integration(name)
  if not self:sees(name) then
    refusals.count("forbidden")
    return errors.new("forbidden", "this token is bound to other integrations than " .. name)
  end
end


-- What concerns all integrations is not for a token that is bound to some: an error for one.
function Exchange:refuse_bound()
  if self.identity.integrations then
    refusals.count("forbidden")
    return errors.new("forbidden", "this concerns all integrations, and this token is bound to some")
  end
end


-- The integration that the path names, loaded; nil and an error.
function Exchange:integration()
  local name = self.params.name
  local err = self:refuse_integration(name)
  if err then
    return nil, err
  end
  local integration = self.generation.integrations[name]
  if integration == nil then
    return nil, unknown.integration(self.generation, name)
  elseif not integration.provider then
    return nil, errors.new("not_loaded", name .. " did not load")
  end
  return integration
end


-- Lists -------------------------------------------------------------------------------------------


M.LIMIT = 50
M.LIMIT_MAX = 500


-- The number of entries that a query asks for; nil and an error.
function M.limit_of(query)
  if query.limit == nil then
    return M.LIMIT
  end
  local limit = query.limit:match("^%d+$") and math.tointeger(tonumber(query.limit))
  if not limit or limit < 1 or limit > M.LIMIT_MAX then
    return nil, M.invalid("#/limit", ("limit must be a whole number from 1 to %d"):format(M.LIMIT_MAX))
  end
  return limit
end


-- The answer of a list. `entries` may hold one more than `limit`: then there is a next page,
-- after the entry that `cursor_of` names.
function M.list(entries, limit, cursor_of)
  local next_cursor = json.null
  if #entries > limit then
    entries[limit + 1] = nil
    next_cursor = cursor_of(entries[limit])
  end
  return { status = 200, json = { data = json.array(entries), next_cursor = next_cursor } }
end


return M
