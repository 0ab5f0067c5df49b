-- What a script asks for, made into a request: address, query, headers, body.

local json = require "tide.json"
local crypto = require "tide.crypto"
local host = require "tide.host"
local http = require "tide.http"
local errors = require "tide.errors"
local script = require "tide.script"
local view = require "tide.view"
local settings = require "tide.settings"

local M = {}

--- The options of a request, each with the type of its value.
M.OPTIONS = {
  params = "table", query = "table", headers = "table", json = "any", form = "table", body = "string",
  multipart = "table", auth = "any", timeout_seconds = "number", expect = "any",
}
local BODIES = { "json", "form", "body", "multipart" }
local USER_AGENT = "tidegate/" .. tostring(host.version)


local function check_options(options)
  for name, value in pairs(options) do
    local wanted = M.OPTIONS[name]
    if wanted == nil then
      script.misuse(string.format("ctx.http: unknown option %q", tostring(name)))
    end
    if wanted ~= "any" and type(value) ~= wanted then
      script.misuse(string.format("ctx.http: %s must be a %s, got %s", name, wanted, type(value)))
    end
  end
  local given
  for _, name in ipairs(BODIES) do
    if options[name] ~= nil then
      if given then
        script.misuse(string.format("ctx.http: give %s or %s, not both", given, name))
      end
      given = name
    end
  end
end


local function check_expect(expect)
  if expect ~= nil and expect ~= "any" and type(expect) ~= "table" then
    script.misuse('ctx.http: expect must be a list of statuses or "any"')
  end
end


-- Numbers as people write them: 3.0 is 3. `who` is what a misuse is one of: "ctx.http", "auth".
local function text_of(value, what, who)
  if math.type(value) == "float" and math.tointeger(value) then
    value = math.tointeger(value)
  end
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    script.misuse(string.format("%s: %s must be text or a number, got %s", who or "ctx.http", what, kind))
  end
  return tostring(value)
end


-- A value that is a step in the path, or nothing, would make another address of it.
local function param(name, value)
  if value == nil then
    script.misuse(string.format("ctx.http: the path needs params.%s", name))
  end
  local text = text_of(value, "params." .. name)
  if text == "" or text == "." or text == ".." then
    error(errors.new("invalid_input", string.format("%q cannot be used as %s", text, name)), 0)
  end
  return http.encode(text)
end


local function fill(path, params)
  local filled = path:gsub("{([%w_]+)}", function(name)
    return param(name, params and params[name])
  end)
  local before_query = filled:match("^[^?#]*")
  for segment in before_query:gmatch("[^/]+") do
    if segment == "." or segment == ".." then
      script.misuse("ctx.http: a path may not contain . or ..: " .. path)
    end
  end
  return filled
end


local function join(url, query)
  if query == nil or query == "" then
    return url
  end
  return url .. (url:find("?", 1, true) and "&" or "?") .. query
end

M.join = join


local function missing_base_url(integration)
  return errors.new("not_configured", string.format("%s has no base_url: set it in config.lua or by %s",
    integration.name, settings.variable(integration.name, "base_url")))
end


-- The absolute address of `path`, and what messages call it.
local function address(call, bound, path, params)
  if type(path) ~= "string" then
    script.misuse("ctx.http: the path must be a string, got " .. type(path))
  end
  local filled = fill(path, params)
  if filled:match("^[%a][%w+.-]*://") then
    return filled, filled:match("^[^:]+://[^/?#]*")
  end
  if bound.base == nil then
    error(missing_base_url(call.integration), 0)
  end
  local separator = filled:sub(1, 1) == "/" and "" or filled ~= "" and "/" or ""
  return join(bound.base.url .. separator .. filled, bound.base.query), path:match("^[^?#]*")
end

M.address = address


local function query_of(query, who)
  local result = {}
  for name, value in pairs(query or {}) do
    if type(value) == "table" then
      local list = {}
      for index, item in ipairs(value) do
        list[index] = text_of(item, "query." .. tostring(name), who)
      end
      result[name] = list
    else
      result[name] = text_of(value, "query." .. tostring(name), who)
    end
  end
  return result
end

M.query_of = query_of


-- Sets a header, in place of one that differs only in case.
function M.set_header(request, name, value)
  local wanted = name:lower()
  for other in pairs(request.headers) do
    if other:lower() == wanted then
      request.headers[other] = nil
    end
  end
  request.headers[name] = value
end


function M.has_header(request, name)
  name = name:lower()
  for other in pairs(request.headers) do
    if other:lower() == name then
      return true
    end
  end
  return false
end


local function default_header(request, name, value)
  if not M.has_header(request, name) then
    request.headers[name] = value
  end
end


local function headers_of(headers, who)
  local result = {}
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" then
      script.misuse((who or "ctx.http") .. ": headers is a table of names and values")
    end
    result[name] = text_of(value, "headers." .. name, who)
    if result[name]:find("[%z\r\n]") then
      script.misuse((who or "ctx.http") .. ": the header " .. name .. " contains a line break")
    end
  end
  return result
end

M.headers_of = headers_of


-- A name inside Content-Disposition, escaped as browsers do.
local function quoted(text)
  return '"' .. text:gsub('[\r\n"]', { ["\r"] = "%0D", ["\n"] = "%0A", ['"'] = "%22" }) .. '"'
end


local function part_of(part)
  if type(part) ~= "table" or type(part.name) ~= "string" or part.body == nil then
    script.misuse("ctx.http: each part of multipart is { name, body, filename, content_type }")
  end
  local lines = { "Content-Disposition: form-data; name=" .. quoted(part.name) }
  if part.filename then
    lines[1] = lines[1] .. "; filename=" .. quoted(part.filename)
  end
  if part.filename or part.content_type then
    local content_type = part.content_type or "application/octet-stream"
    if content_type:find("[\r\n]") then
      script.misuse("ctx.http: content_type contains a line break")
    end
    lines[2] = "Content-Type: " .. content_type
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. text_of(part.body, "body") .. "\r\n"
end


local function multipart(parts)
  local boundary = "tidegate-" .. crypto.hex(crypto.random(16))
  local pieces = {}
  for _, part in ipairs(parts) do
    pieces[#pieces + 1] = "--" .. boundary .. "\r\n" .. part_of(part)
  end
  pieces[#pieces + 1] = "--" .. boundary .. "--\r\n"
  return table.concat(pieces), "multipart/form-data; boundary=" .. boundary
end


local function body_of(options)
  if options.json ~= nil then
    local text, message = json.encode(view.plain(options.json))
    if text == nil then
      script.misuse("ctx.http: json cannot be encoded: " .. message)
    end
    return text, "application/json"
  end
  if options.form then
    return http.encode_query(query_of(options.form)), "application/x-www-form-urlencoded"
  end
  if options.multipart then
    return multipart(options.multipart)
  end
  return options.body
end


-- The request of `ctx.http.<method>(path, options)`; misuse is raised at the script's line.
function M.new(call, bound, method, path, options)
  if type(method) ~= "string" or not method:match("^%u+$") then
    script.misuse("ctx.http: the method must be upper-case letters")
  end
  options = options or {}
  if type(options) ~= "table" then
    script.misuse("ctx.http: options must be a table, got " .. type(options))
  end
  check_options(options)
  check_expect(options.expect)
  local url, name = address(call, bound, path, options.params)
  local body, content_type = body_of(options)
  local request = {
    method = method,
    url = url,
    query = query_of(options.query),
    headers = headers_of(options.headers),
    body = body,
    name = method .. " " .. name,
    timeout_seconds = options.timeout_seconds,
    expect = options.expect,
    auth = options.auth,
    follows = true,
  }
  if content_type then
    default_header(request, "Content-Type", content_type)
  end
  default_header(request, "User-Agent", USER_AGENT)
  return request
end


-- A copy that credentials can be added to without leaving them in the original.
function M.copy(request)
  local result = {}
  for key, value in pairs(request) do
    result[key] = value
  end
  result.headers = {}
  for name, value in pairs(request.headers) do
    result.headers[name] = value
  end
  result.query = {}
  for name, value in pairs(request.query) do
    result.query[name] = value
  end
  return result
end


function M.full_url(request)
  if next(request.query) == nil then
    return request.url
  end
  return join(request.url, http.encode_query(request.query))
end


-- Headers as pairs, sorted, so that the same request looks the same on the wire.
function M.header_list(request)
  local names = {}
  for name in pairs(request.headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  local list = {}
  for index, name in ipairs(names) do
    list[index] = { name, request.headers[name] }
  end
  return list
end


return M
