-- Amazon SNS over HTTPS: the message is signed with the key of a certificate that SNS names and serves.
-- Subscriptions are confirmed, once they are verified.

local crypto = require "tide.crypto"
local errors = require "tide.errors"
local http = require "tide.http"
local json = require "tide.json"
local log = require "tide.log"
local time = require "tide.time"
local uuid = require "tide.uuid"
local certificates = require "tide.webhook.scheme.sns_certificates"
local public_key = require "tide.webhook.public_key"
local timestamp = require "tide.webhook.timestamp"

local M = {}

local ALGORITHMS = { ["1"] = "rsa-sha1", ["2"] = "rsa-sha256" }
-- SNS sends again for a long time, under the first time-stamp.
local TOLERANCE_SECONDS_MIN = 3600
local RETRY_AFTER_SECONDS = 10

-- What is signed, in this order; Subject only where there is one.
local NOTIFICATION = { "Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type" }
local CONFIRMATION = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" }
local SIGNED = {
  Notification = NOTIFICATION, SubscriptionConfirmation = CONFIRMATION, UnsubscribeConfirmation = CONFIRMATION,
}
local OPTIONAL = { Subject = true }


-- Messages ----------------------------------------------------------------------------------------


local function decode(body)
  local message = json.decode(body, { null = "absent" })
  return type(message) == "table" and message or nil
end


-- The text that is signed; nil and what is wrong with the message.
local function canonical(message)
  local names = SIGNED[message.Type]
  if not names then
    return nil, "the Type of the message is none of SNS"
  end
  local parts = {}
  for _, name in ipairs(names) do
    local value = message[name]
    if type(value) == "string" then
      parts[#parts + 1] = name .. "\n" .. value .. "\n"
    elseif value ~= nil or not OPTIONAL[name] then
      return nil, ("the message has no text %s"):format(name)
    end
  end
  return table.concat(parts)
end


-- The algorithm and the bytes of the signature; nil and what is wrong with them.
local function signature_of(message)
  local algorithm = ALGORITHMS[message.SignatureVersion]
  if not algorithm then
    return nil, "the SignatureVersion is neither 1 nor 2"
  end
  local bytes = type(message.Signature) == "string" and crypto.from_base64(message.Signature)
  if not bytes then
    return nil, "the Signature is not base64"
  end
  return algorithm, bytes
end


-- Verifying ---------------------------------------------------------------------------------------


local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end


-- What can be refused before anything is fetched: true, or nil and why.
local function check(message, topics, now, tolerance_seconds)
  if not contains(topics, message.TopicArn) then
    return nil, "the TopicArn is none of the topics"
  end
  local tolerance = math.max(tolerance_seconds, TOLERANCE_SECONDS_MIN)
  return timestamp.check(time.parse(message.Timestamp), now, tolerance)
end


-- Whether the certificate that the message names made its signature.
local function is_authentic(message, content, store)
  local algorithm, signature = signature_of(message)
  if not algorithm then
    return nil, signature
  end
  local certificate, reason, code = store:find(message.SigningCertURL)
  if not certificate then
    return nil, reason, code
  end
  local valid = crypto.verify(algorithm, certificate, content, signature)
  if not valid then
    return nil, "the signature is not that of the certificate"
  end
  return true
end


local function verifier(topics, store)
  return function(request, _, now)
    local message = decode(request.body)
    if not message then
      return nil, "the body is not a JSON object"
    end
    local content, fault = canonical(message)
    if not content then
      return nil, fault
    end
    local ok, reason, code = check(message, request.topics or topics, now, request.tolerance_seconds)
    if ok then
      ok, reason, code = is_authentic(message, content, store)
    end
    if ok then
      return "certificate"
    end
    return nil, reason, code
  end
end


-- Subscriptions -----------------------------------------------------------------------------------


local function failed(request, message, words)
  log.warn("a subscription could not be confirmed", {
    topic = message.TopicArn, error = words, trace_id = request.trace_id,
  })
  local err = errors.new("unavailable", "the subscription could not be confirmed: " .. words)
  return {
    status = 503,
    headers = { ["Content-Type"] = "application/problem+json", ["Retry-After"] = tostring(RETRY_AFTER_SECONDS) },
    body = json.encode(errors.problem(err, { trace_id = request.trace_id })),
  }
end


local function done()
  return { status = 200, headers = { ["Content-Type"] = "text/plain; charset=utf-8" }, body = "" }
end


-- SNS sends again what was answered with 503.
local function confirm(request, message, get)
  if not certificates.is_address(message.SubscribeURL) then
    return failed(request, message, "SubscribeURL is not an address of SNS")
  end
  local body, words = get(message.SubscribeURL)
  if not body then
    return failed(request, message, words)
  end
  log.info("a subscription was confirmed", { topic = message.TopicArn, trace_id = request.trace_id })
  return done()
end


-- What is not posted is not verified either.
local function handshaker(get)
  return function(request)
    if request.method ~= "POST" or not request.body:find("Confirmation", 1, true) then
      return nil
    end
    local message = decode(request.body)
    if message and message.Type == "SubscriptionConfirmation" then
      return confirm(request, message, get)
    end
    return message and message.Type == "UnsubscribeConfirmation" and done() or nil
  end
end


-- Signing -----------------------------------------------------------------------------------------


local SAMPLE_CERTIFICATE = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-sample.pem"


-- A message as SNS would send it; a body that is none becomes the Message of a notification.
local function envelope_of(body, topics, now)
  local message = decode(body)
  if not message or not SIGNED[message.Type] then
    message = { Type = "Notification", Message = body }
  end
  message.MessageId = message.MessageId or uuid.v4()
  message.TopicArn = message.TopicArn or topics[1]
  message.Timestamp = time.format(now)
  message.SignatureVersion = "2"
  message.SigningCertURL = message.SigningCertURL or SAMPLE_CERTIFICATE
  return message
end


local function signer(topics)
  return function(request, secret, now)
    local message = envelope_of(request.body, topics, now)
    local content, fault = canonical(message)
    if not content then
      error(fault, 2)
    end
    message.Signature = crypto.base64(public_key.sign("rsa-sha256", secret.secret, content))
    return {
      ["Content-Type"] = "text/plain; charset=UTF-8", ["x-amz-sns-message-type"] = message.Type,
      ["x-amz-sns-message-id"] = message.MessageId, ["x-amz-sns-topic-arn"] = message.TopicArn,
    }, assert(json.encode(message))
  end
end


-- Binding -----------------------------------------------------------------------------------------


-- Fetches from SNS and from nowhere else: the body; nil, what went wrong, and "refused" when SNS says that
-- there is nothing.
local function fetch(url)
  local parsed = http.parse_url(url)
  local response, message = http.request({
    method = "GET", url = url, hosts = { parsed.host }, private = "deny",
    timeout_seconds = 5, max_response_bytes = 64 * 1024,
  })
  if not response then
    return nil, message
  end
  if response.status < 200 or response.status > 299 then
    return nil, ("%s answered %d"):format(parsed.host, response.status),
      response.status >= 400 and response.status < 500 and response.status ~= 429 and "refused" or nil
  end
  return response.body
end


--- The scheme. `fetch(url)` gives the body of an address; nil, a message and "refused" when it is not
--- there. Left out, it is fetched over HTTPS. `verify` gives "unavailable" as its third result when SNS
--- shall send again: to it a 4xx is final.
---@param options? { fetch?: fun(url: string): string|nil, string?, string? }
function M.new(options)
  local get = options and options.fetch or fetch
  local store = certificates.new(get)
  return {
    fields = { topics = "texts" }, required = { "topics" },
    bind = function(definition)
      local topics = type(definition.topics) == "string" and { definition.topics }
        or table.move(definition.topics, 1, #definition.topics, 1, {})
      return {
        verify = verifier(topics, store), sign = signer(topics), handshake = handshaker(get), waits = true,
        event_type = "Type", event_id = "MessageId",
      }
    end,
  }
end


return M
