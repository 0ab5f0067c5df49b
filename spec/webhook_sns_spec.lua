local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local keys = require "spec.support.key_pairs"
local sns = require "tide.webhook.scheme.sns"
local task = require "tide.task"
local time = require "tide.time"

local TOPIC = "arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P"
local CERTIFICATE_URL = "https://sns.us-east-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
local NOW = time.parse("2019-01-31T04:37:10Z")

-- The notification of the SNS documentation, signed by `openssl dgst` with the key of our certificate.
local SIGNATURE_1 = "TvxLx3uUwkyBj3vf7z8/owReOD0pKUqo6RG+UWpwTjufOmobX30Tdu+tXh7FlCPxa5i3aVSMO6bIQTxMmyjfwve6HC"
  .. "ekzR+qPLUiojZg7pcdixRrxuRWot1OWNWCjU67be5q5k7hcs9QJcGACG7/P7fLOI485Qq6z1riY3GZTtlgarB5d+55"
  .. "UIzyq6ZXoRssnonQ00lX82lOb0gdKB3HVxqHIr+vuxFXkVUQx2BKe757T2+Zg70ZMZ0AHNYw2FsPA68+1oA2b7k4Fw"
  .. "i0lNOWBKq1ksV+jdDF8Cby3FeLS8b6JOKB46LbPWNyGQ+c6dGQIbCLAtraJ++x/+oCyTWlRQ=="
local SIGNATURE_2 = "dCVnc6WpkM0+YgXZqoMEBs58WdRQcdEOLDrftq4dPbCP/9TWwSkOOmqJKpLnqsVMcezdvHLgwOU3jLzaSQQksFm1ph"
  .. "J+gs48MDbDDXONWnBuwnn0HHUOnwX+jrjwdhcvwcugpDXLmpTqY+9vYbrO68qdKyBFV1WBTnIb6Ifv9MEJINZIjYLb"
  .. "Ds+rUCanXTsW5emg1CzwOkCPwgxitb/CFYkHMKC+P/9d+fHOY5BXhT8r+wAx3G2AFLDuLNbejw3pSuBmIGCgDw8cuD"
  .. "TaP5ZJu83J2ePjNF2LI+uE0pngA6E1icGVwj279kdyP3ZD2HBFYY5k/GhqdeuFWnIpsgAgQg=="


-- A scheme whose SNS serves `files` by address: text, or a function. `seen` lists what was fetched.
local function scheme_with(files, topics)
  local seen = {}
  local module = sns.new({ fetch = function(url)
    seen[#seen + 1] = url
    local file = files[url]
    if type(file) == "function" then
      return file()
    end
    if file then
      return file
    end
    return nil, "answered 404", "refused"
  end })
  return module.bind({ scheme = "sns", topics = topics or TOPIC }), seen
end


local function certified(topics)
  return scheme_with({ [CERTIFICATE_URL] = keys.rsa_certificate }, topics)
end


local function message(changes)
  local result = {
    Type = "Notification", MessageId = "4d4dc071-ddbf-465d-bba8-08f81c89da64", TopicArn = TOPIC,
    Subject = "My subject", Message = "My Test Message", Timestamp = "2019-01-31T04:37:04.321Z",
    SignatureVersion = "2", Signature = SIGNATURE_2, SigningCertURL = CERTIFICATE_URL,
    UnsubscribeURL = "https://sns.us-east-2.amazonaws.com/?Action=Unsubscribe",
  }
  for name, value in pairs(changes or {}) do
    result[name] = value or nil
  end
  return result
end


local function request_of(content)
  return {
    method = "POST", url = "https://tidegate.example/api/v1/webhooks/ses", path = "/api/v1/webhooks/ses",
    headers = { ["content-type"] = "text/plain; charset=UTF-8" }, tolerance_seconds = 300, trace_id = ("a"):rep(32),
    body = type(content) == "table" and json.encode(content) or content,
  }
end


local function verify(scheme, content, now)
  return scheme.verify(request_of(content), {}, now or NOW)
end


local function refused(scheme, content, words, now)
  local id, reason, code = verify(scheme, content, now)
  assert.is_nil(id)
  assert.truthy(reason:find(words, 1, true), reason)
  return code
end


-- A message, signed.
local function signed(scheme, content)
  local _, body = scheme.sign(request_of(content), { secret = keys.rsa_private }, NOW)
  return body
end


local function confirmation(kind, url)
  return {
    Type = kind or "SubscriptionConfirmation", MessageId = "m", Token = "t", TopicArn = TOPIC, Message = "Confirm",
    SubscribeURL = url or "https://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&Token=t",
    SigningCertURL = CERTIFICATE_URL,
  }
end


describe("SNS over HTTPS", function()
  it("accepts a notification of either version", function()
    local scheme = certified()
    assert.equal("certificate", (verify(scheme, message())))
    assert.equal("certificate", (verify(scheme, message({ SignatureVersion = "1", Signature = SIGNATURE_1 }))))
    assert.is_true(scheme.waits)
    assert.equal("Type", scheme.event_type)
    assert.equal("MessageId", scheme.event_id)
  end)


  it("refuses a message of which anything that is signed was changed", function()
    local scheme = certified({ TOPIC, TOPIC .. "x" })
    for _, name in ipairs({ "Message", "MessageId", "Subject", "TopicArn" }) do
      refused(scheme, message({ [name] = message()[name] .. "x" }), "not that of the certificate")
    end
    refused(scheme, message({ Timestamp = "2019-01-31T04:37:04.322Z" }), "not that of the certificate")
    refused(scheme, message({ Subject = false }), "not that of the certificate")
    refused(scheme, message({ Type = "SubscriptionConfirmation" }), "no text SubscribeURL")
    refused(scheme, message({ SignatureVersion = "1" }), "not that of the certificate")
    refused(scheme, message({ Signature = SIGNATURE_2:sub(1, -5) }), "not that of the certificate")
    assert.equal("certificate", (verify(scheme, message({ UnsubscribeURL = "https://elsewhere.example" }))))
    assert.equal("certificate", (verify(scheme, json.encode(message(), { pretty = true }))))
  end)


  it("refuses what is no message of SNS", function()
    local scheme, seen = certified()
    for _, body in ipairs({ "", "x", "1", "null", "[]", "{}", '{"Type":[]}', "\0", '{"Type":"Notification"}' }) do
      local id, reason = verify(scheme, body)
      assert.is_nil(id)
      assert.equal("string", type(reason))
    end
    for _, name in ipairs({ "Message", "MessageId", "Timestamp", "TopicArn" }) do
      refused(scheme, message({ [name] = false }), name == "TopicArn" and "TopicArn" or "no text " .. name)
      refused(scheme, message({ [name] = 5 }), name)
    end
    refused(scheme, message({ SignatureVersion = "3" }), "neither 1 nor 2")
    refused(scheme, message({ SignatureVersion = false }), "neither 1 nor 2")
    refused(scheme, message({ Signature = "*" }), "not base64")
    refused(scheme, message({ Signature = false }), "not base64")
    assert.same({}, seen)
  end)


  it("refuses topics that are not its own, before anything is fetched", function()
    local scheme, seen = certified({ "arn:aws:sns:us-east-2:123456789012:other" })
    refused(scheme, message(), "none of the topics")
    assert.same({}, seen)
    local request = request_of(message())
    request.topics = { TOPIC }
    assert.equal("certificate", (scheme.verify(request, {}, NOW)))
  end)


  it("takes a message for an hour, either way, or for longer where that is set", function()
    local scheme = certified()
    local at = time.parse("2019-01-31T04:37:04.321Z")
    assert.equal("certificate", (verify(scheme, message(), at + 3600)))
    assert.equal("certificate", (verify(scheme, message(), at - 3600)))
    refused(scheme, message(), "old", at + 3601)
    refused(scheme, message(), "ahead", at - 3601)
    refused(scheme, message({ Timestamp = "yesterday" }), "cannot be read")
    local request = request_of(message())
    request.tolerance_seconds = 86400
    assert.equal("certificate", (scheme.verify(request, {}, at + 80000)))
  end)


  it("fetches certificates from SNS alone", function()
    local scheme, seen = certified()
    for _, url in ipairs({
      "http://sns.us-east-2.amazonaws.com/a.pem", "https://sns.us-east-2.amazonaws.com.evil.example/a.pem",
      "https://evil.example/sns.us-east-2.amazonaws.com/a.pem",
      "https://sns.us-east-2.amazonaws.com@evil.example/a.pem",
      "https://evil.example#.sns.us-east-2.amazonaws.com/a.pem", "https://sns.us-east-2.amazonaws.com:8443/a.pem",
      "https://xsns.us-east-2.amazonaws.com/a.pem", "https://sns.a.b.amazonaws.com/a.pem",
      "https://sns.ab.amazonaws.com/a.pem", "https://sns.us-east-2.amazonaws.com/a.crt",
      "https://sns.us-east-2.amazonaws.com/a?b.pem", "https://sns.us-east-2.amazonaws.com/a.pem?b",
      "https://sns.us-east-2.amazonaws.com/a#.pem", "https://sns.us-east-2.amazonaws.com/a.pem#",
      "https://sns.us-east-2.amazonaws.com\\@evil.example/a.pem", "https://s3.us-east-2.amazonaws.com/a.pem",
      "https://sns.us-east-2.amazonaws.com/a.pem\n", "https://sns.us-east-2.amazonaws.com/a .pem",
      "https://sns-us-east-2.amazonaws.com/a.pem", "HTTPS://sns.us-east-2.amazonaws.com/a.pem", "", "a.pem",
      "https://sns.us-east-2.amazonaws.com/" .. ("a"):rep(1024) .. ".pem",
    }) do
      refused(scheme, message({ SigningCertURL = url }), "not an address of SNS")
    end
    refused(scheme, message({ SigningCertURL = false }), "not an address of SNS")
    refused(scheme, message({ SigningCertURL = 5 }), "not an address of SNS")
    assert.same({}, seen)
    local china = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"
    scheme = scheme_with({ [china] = keys.rsa_certificate })
    assert.equal("certificate", (verify(scheme, message({ SigningCertURL = china }))))
  end)


  it("fetches a certificate once for all tasks", function()
    local scheme, seen = scheme_with({ [CERTIFICATE_URL] = function()
      task.sleep(0.02)
      return keys.rsa_certificate
    end })
    local list = {}
    for index = 1, 12 do
      list[index] = function() return (verify(scheme, message())) end
    end
    for _, id in ipairs(task.all(list, { limit = 12 })) do
      assert.equal("certificate", id)
    end
    assert.equal(1, #seen)
    assert.equal("certificate", (verify(scheme, message())))
    assert.equal(1, #seen)
  end)


  -- Runs `fn` on a clock that stands still.
  local function frozen(fn)
    host.freeze_clock()
    local guard <close> = setmetatable({}, { __close = host.thaw_clock })
    fn()
  end


  it("fetches a certificate again after an hour", function()
    frozen(function()
      local scheme, seen = certified()
      verify(scheme, message())
      host.advance_clock(3599)
      verify(scheme, message())
      assert.equal(1, #seen)
      host.advance_clock(2)
      assert.equal("certificate", (verify(scheme, message())))
      assert.equal(2, #seen)
    end)
  end)


  it("remembers for a minute that there is no certificate", function()
    frozen(function()
      local files = {}
      local scheme, seen = scheme_with(files)
      assert.is_nil(refused(scheme, message(), "404"))
      files[CERTIFICATE_URL] = keys.rsa_certificate
      host.advance_clock(59)
      assert.is_nil(refused(scheme, message(), "404"))
      assert.equal(1, #seen)
      host.advance_clock(2)
      assert.equal("certificate", (verify(scheme, message())))
    end)
  end)


  it("tells a failure of the network apart: SNS shall send again, and soon", function()
    frozen(function()
      local files = { [CERTIFICATE_URL] = function() return nil, "connection reset" end }
      local scheme, seen = scheme_with(files)
      assert.equal("unavailable", refused(scheme, message(), "connection reset"))
      assert.equal("unavailable", refused(scheme, message(), "connection reset"))
      assert.equal(1, #seen)
      files[CERTIFICATE_URL] = keys.rsa_certificate
      host.advance_clock(3)
      assert.equal("certificate", (verify(scheme, message())))
    end)
  end)


  it("takes no text for a certificate that is none", function()
    for _, text in ipairs({ "", "<html>", keys.rsa_public, keys.rsa_certificate:sub(1, 200),
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }) do
      local scheme = scheme_with({ [CERTIFICATE_URL] = text })
      assert.is_nil(refused(scheme, message(), "there is none at its address"))
    end
  end)


  it("keeps few certificates, and waits for few addresses at a time", function()
    local files, gate = {}, { open = false }
    for index = 1, 40 do
      files[CERTIFICATE_URL:gsub("0123", ("%04d"):format(index))] = keys.rsa_certificate
    end
    for index = 41, 50 do
      files[CERTIFICATE_URL:gsub("0123", ("%04d"):format(index))] = function()
        while not gate.open do
          task.sleep(0.001)
        end
        return keys.rsa_certificate
      end
    end
    local scheme, seen = scheme_with(files)
    local function at(index)
      return message({ SigningCertURL = (CERTIFICATE_URL:gsub("0123", ("%04d"):format(index))) })
    end
    for index = 1, 40 do
      assert.equal("certificate", (verify(scheme, at(index))))
    end
    assert.equal("certificate", (verify(scheme, at(40))))
    assert.equal(40, #seen)
    assert.equal("certificate", (verify(scheme, at(1))))
    assert.equal(41, #seen)
    local list = {}
    for index = 41, 50 do
      list[#list + 1] = function()
        local id, _, code = verify(scheme, at(index))
        gate.open = gate.open or index == 50
        return id or code
      end
    end
    local counts = { certificate = 0, unavailable = 0 }
    for _, outcome in ipairs(task.all(list, { limit = 10 })) do
      counts[outcome] = counts[outcome] + 1
    end
    assert.same({ certificate = 4, unavailable = 6 }, counts)
  end)


  it("signs messages as SNS does", function()
    local scheme = certified()
    local headers, body = scheme.sign(request_of("hello"), { secret = keys.rsa_private }, NOW)
    local content = json.decode(body)
    assert.equal("Notification", headers["x-amz-sns-message-type"])
    assert.equal("hello", content.Message)
    assert.equal(TOPIC, content.TopicArn)
    content.SigningCertURL = CERTIFICATE_URL
    assert.equal("certificate", (verify(scheme, content)))
    assert.equal("certificate", (verify(scheme, signed(scheme, confirmation()))))
    assert.equal("certificate", (verify(scheme, signed(scheme, confirmation("UnsubscribeConfirmation")))))
  end)


  it("confirms a subscription at SNS, and nowhere else", function()
    local url = confirmation().SubscribeURL
    local scheme, seen = scheme_with({ [CERTIFICATE_URL] = keys.rsa_certificate, [url] = "<Confirmed/>" })
    local request = request_of(signed(scheme, confirmation()))
    assert.equal("certificate", (scheme.verify(request, {}, NOW)))
    assert.equal(200, scheme.handshake(request, {}).status)
    assert.same({ CERTIFICATE_URL, url }, seen)
    for _, other in ipairs({ "https://evil.example/?Action=ConfirmSubscription",
      "http://sns.us-east-2.amazonaws.com/?a",
      "https://sns.us-east-2.amazonaws.com.evil.example/", "https://sns.us-east-2.amazonaws.com:22/?a" }) do
      request = request_of(signed(scheme, confirmation(nil, other)))
      assert.equal("certificate", (scheme.verify(request, {}, NOW)))
      assert.equal(503, scheme.handshake(request, {}).status)
    end
    assert.equal(2, #seen)
  end)


  it("asks SNS to send again when it cannot confirm", function()
    local scheme = certified()
    local answer = scheme.handshake(request_of(signed(scheme, confirmation())), {})
    assert.equal(503, answer.status)
    assert.equal("application/problem+json", answer.headers["Content-Type"])
    assert.equal("10", answer.headers["Retry-After"])
    local problem = json.decode(answer.body)
    assert.equal("unavailable", problem.code)
    assert.equal(("a"):rep(32), problem.trace_id)
  end)


  it("answers the end of a subscription, and leaves notifications alone", function()
    local scheme, seen = certified()
    local ending = signed(scheme, confirmation("UnsubscribeConfirmation"))
    assert.equal(200, scheme.handshake(request_of(ending), {}).status)
    assert.is_nil(scheme.handshake(request_of(message()), {}))
    assert.is_nil(scheme.handshake(request_of(message({ Message = "Confirmation" })), {}))
    assert.is_nil(scheme.handshake(request_of("Confirmation"), {}))
    local request = request_of(signed(scheme, confirmation()))
    request.method = "GET"
    assert.is_nil(scheme.handshake(request, {}))
    assert.same({}, seen)
  end)


  it("signs what the documentation says", function()
    local content = "Message\nMy Test Message\nMessageId\n4d4dc071-ddbf-465d-bba8-08f81c89da64\nSubject\nMy subject\n"
      .. "Timestamp\n2019-01-31T04:37:04.321Z\nTopicArn\n" .. TOPIC .. "\nType\nNotification\n"
    assert.equal("48aeb4d4a966dfdca5b8801a3d6f8d2c90327e9e025319afc907bd1fb99c4d1e",
      crypto.hex(crypto.digest("sha256", content)))
    assert.is_true(crypto.verify("rsa-sha1", keys.rsa_certificate, content, crypto.from_base64(SIGNATURE_1)))
  end)
end)
