-- What many operations of the document share: errors, headers, the security scheme.

local errors = require "tide.errors"
local json = require "tide.json"
local tokens = require "tide.tokens"
local shape = require "tide.api.shape"

local M = {}

-- What every error says.
local PROBLEM = shape.object({
  type = "text", title = "text", status = "integer", detail = "text", code = "text", trace_id = "text",
  retryable = { type = "boolean", description = "The same request may succeed later, and repeating it does no harm." },
}, {
  errors = shape.list(shape.object { detail = "text", pointer = "text" }),
  integration = "text", operation = "text", attempts = "integer", upstream_status = "integer", policy = "text",
  retry_after = "integer", trace = "any",
})

-- How an answer came about.
local META = shape.object({
  integration = "text", operation = "text", trace_id = "text", duration_ms = "number", attempts = "integer",
  from_cache = "boolean", stale = "boolean", fallback = "boolean", mock = "boolean",
  circuit_breaker_state = "text",
}, {
  age_seconds = "number", trace = "any", error = shape.object { code = "text", detail = "text" },
})

M.HEADERS = {
  ["X-Trace-Id"] = { description = "The trace of the request, as in the log.", schema = shape.of("text") },
  ["Retry-After"] = { description = "Seconds after which it is worth another try.", schema = shape.of("integer") },
  ["WWW-Authenticate"] = { description = "Bearer.", schema = shape.of("text") },
  ["Idempotent-Replayed"] = { description = "true: the answer of an earlier call with the same Idempotency-Key.",
    schema = shape.choice("true") },
  ETag = { description = "What the answer is, for `If-None-Match` or `If-Match`.", schema = shape.of("text") },
}


local function header(name)
  return { ["$ref"] = "#/components/headers/" .. name }
end


--- References to headers of answers, by name.
---@param names string[]
---@return table
function M.headers(names)
  local list = {}
  for _, name in ipairs(names) do
    list[name] = header(name)
  end
  return list
end


-- The codes of each status, sorted.
local function by_status(codes)
  local groups = {}
  for _, code in ipairs(codes) do
    local entry = errors.codes[code] or error("there is no error code " .. code, 0)
    local status = tostring(entry.status)
    groups[status] = groups[status] or {}
    groups[status][code] = true
  end
  for status, members in pairs(groups) do
    local list = {}
    for code in pairs(members) do
      list[#list + 1] = code
    end
    table.sort(list)
    groups[status] = list
  end
  return groups
end


-- The headers that come with an error with one of these codes.
local function problem_headers(codes)
  local names, waits = { "X-Trace-Id" }, false
  for _, code in ipairs(codes) do
    waits = waits or errors.codes[code].wait ~= nil or code == "conflict"
    names[2] = code == "unauthorized" and "WWW-Authenticate" or names[2]
  end
  names[#names + 1] = waits and "Retry-After" or nil
  return M.headers(names)
end


local function problem(codes)
  local lines = {}
  for index, code in ipairs(codes) do
    lines[index] = ("`%s`: %s"):format(code, errors.codes[code].title)
  end
  return {
    description = table.concat(lines, "; ") .. ".",
    headers = problem_headers(codes),
    content = { ["application/problem+json"] = { schema = { allOf = {
      { ["$ref"] = "#/components/schemas/Problem" }, { properties = { code = { enum = codes } } },
    } } } },
  }
end


--- The answers that tell errors, by status.
---@param codes string[]
---@return table
function M.problems(codes)
  local answers = {}
  for status, list in pairs(by_status(codes)) do
    answers[status] = problem(list)
  end
  return answers
end


--- Who may: any of these roles.
---@param needs string a right of tokens.lua
---@return table[] requirements of OpenAPI, string[] roles
function M.security(needs)
  local requirements, roles = json.array(), {}
  for _, role in ipairs { "caller", "viewer", "operator", "admin" } do
    if tokens.ROLES[role][needs] then
      roles[#roles + 1] = role
      requirements[#requirements + 1] = { bearer = { role } }
    end
  end
  return requirements, roles
end


--- The part that every document has.
function M.all(responses, parameters)
  return {
    schemas = { Problem = PROBLEM, Meta = META },
    headers = M.HEADERS,
    responses = responses,
    parameters = parameters,
    securitySchemes = { bearer = {
      type = "http", scheme = "bearer",
      description = "An API token, with one role: caller, viewer, operator or admin. It may be bound to some "
        .. "integrations.",
    } },
  }
end


return M
