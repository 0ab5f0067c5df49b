-- A keyed digest of the request in a header; most presets are one of these.

local crypto = require "tide.crypto"
local contents = require "tide.webhook.signed_content"
local mac = require "tide.webhook.mac"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = {
  algorithm = { "sha256", "sha1", "sha384", "sha512" }, header = "header", encoding = { "hex", "base64" },
  prefix = "text", content = "text", timestamp_header = "header", id_header = "header", secret = "secret",
  secret_encoding = { "text", "base64", "hex" },
}
M.required = { "header" }

local KEYS = { base64 = mac.from_base64, hex = crypto.from_hex }


-- Checking ----------------------------------------------------------------------------------------


-- A header that is read and not signed could be changed; one that is signed must be read.
local function pairing_fault(names, definition, name, field)
  if names[name] and definition[field] == nil then
    return { field = "content", words = ("{%s} needs the field %s"):format(name, field) }
  end
  if definition[field] ~= nil and not names[name] then
    return { field = field, words = ("is not signed: content has no {%s}"):format(name) }
  end
end


-- What is wrong with fields that are each right.
function M.check(definition)
  local template = definition.content or "{body}"
  local words = contents.fault(template)
  if words then
    return { { field = "content", words = words } }
  end
  local names = contents.names(template)
  local faults = {}
  faults[1] = pairing_fault(names, definition, "timestamp", "timestamp_header")
  faults[#faults + 1] = pairing_fault(names, definition, "id", "id_header")
  return faults
end


-- Verifying ---------------------------------------------------------------------------------------


-- The texts after the prefix, of a list that is separated by commas.
local function split(text, prefix)
  local texts = {}
  for item in text:gmatch("[^,%s]+") do
    if item:sub(1, #prefix) == prefix then
      texts[#texts + 1] = item:sub(#prefix + 1)
    end
  end
  return texts
end


-- A function that reads the signatures of a header's value: a list of bytes, or nil and what is wrong.
local function signature_reader(encoding, length, prefix)
  local is_list = not prefix:find("[,%s]")
  local usual_length = #prefix + mac.text_length(encoding, length)
  return function(text)
    if is_list and #text ~= usual_length and text:find("[,%s]") then
      return mac.read_all(split(text, prefix), encoding, length)
    end
    if text:sub(1, #prefix) ~= prefix then
      return nil, "does not begin with " .. prefix
    end
    local bytes, words = mac.read(text:sub(#prefix + 1), encoding, length)
    return bytes and { bytes }, words
  end
end


local function missing(name)
  return nil, ("header %s is missing"):format(name)
end


-- A function that gives the time-stamp of a request; nil and why it is refused.
local function stamp_reader(name, time_of)
  local key = name:lower()
  return function(request, now)
    local stamp = request.headers[key]
    if not stamp then
      return missing(name)
    end
    local fresh, reason = timestamp.check(time_of(stamp), now, request.tolerance_seconds)
    return fresh and stamp, reason
  end
end


local function is_id(id, borders)
  for _, border in ipairs(borders) do
    if id:find(border, 1, true) then
      return false
    end
  end
  return id ~= ""
end


-- The same of the id.
local function id_reader(name, borders)
  local key = name:lower()
  return function(request)
    local id = request.headers[key]
    if not id then
      return missing(name)
    end
    if not is_id(id, borders) then
      return nil, ("header %s is empty, or has what separates it from the rest"):format(name)
    end
    return id
  end
end


local function verifier(definition)
  local algorithm, template = definition.algorithm or "sha256", definition.content or "{body}"
  local header, decode = definition.header, KEYS[definition.secret_encoding]
  local key, content = header:lower(), contents.compile(template)
  local read = signature_reader(definition.encoding or "hex", mac.BYTES[algorithm], definition.prefix or "")
  local read_stamp = definition.timestamp_header
    and stamp_reader(definition.timestamp_header, definition.time_of or contents.time_reader(template))
  local read_id = definition.id_header and id_reader(definition.id_header, contents.borders_of_id(template))
  return function(request, secrets, now)
    local text = request.headers[key]
    if not text then
      return missing(header)
    end
    local given, reason = read(text)
    if not given then
      return nil, ("header %s %s"):format(header, reason)
    end
    local stamp, id
    if read_stamp then
      stamp, reason = read_stamp(request, now)
    end
    if read_id and not reason then
      id, reason = read_id(request)
    end
    if reason then
      return nil, reason
    end
    return mac.match(algorithm, secrets.secret, content(request, stamp, id), given, decode)
  end
end


-- Signing -----------------------------------------------------------------------------------------


local function signer(definition)
  local algorithm = definition.algorithm or "sha256"
  local content = contents.compile(definition.content or "{body}")
  local decode = KEYS[definition.secret_encoding]
  return function(request, secret, now)
    local key = secret.secret
    if decode then
      key = decode(key) or error("the secret is not " .. definition.secret_encoding, 2)
    end
    local stamp, headers = timestamp.write(now), {}
    local id = definition.id_header and (request.headers or {})[definition.id_header:lower()]
      or crypto.hex(crypto.random(12))
    if definition.timestamp_header then
      headers[definition.timestamp_header] = stamp
    end
    if definition.id_header then
      headers[definition.id_header] = id
    end
    headers[definition.header] = (definition.prefix or "")
      .. mac.write(algorithm, key, content(request, stamp, id), definition.encoding or "hex")
    return headers
  end
end


-- Binding -----------------------------------------------------------------------------------------


-- `definition.time_of` reads a time-stamp where a preset wants one form only.
function M.bind(definition)
  return {
    verify = verifier(definition), sign = signer(definition), signature_header = definition.header:lower(),
    event_id = definition.id_header and { header = definition.id_header } or nil,
  }
end


-- The scheme that is short for one algorithm.
function M.of(algorithm)
  local fields = {}
  for name, kind in pairs(M.fields) do
    fields[name] = name ~= "algorithm" and kind or nil
  end
  return {
    fields = fields, required = M.required, check = M.check,
    bind = function(definition)
      local whole = { algorithm = algorithm }
      for name in pairs(fields) do
        whole[name] = definition[name]
      end
      return M.bind(whole)
    end,
  }
end


-- A preset: `definition` as of hmac, and what else its scheme has.
function M.preset(definition, members)
  return {
    fields = { secret = "secret" }, required = {},
    bind = function()
      local scheme = M.bind(definition)
      for name, value in pairs(members) do
        scheme[name] = value
      end
      return scheme
    end,
  }
end


return M
