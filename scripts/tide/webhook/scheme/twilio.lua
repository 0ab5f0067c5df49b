-- Twilio: X-Twilio-Signature over the address and the form, or over the address with the digest of the
-- body in it.

local crypto = require "tide.crypto"
local http = require "tide.http"
local mac = require "tide.webhook.mac"
local sorted = require "tide.sorted"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local HEADER = "X-Twilio-Signature"
local FORM = "application/x-www-form-urlencoded"
local FORM_BYTES_MAX = 1024 * 1024
local PORTS = { http = ":80", https = ":443" }


-- The address as it came, and with the port that it lacks or without that which it has.
local function addresses_of(url)
  local scheme, host, rest = url:match("^(https?)://([^/?#]*)(.*)$")
  if not scheme then
    return { url }
  end
  local bare = host:match("^(.*):%d+$")
  local other = bare or host .. PORTS[scheme]
  return { url, scheme .. "://" .. other .. rest }
end


-- Each value once, sorted.
local function distinct(values)
  local seen, list = {}, {}
  for _, value in ipairs(values) do
    if not seen[value] then
      seen[value] = true
      list[#list + 1] = value
    end
  end
  table.sort(list)
  return list
end


-- What is signed of a form after the address; nil and what is wrong with it.
local function form_text(body)
  if #body > FORM_BYTES_MAX then
    return nil, "the form is longer than 1 MiB"
  end
  local form = http.decode_query(body)
  if not form then
    return nil, "the form cannot be read"
  end
  local parts = {}
  for _, name in ipairs(sorted.names(form)) do
    local values = form[name]
    for _, value in ipairs(type(values) == "table" and distinct(values) or { values }) do
      parts[#parts + 1] = name .. value
    end
  end
  return table.concat(parts)
end


local function is_form(request)
  local content_type = (request.headers or {})["content-type"] or ""
  return content_type:match("^[^;%s]*"):lower() == FORM
end


-- What the address, which is signed, says is the digest of the body; nil for nothing.
local function stated_digest(request)
  local query = request.query and #request.query <= FORM_BYTES_MAX and http.decode_query(request.query)
  return query and query.bodySHA256
end


local function is_digest(text, body)
  local digest = type(text) == "string" and crypto.from_hex(text)
  return digest and #digest == mac.BYTES.sha256 and crypto.equal(digest, crypto.digest("sha256", body))
end


-- What follows the address in what is signed; nil and a reason.
local function text_after_address(request)
  if is_form(request) then
    return form_text(request.body)
  end
  local stated = stated_digest(request)
  if stated == nil and request.body == "" or is_digest(stated, request.body) then
    return ""
  end
  return nil, "the body is no form, and bodySHA256 in the address is not its digest"
end


local function verify(request, secrets)
  local value = request.headers["x-twilio-signature"]
  if not value then
    return nil, ("header %s is missing"):format(HEADER)
  end
  local bytes, words = mac.read(value, "base64", mac.BYTES.sha1)
  if not bytes then
    return nil, ("header %s %s"):format(HEADER, words)
  end
  local text, fault = text_after_address(request)
  if not text then
    return nil, fault
  end
  local id, reason
  for _, url in ipairs(addresses_of(request.url)) do
    id, reason = mac.match("sha1", secrets.secret, url .. text, { bytes })
    if id then
      return id
    end
  end
  return nil, reason
end


local function sign(request, secret)
  local url, text = request.url, ""
  if is_form(request) then
    text = form_text(request.body) or error("the form cannot be read", 2)
  elseif request.body ~= "" then
    url = url .. (url:find("?", 1, true) and "&" or "?") .. "bodySHA256="
      .. crypto.hex(crypto.digest("sha256", request.body))
  end
  return { [HEADER] = mac.write("sha1", secret.secret, url .. text, "base64") }, request.body, url
end


local function status_of(payload)
  return payload.MessageStatus or payload.SmsStatus or payload.CallStatus
end


local function event_type(payload)
  return type(payload) == "table" and status_of(payload) or nil
end


-- One message has an event for each of its states.
local function event_id(payload)
  if type(payload) ~= "table" then
    return nil
  end
  local id, status = payload.MessageSid or payload.SmsSid or payload.CallSid, status_of(payload)
  if type(id) ~= "string" then
    return nil
  end
  return type(status) == "string" and id .. ":" .. status or id
end


function M.bind()
  return {
    verify = verify, sign = sign, signature_header = HEADER:lower(), event_type = event_type, event_id = event_id,
  }
end


return M
