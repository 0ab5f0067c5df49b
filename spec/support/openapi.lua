-- What an OpenAPI 3.1 document has to be, as far as ours use it: faults, each with the place.

local json = require "tide.json"
local schema = require "tide.schema"

local M = {}

local METHODS = { get = true, put = true, post = true, delete = true, patch = true, head = true, options = true }
local PLACES = { path = true, query = true, header = true, cookie = true }

local Check = {}
Check.__index = Check


function Check:fault(place, words, ...)
  self.faults[#self.faults + 1] = ("%s: %s"):format(place, words:format(...))
end


-- What `$ref` stands for, if it is one; nil and a fault where it leads nowhere.
function Check:resolve(value, place)
  if type(value) ~= "table" or value["$ref"] == nil then
    return value
  end
  local found = self.document
  for step in value["$ref"]:sub(3):gmatch("[^/]+") do
    found = type(found) == "table" and found[step] or nil
  end
  if found == nil then
    self:fault(place, "%s leads nowhere", value["$ref"])
  end
  return found
end


-- A schema with what it refers to in its place.
function Check:whole(value, place)
  value = self:resolve(value, place)
  if type(value) ~= "table" then
    return value
  end
  local copy = json.is_array(value) and json.array() or {}
  for key, member in pairs(value) do
    copy[key] = self:whole(member, place .. "/" .. key)
  end
  return copy
end


function Check:text(members, name, place)
  if type(members[name]) ~= "string" or members[name] == "" then
    self:fault(place, "has no %s", name)
  end
end


function Check:members(members, known, place)
  for name in pairs(members) do
    if not known[name] and not name:find("^x%-") then
      self:fault(place, "has a member %s", name)
    end
  end
end


function Check:schema(definition, place)
  local whole = self:whole(definition, place)
  local compiled, message = schema.compile(whole, place)
  if not compiled then
    self:fault(place, "%s", message)
  end
  return compiled
end


function Check:content(content, place)
  for kind, entry in pairs(content) do
    if not kind:find("^[%w*.+-]+/[%w*.+-]+$") then
      self:fault(place, "%s is no media type", kind)
    end
    self:members(entry, { schema = true, example = true, examples = true, encoding = true }, place)
    local compiled = entry.schema ~= nil and self:schema(entry.schema, place .. "/" .. kind)
    if compiled and entry.example ~= nil and compiled:validate(entry.example) == nil then
      self:fault(place, "the example does not fit the schema")
    end
  end
end


function Check:header(header, place)
  header = self:resolve(header, place) or {}
  self:members(header, { description = true, schema = true, required = true, deprecated = true }, place)
  self:schema(header.schema, place)
end


function Check:answer(answer, place)
  answer = self:resolve(answer, place) or {}
  self:members(answer, { description = true, headers = true, content = true, links = true }, place)
  self:text(answer, "description", place)
  for name, header in pairs(answer.headers or {}) do
    self:header(header, place .. "/headers/" .. name)
  end
  self:content(answer.content or {}, place)
end


-- One parameter; those of the path are noted in `in_path`.
function Check:parameter(parameter, in_path, place)
  parameter = self:resolve(parameter, place) or {}
  self:members(parameter, { name = true, ["in"] = true, description = true, required = true, schema = true }, place)
  self:text(parameter, "name", place)
  self:text(parameter, "description", place .. "/" .. tostring(parameter.name))
  self:schema(parameter.schema, place)
  if not PLACES[parameter["in"]] then
    self:fault(place, "is in %s", tostring(parameter["in"]))
  end
  if parameter["in"] == "path" then
    in_path[parameter.name] = true
    if parameter.required ~= true then
      self:fault(place, "a parameter of the path must be required")
    end
  end
  return parameter["in"] .. " " .. parameter.name
end


function Check:parameters(list, path, place)
  local in_path, seen = {}, {}
  for index, parameter in ipairs(list) do
    local key = self:parameter(parameter, in_path, ("%s/parameters/%d"):format(place, index))
    if seen[key] then
      self:fault(place, "the parameter %s comes twice", key)
    end
    seen[key] = true
  end
  for name in path:gmatch("{([^}]*)}") do
    if not in_path[name] then
      self:fault(place, "{%s} is not described", name)
    end
    in_path[name] = nil
  end
  for name in pairs(in_path) do
    self:fault(place, "the path has no {%s}", name)
  end
end


function Check:security(list, place)
  if not json.is_array(list) then
    return self:fault(place, "security is no list")
  end
  for _, requirement in ipairs(list) do
    for name, roles in pairs(requirement) do
      if not self.document.components.securitySchemes[name] or not json.is_array(roles) then
        self:fault(place, "security asks for an unknown %s", name)
      end
    end
  end
end


local OPERATION = { operationId = true, tags = true, summary = true, description = true, parameters = true,
  requestBody = true, responses = true, security = true, deprecated = true }


function Check:operation(operation, path, place)
  self:members(operation, OPERATION, place)
  self:text(operation, "summary", place)
  self:text(operation, "operationId", place)
  if self.ids[operation.operationId] then
    self:fault(place, "%s is the id of another operation too", operation.operationId)
  end
  self.ids[operation.operationId] = true
  for _, tag in ipairs(operation.tags) do
    if not self.tags[tag] then
      self:fault(place, "the tag %s is not described", tag)
    end
  end
  self:parameters(operation.parameters or {}, path, place)
  self:security(operation.security, place)
  if operation.requestBody then
    self:content(operation.requestBody.content, place .. "/requestBody")
  end
  local count = 0
  for status, answer in pairs(operation.responses) do
    count = count + 1
    if not status:find("^[1-5]%d%d$") then
      self:fault(place, "%s is no status", status)
    end
    self:answer(answer, place .. "/responses/" .. status)
  end
  if count == 0 then
    self:fault(place, "has no answers")
  end
end


function Check:paths()
  local shapes = {}
  for path, item in pairs(self.document.paths) do
    local shape = path:gsub("{[^}]*}", "{}")
    if shapes[shape] or path:sub(1, 1) ~= "/" then
      self:fault(path, "is no path of its own")
    end
    shapes[shape] = true
    for method, operation in pairs(item) do
      if not METHODS[method] then
        self:fault(path, "%s is no method", method)
      else
        self:operation(operation, path, method:upper() .. " " .. path)
      end
    end
  end
end


local TOP = { openapi = true, info = true, jsonSchemaDialect = true, servers = true, tags = true, paths = true,
  components = true }


--- What is wrong with a document; an empty list when it is sound.
---@param document table decoded
---@return string[]
function M.faults(document)
  local check = setmetatable({ document = document, faults = {}, ids = {}, tags = {} }, Check)
  check:members(document, TOP, "document")
  if document.openapi ~= "3.1.0" then
    check:fault("document", "openapi is %s", tostring(document.openapi))
  end
  check:text(document.info, "title", "info")
  check:text(document.info, "version", "info")
  for _, tag in ipairs(document.tags or {}) do
    if check.tags[tag.name] then
      check:fault("tags", "%s comes twice", tag.name)
    end
    check.tags[tag.name] = true
  end
  check:paths()
  for name, answer in pairs(document.components.responses) do
    check:answer(answer, "components/responses/" .. name)
  end
  table.sort(check.faults)
  return check.faults
end


-- The same schema with no member that it does not name.
local function closed(definition)
  if type(definition) ~= "table" then
    return definition
  end
  local copy = json.is_array(definition) and json.array() or {}
  for key, member in pairs(definition) do
    copy[key] = closed(member)
  end
  if copy.additionalProperties == nil and (copy.properties or copy.type == "object") then
    copy.additionalProperties = copy.properties == nil
  end
  return copy
end


--- What an answer has that its description does not say, or the reverse; nil when they agree.
---@param document table
---@param path string as the document has it
---@param method string
---@param status integer
---@param body any decoded
---@return string|nil
function M.disagreement(document, path, method, status, body)
  local check = setmetatable({ document = document, faults = {} }, Check)
  local answer = document.paths[path][method:lower()].responses[tostring(status)]
  if not answer then
    return ("%s %s says nothing of %d"):format(method, path, status)
  end
  answer = check:whole(answer, path)
  local entry = answer.content and (answer.content["application/json"] or answer.content["application/problem+json"])
  if not entry then
    return type(body) == "table" and ("%s %s answers JSON"):format(method, path) or nil
  end
  -- A problem is all of its parts together, of which one names the members.
  local definition = entry.schema.allOf and entry.schema or closed(entry.schema)
  local compiled = assert(schema.compile(definition))
  local _, faults = compiled:validate(body)
  return faults and ("%s %s %d: %s %s"):format(method, path, status, faults[1].pointer, faults[1].detail) or nil
end


return M
