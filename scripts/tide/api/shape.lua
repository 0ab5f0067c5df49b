-- What endpoints take and give, as JSON Schemas written in a word or two: the `doc` of their routes.
--
-- A kind is a schema, or the name of one below; with "?" after it null is allowed too.

local json = require "tide.json"

local M = {}

local KINDS = {
  text = { type = "string" },
  integer = { type = "integer" },
  number = { type = "number" },
  boolean = { type = "boolean" },
  object = { type = "object" },
  uuid = { type = "string", format = "uuid" },
  time = { type = "string", format = "date-time" },
  texts = { type = "array", items = { type = "string" } },
  any = {},
}


-- The schema of a kind, which nobody changes.
function M.of(kind)
  if type(kind) == "table" then
    return kind
  end
  local name, mark = kind:match("^(%l+)(%??)$")
  local schema = KINDS[name] or error("there is no kind of value " .. kind, 2)
  if mark == "" or schema.type == nil then
    return schema
  end
  local nullable = {}
  for key, value in pairs(schema) do
    nullable[key] = value
  end
  nullable.type = { schema.type, "null" }
  return nullable
end


-- What may be this, or null.
function M.optional(schema)
  return { anyOf = { M.of(schema), { type = "null" } } }
end


-- One of some texts.
function M.choice(...)
  return { type = "string", enum = { ... } }
end


-- A list, of so many entries at most.
function M.list(kind, most)
  return { type = "array", items = M.of(kind), maxItems = most }
end


-- Any number of members, each of the same kind.
function M.map(kind)
  return { type = "object", additionalProperties = M.of(kind) }
end


-- An object. Members by name: those of `members` are always there, those of `optional` perhaps.
function M.object(members, optional)
  local properties, required = {}, json.array()
  for name, kind in pairs(members) do
    properties[name] = M.of(kind)
    required[#required + 1] = name
  end
  for name, kind in pairs(optional or {}) do
    properties[name] = M.of(kind)
  end
  table.sort(required)
  return { type = "object", properties = properties, required = #required > 0 and required or nil }
end


-- Answers -----------------------------------------------------------------------------------------


-- 200 with `{"data": …}`.
function M.data(kind, description)
  return { [200] = { description = description or "As asked.", schema = M.object { data = kind } } }
end


-- 200 with a page of a list.
function M.page(kind)
  return { [200] = { description = "A page of the list.", schema = M.object {
    data = M.list(kind), next_cursor = "text?",
  } } }
end


-- 204.
function M.nothing(description)
  return { [204] = { description = description } }
end


-- The parameters of a list that exchange.list makes.
M.PAGE = {
  { name = "limit", schema = { type = "integer", minimum = 1, maximum = 500, default = 50 },
    description = "The most entries of the page." },
  { name = "cursor", schema = { type = "string" }, description = "`next_cursor` of the page before." },
}


return M
