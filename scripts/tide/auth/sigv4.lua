-- AWS Signature Version 4: each request is signed as it is sent.

local crypto = require "tide.crypto"
local http = require "tide.http"
local errors = require "tide.errors"
local secrets = require "tide.secrets"
local time = require "tide.time"
local request_of = require "tide.upstream.request"
local paths = require "tide.upstream.path"

local M = {}

local ALGORITHM = "AWS4-HMAC-SHA256"
-- Headers that are signed when they are there, besides host and x-amz-*; proxies may change others.
local SIGNED = { ["content-type"] = true, ["content-md5"] = true }


-- The canonical request -------------------------------------------------------------------------


local function hex_digest(bytes)
  return crypto.hex(crypto.digest("sha256", bytes))
end


local function decode_percent(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end


-- The path that is signed for a path as sent. S3 signs names as they are, encoded once; the others
-- encode the path once more, without the empty segments and dots that they do not look at.
function M.canonical_path(path, service)
  local decode = service == "s3"
  return ((decode and path or paths.normalise(path)):gsub("[^/]+", function(segment)
    return http.encode(decode and decode_percent(segment) or segment)
  end))
end


local function before(left, right)
  if left[1] ~= right[1] then
    return left[1] < right[1]
  end
  return left[2] < right[2]
end


-- A query with each name and value encoded in the one way that is signed, sorted by both; nil and
-- a message when it cannot be read.
function M.canonical_query(query)
  local decoded, message = http.decode_query(query or "")
  if decoded == nil then
    return nil, message
  end
  local pairs_of = {}
  for name, values in pairs(decoded) do
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      pairs_of[#pairs_of + 1] = { http.encode(name), http.encode(value) }
    end
  end
  table.sort(pairs_of, before)
  for index, pair in ipairs(pairs_of) do
    pairs_of[index] = pair[1] .. "=" .. pair[2]
  end
  return table.concat(pairs_of, "&")
end


-- The canonical request, and the names of its headers. `request`: method, path and query
-- (canonical), headers (by lower-case name: those that are signed), body_digest (hexadecimal).
function M.canonical_request(request)
  local names, lines = {}, {}
  for name in pairs(request.headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  for index, name in ipairs(names) do
    lines[index] = name .. ":" .. request.headers[name]:match("^%s*(.-)%s*$"):gsub(" +", " ") .. "\n"
  end
  local signed = table.concat(names, ";")
  return table.concat({
    request.method, request.path, request.query, table.concat(lines), signed, request.body_digest,
  }, "\n"), signed
end


-- Signing ---------------------------------------------------------------------------------------


-- `date` is "20150830".
function M.signing_key(secret_key, date, region, service)
  local key = "AWS4" .. secret_key
  for _, part in ipairs({ date, region, service, "aws4_request" }) do
    key = crypto.hmac("sha256", key, part)
  end
  return key
end


-- `at` is "20150830T123600Z", `scope` "20150830/REGION/SERVICE/aws4_request".
function M.signature(key, at, scope, canonical_request)
  local text = table.concat({ ALGORITHM, at, scope, hex_digest(canonical_request) }, "\n")
  return crypto.hex(crypto.hmac("sha256", key, text))
end


local function host_of(request, parsed)
  for name, value in pairs(request.headers) do
    if name:lower() == "host" then
      return value
    end
  end
  return parsed.origin:match("://(.*)$")
end


local function signed_headers(request, parsed)
  local headers = { host = host_of(request, parsed) }
  for name, value in pairs(request.headers) do
    name = name:lower()
    if SIGNED[name] or name:match("^x%-amz%-") then
      headers[name] = value
    end
  end
  return headers
end


-- Makes the address of the request the one that is signed: the query in canonical form, for S3 the
-- path too. What is sent can then not differ from it. Returns path and query, canonical.
local function settle_address(request, parsed, service)
  local path = M.canonical_path(parsed.path, service)
  local query, message = M.canonical_query(parsed.query)
  if query == nil then
    error(errors.new("script_error", string.format("%s: the query cannot be signed: %s", request.name, message)), 0)
  end
  local sent_path = service == "s3" and path or parsed.path
  request.url = request_of.join(parsed.origin .. sent_path, query)
  request.query = {}
  return path, query
end


local function add_amazon_headers(request, definition, session_token, at, body_digest)
  request_of.set_header(request, "X-Amz-Date", at)
  if session_token then
    request_of.set_header(request, "X-Amz-Security-Token", session_token)
  end
  if definition.service == "s3" then
    request_of.set_header(request, "X-Amz-Content-Sha256", body_digest)
  end
end


-- The keys of the moment: `access_key, signing_key, session_token`. The signing key is kept while
-- secret and day are the same.
local function keeper(integration, definition)
  local kept = {}
  return function(date)
    local secret_key, version = secrets.current(integration, definition.secret_key)
    if kept.version ~= version or kept.date ~= date then
      kept = {
        version = version,
        date = date,
        key = M.signing_key(secret_key, date, definition.region, definition.service),
      }
    end
    return secrets.value(integration, definition.access_key), kept.key,
      definition.session_token and secrets.value(integration, definition.session_token)
  end
end


function M.bind(integration, definition)
  local keys = keeper(integration, definition)
  local function apply(_, _, request)
    local at = time.strftime("%Y%m%dT%H%M%SZ")
    local date = at:sub(1, 8)
    local access_key, signing_key, session_token = keys(date)
    local body_digest = hex_digest(request.body or "")
    local parsed = http.parse_url(request_of.full_url(request))
    local path, query = settle_address(request, parsed, definition.service)
    add_amazon_headers(request, definition, session_token, at, body_digest)
    local canonical, names = M.canonical_request({
      method = request.method, path = path, query = query,
      headers = signed_headers(request, parsed), body_digest = body_digest,
    })
    local scope = string.format("%s/%s/%s/aws4_request", date, definition.region, definition.service)
    request_of.set_header(request, "Authorization", string.format("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
      ALGORITHM, access_key, scope, names, M.signature(signing_key, at, scope, canonical)))
  end
  return { apply = apply }
end


return M
