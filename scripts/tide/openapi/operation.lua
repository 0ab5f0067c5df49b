-- One operation of the document: a route, for one operation or webhook of an integration where it is of those.

local json = require "tide.json"
local components = require "tide.openapi.components"
local schemas = require "tide.openapi.schemas"
local schema_example = require "tide.schema.example"

local M = {}

local JSON = "application/json"


-- Errors ------------------------------------------------------------------------------------------


-- What everybody may get whose request has to bring a token, a query or a body.
local function usual_problems(route, doc, has_body)
  local codes = { "internal" }
  if route.needs ~= "signature" then
    table.move({ "unauthorized", "forbidden", "rate_limited" }, 1, 3, #codes + 1, codes)
  end
  if has_body then
    table.move({ "invalid_input", "unsupported_media_type", "payload_too_large" }, 1, 3, #codes + 1, codes)
  elseif doc.query or route[2]:find("{id}", 1, true) then
    codes[#codes + 1] = "invalid_input"
  end
  return table.move(doc.problems or {}, 1, #(doc.problems or {}), #codes + 1, codes)
end


-- What all calls have stands once among the components: errors, headers that they take.
function M.shared_responses(route)
  local shared = {}
  for status, answer in pairs(components.problems(usual_problems(route, route.doc, true))) do
    shared["call_" .. status] = answer
  end
  return shared
end


local function problems(route, doc, has_body)
  local answers = components.problems(usual_problems(route, doc, has_body))
  if doc.gives then
    for status in pairs(answers) do
      answers[status] = { ["$ref"] = "#/components/responses/call_" .. status }
    end
  end
  return answers
end


-- What `make` gives for a route or an operation, made once in a document.
local function once(view, what, of, make, ...)
  view.made[what] = view.made[what] or {}
  local made = view.made[what]
  if made[of] == nil then
    made[of] = make(...)
  end
  return made[of]
end


-- Parameters --------------------------------------------------------------------------------------


local function parameter(place, from)
  return {
    name = from.name, ["in"] = place, description = from.description, schema = from.schema,
    required = place == "path" or nil,
  }
end


function M.shared_parameters(route)
  local shared = {}
  for _, each in ipairs(route.doc.headers) do
    shared[each.name] = parameter("header", each)
  end
  return shared
end


local function is_taken(header, operation, view)
  return (header.needs == nil or view.rights[header.needs] == true)
    and (not header.cached or operation == nil or operation.cacheable)
end


local PATH_WORDS = {
  name = "An integration.", operation = "An operation of it.", id = "The id, as a list gives it.",
  secret = "A secret that the integration declares.", source = "One of its webhooks.",
}


local function path_parameter(name, view)
  local schema = { type = "string" }
  if name == "id" then
    schema.format = "uuid"
  elseif name == "name" then
    schema.enum = #view.names > 0 and view.names or nil
  end
  return parameter("path", { name = name, schema = schema, description = PATH_WORDS[name] })
end


local function parameters(doc, path, operation, view)
  local list = {}
  for name in path:gmatch("{([%a_]+)}") do
    list[#list + 1] = path_parameter(name, view)
  end
  for _, each in ipairs(doc.query or {}) do
    list[#list + 1] = parameter("query", each)
  end
  for _, each in ipairs(doc.headers or {}) do
    if is_taken(each, operation, view) then
      list[#list + 1] = doc.gives and { ["$ref"] = "#/components/parameters/" .. each.name }
        or parameter("header", each)
    end
  end
  return #list > 0 and list or nil
end


-- Body and answers --------------------------------------------------------------------------------


local function input_of(operation)
  local content = { schema = schemas.published(operation.input, { type = "object" }) }
  content.example = schema_example.of(operation.input)
  return { required = true, content = { [JSON] = content } }
end


local function request_body(doc, operation, view)
  if doc.takes == "input" then
    return once(view, "input", operation, input_of, operation)
  end
  if doc.of == "webhook" then
    return { required = true, description = "What the third party sends.", content = { ["*/*"] = json.decode("{}") } }
  end
  return doc.body and { required = true, content = { [JSON] = { schema = doc.body } } } or nil
end


local function call_answer(operation)
  return {
    description = "What the operation gives, and how it came about.",
    headers = components.headers { "X-Trace-Id", "Idempotent-Replayed" },
    content = { [JSON] = { schema = {
      type = "object", required = { "data", "meta" }, properties = {
        data = schemas.published(operation.output, json.decode("{}")),
        meta = { ["$ref"] = "#/components/schemas/Meta" },
      },
    } } },
  }
end


local function answer_of(answer)
  local content
  if answer.schema then
    content = { [JSON] = { schema = answer.schema } }
  elseif answer.type then
    content = { [answer.type] = { schema = { type = "string" } } }
  end
  return {
    description = answer.description, content = content,
    headers = components.headers { "X-Trace-Id", table.unpack(answer.headers or {}) },
  }
end


local function responses(route, doc, operation, has_body, view)
  local answers = {}
  for status, answer in pairs(once(view, "problems", route, problems, route, doc, has_body)) do
    answers[status] = answer
  end
  if doc.gives == "output" then
    answers["200"] = call_answer(operation)
  end
  for status, answer in pairs(doc.answers or {}) do
    answers[tostring(status)] = answer_of(answer)
  end
  return answers
end


-- The whole ---------------------------------------------------------------------------------------


-- Whether a page without a token is answered; and by whom, in words.
local function security(route, view)
  if route.needs == "signature" then
    return json.array(), "Needs no token: the sender's signature counts."
  end
  if route.needs == "none" then
    return json.array { json.decode("{}"), { bearer = json.array() } }, nil
  end
  local requirements, roles = components.security(route.needs)
  if route.needs == "metrics" and view.metrics_public then
    table.insert(requirements, 1, json.decode("{}"))
  end
  return requirements, "Roles: " .. table.concat(roles, ", ") .. "."
end


-- What there is of some paragraphs, as one text.
local function paragraphs(list)
  local said = {}
  for _, words in ipairs(list) do
    if words and words ~= "" then
      said[#said + 1] = words
    end
  end
  return #said > 0 and table.concat(said, "\n\n") or nil
end


--- The operation object of OpenAPI.
---@param route table as in an `api/*.lua`
---@param subject table `path`, `id`, `tag`, and where the route is of one: `operation`, `summary`, `description`,
--- `answers`
---@param view table whose document it is (see openapi.lua)
---@return table
function M.describe(route, subject, view)
  local doc, operation = route.doc, subject.operation
  if subject.answers then
    doc = setmetatable({ answers = subject.answers }, { __index = route.doc })
  end
  local requirements, who = security(route, view)
  local body = request_body(doc, operation, view)
  return {
    operationId = subject.id, tags = { subject.tag },
    summary = subject.summary or doc.summary,
    description = paragraphs { subject.description or false, doc.description or false, who or false },
    parameters = parameters(doc, subject.path, operation, view),
    requestBody = body,
    responses = responses(route, doc, operation, body ~= nil and route.needs ~= "signature", view),
    security = requirements,
  }
end


return M
