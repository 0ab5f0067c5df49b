-- The answer of an upstream as scripts see it, and what its status means.

local json = require "tide.json"
local time = require "tide.time"
local errors = require "tide.errors"

local M = {}

-- An error that says "not JSON" is told from others by this member.
local NOT_JSON = {}


-- Header names in lower case, whatever case is asked for; repeated ones joined.
local HEADERS = {
  __index = function(headers, name)
    if type(name) ~= "string" then
      return nil
    end
    return rawget(headers, name:lower())
  end,
  __metatable = "headers",
}


local function headers_of(list)
  local headers = {}
  for _, pair in ipairs(list) do
    local name = pair[1]:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. pair[2] or pair[2]
  end
  return setmetatable(headers, HEADERS)
end


local function decode(response)
  local value, message = json.decode(response.body, { null = "absent" })
  if value == nil then
    error(errors.new("upstream_error", string.format("%s answered %d with a body that is not JSON: %s",
      response.request, response.status, message),
      { status = response.status, response = response, kind = NOT_JSON }), 0)
  end
  return value
end


-- `json` is decoded when it is first asked for.
local RESPONSE = {
  __index = function(response, name)
    if name ~= "json" then
      return nil
    end
    local value = decode(response)
    rawset(response, "json", value)
    return value
  end,
  __metatable = "response",
}


-- `request` is what messages call the request: "GET /parcels/{parcel}".
function M.new(answer, request)
  return setmetatable({
    status = answer.status,
    headers = headers_of(answer.headers),
    body = answer.body,
    duration_ms = answer.timings.total_ms,
    request = request,
  }, RESPONSE)
end


function M.is_not_json(err)
  return errors.is(err) and err.kind == NOT_JSON
end


-- Seconds that a Retry-After asks for; nil when there is none or it cannot be read.
function M.retry_after(response)
  local text = response.headers["retry-after"]
  if text == nil then
    return nil
  end
  local seconds = text:match("^%s*(%d+%.?%d*)%s*$")
  if seconds then
    return tonumber(seconds)
  end
  local at = time.parse_http(text)
  return at and math.max(0, at - time.now())
end


-- Whether the answer says that the request had no effect.
function M.had_no_effect(response, code)
  local status = response.status
  if status == 401 or status == 403 or status == 429 then
    return true
  end
  if status == 503 and M.retry_after(response) then
    return true
  end
  return code == "rate_limited" or code == "token_expired" or code == "upstream_auth"
end


local MEANING = {
  [401] = "upstream_auth", [403] = "upstream_auth",
  [404] = "not_found", [410] = "not_found",
  [408] = "upstream_error",
  [429] = "rate_limited",
}


local function code_of(status)
  if MEANING[status] then
    return MEANING[status]
  end
  if status >= 400 and status < 500 then
    return "rejected"
  end
  return "upstream_error"
end


local function is_expected(status, expect)
  if expect == nil then
    return status >= 200 and status < 300
  end
  if expect == "any" then
    return true
  end
  for _, wanted in ipairs(expect) do
    if wanted == status then
      return true
    end
  end
  return status >= 200 and status < 300
end


-- The error of an answer: what `classify` made of it, else what its status says. nil when
-- it is one that the script asked for.
function M.error_of(response, expect, code, message, fields)
  if code == nil then
    if is_expected(response.status, expect) then
      return nil
    end
    code = code_of(response.status)
  end
  local all = {}
  for key, value in pairs(fields or {}) do
    all[key] = value
  end
  all.status = response.status
  all.response = response
  if all.retry_after == nil and (code == "rate_limited" or response.status == 503) then
    all.retry_after = M.retry_after(response)
  end
  message = message or string.format("%s answered %d", response.request, response.status)
  return errors.new(code, message, all)
end


return M
