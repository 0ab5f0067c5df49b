-- Requests of webhooks with their signatures as the senders' documentation and libraries give them, or
-- as they were computed by other means: for specs. None of the secrets is anybody's.

local M = {}

local STANDARD_BODY = '{"test": 2432232314}'
local STANDARD_ID, STANDARD_TIME = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
local STANDARD_MAC = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
local STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
M.WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
local WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
local SENDGRID_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNN"
  .. "RaINXvVpiglSI8eNEc6wEA3F+g=="

local FORM = "application/x-www-form-urlencoded"
local TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
local TWILIO_SID = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
local TWILIO_FROM = TWILIO_SID:gsub("14158675309", "12349013030")
local TWILIO_DIGEST = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


local function standard(prefix, signature)
  return {
    [prefix .. "-id"] = STANDARD_ID, [prefix .. "-timestamp"] = STANDARD_TIME, [prefix .. "-signature"] = signature,
  }
end


local function twilio(body, signature, url, content_type)
  url = url or TWILIO_URL
  return {
    name = "twilio", signature = "twilio", secret = "12345", url = url, query = url:match("%?(.*)$"),
    headers = { ["x-twilio-signature"] = signature, ["content-type"] = content_type or FORM }, body = body,
    carrier = "x-twilio-signature", encoding = "base64",
  }
end


-- `carrier` is the header that holds the signature, after `prefix`; `stamp` that of the time; `is_list` when it
-- may hold several, joined by `joint`; `signs` is false where the body is not covered.
M.list = {
  { name = "hmac", signature = { scheme = "hmac", header = "X-Signature" }, secret = "Jefe",
    headers = { ["x-signature"] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    body = "what do ya want for nothing?", carrier = "x-signature", encoding = "hex", is_list = true },
  { name = "hmac with a key in hexadecimal",
    signature = { scheme = "hmac-sha256", header = "X-Signature", secret_encoding = "hex" }, secret = ("0b"):rep(20),
    headers = { ["x-signature"] = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    body = "Hi There", carrier = "x-signature", encoding = "hex", is_list = true },
  { name = "hmac with a long key", signature = { scheme = "hmac-sha256", header = "X-Signature" },
    secret = ("\xaa"):rep(131),
    headers = { ["x-signature"] = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
    body = "Test Using Larger Than Block-Size Key - Hash Key First", carrier = "x-signature", encoding = "hex",
    is_list = true },
  { name = "hmac-sha1 (GitHub's older header)",
    signature = { scheme = "hmac-sha1", header = "X-Hub-Signature", prefix = "sha1=" },
    secret = "It's a Secret to Everybody", body = "Hello, World!",
    headers = { ["x-hub-signature"] = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59" },
    carrier = "x-hub-signature", prefix = "sha1=", encoding = "hex", is_list = true },
  { name = "hmac of NAVER WORKS",
    signature = { scheme = "hmac", header = "X-WORKS-Signature", encoding = "base64" }, secret = "bot_secret_example",
    body = '{"type":"message","content":{"type":"text","text":"hello"}}',
    headers = { ["x-works-signature"] = "iYdxNC5+p7QCW/7JU9fmS/VmgniE7PNpXtuYMMGExgc=" },
    carrier = "x-works-signature", encoding = "base64", is_list = true },
  { name = "hmac with a template, as of Stripe",
    signature = { scheme = "hmac", header = "X-Signature", content = "{timestamp}.{body}",
      timestamp_header = "X-Time" },
    secret = "whsec_test_secret", body = '{"id":"evt_test_webhook","object":"event"}', now = 1614265330,
    headers = { ["x-signature"] = "3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff",
      ["x-time"] = "1614265330" },
    carrier = "x-signature", encoding = "hex", stamp = "x-time", is_list = true },
  { name = "hmac with a template, as of Standard Webhooks",
    signature = { scheme = "hmac", header = "X-Signature", content = "{id}.{timestamp}.{body}", encoding = "base64",
      timestamp_header = "X-Time", id_header = "X-Id", secret_encoding = "base64" },
    secret = STANDARD_SECRET:sub(7), body = STANDARD_BODY, now = 1614265330,
    headers = { ["x-signature"] = STANDARD_MAC, ["x-time"] = STANDARD_TIME, ["x-id"] = STANDARD_ID },
    carrier = "x-signature", encoding = "base64", stamp = "x-time", is_list = true },
  { name = "standard-webhooks", signature = "standard-webhooks", secret = STANDARD_SECRET,
    headers = standard("webhook", "v1," .. STANDARD_MAC), body = STANDARD_BODY, now = 1614265330,
    carrier = "webhook-signature", prefix = "v1,", encoding = "base64", stamp = "webhook-timestamp", is_list = true,
    joint = " " },
  { name = "standard-webhooks with Korean text", signature = "standard-webhooks", secret = STANDARD_SECRET,
    headers = { ["webhook-id"] = "msg_kr0001", ["webhook-timestamp"] = "1767225600",
      ["webhook-signature"] = "v1,eWP7JpT263Tl0EfEgJXMRK1aBc3hgxfSDGUBXKsaQnQ=" },
    body = '{"name":"홍길동","amount":1000}', now = 1767225600,
    carrier = "webhook-signature", prefix = "v1,", encoding = "base64", stamp = "webhook-timestamp", is_list = true,
    joint = " " },
  { name = "standard-webhooks by Svix", signature = "standard-webhooks", secret = STANDARD_SECRET,
    headers = standard("svix", "v1," .. STANDARD_MAC), body = STANDARD_BODY, now = 1614265330,
    carrier = "svix-signature", prefix = "v1,", encoding = "base64", stamp = "svix-timestamp", is_list = true,
    joint = " " },
  { name = "standard-webhooks with Ed25519", signature = "standard-webhooks", secret = WHPK, private = M.WHSK,
    headers = standard("webhook",
      "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="),
    body = STANDARD_BODY, now = 1614265330,
    carrier = "webhook-signature", prefix = "v1a,", encoding = "base64", stamp = "webhook-timestamp", is_list = true,
    joint = " ", other_secret = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" },
  { name = "stripe", signature = "stripe", secret = "whsec_test_secret",
    headers = { ["stripe-signature"] =
      "t=1614265330,v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff" },
    body = '{"id":"evt_test_webhook","object":"event"}', now = 1614265330,
    carrier = "stripe-signature", prefix = "t=1614265330,v1=", encoding = "hex", is_list = true,
    joint = ",v1=" },
  { name = "github", signature = "github", secret = "It's a Secret to Everybody", body = "Hello, World!",
    headers = { ["x-hub-signature-256"] = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" },
    carrier = "x-hub-signature-256", prefix = "sha256=", encoding = "hex", is_list = true },
  { name = "slack", signature = "slack", secret = "8f742231b10e8888abcd99yyyzzz85a5", now = 1531420618,
    headers = { ["x-slack-request-timestamp"] = "1531420618",
      ["x-slack-signature"] = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503" },
    body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
      .. "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
      .. "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
      .. "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    carrier = "x-slack-signature", prefix = "v0=", encoding = "hex", stamp = "x-slack-request-timestamp",
    is_list = true },
  { name = "shopify", signature = "shopify", secret = "hush",
    headers = { ["x-shopify-hmac-sha256"] = "D0UMXmhjwBRi4y66TmhJrDlhQABD7zI2fm3p6/QLMo8=" },
    body = '{"id":820982911946154508,"email":"jon@example.com"}',
    carrier = "x-shopify-hmac-sha256", encoding = "base64", is_list = true },
  { name = "line", signature = "line", secret = "8c570fa6dd201bb328f1c1eac23a96d8",
    headers = { ["x-line-signature"] = "GhRKmvmHys4Pi8DxkF4+EayaH0OqtJtaZxgTD9fMDLs=" },
    body = '{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[]}',
    carrier = "x-line-signature", encoding = "base64", is_list = true },
  { name = "toss", signature = "toss", secret = "test_security_key_0123456789abcdef", now = 1725506361,
    headers = { ["tosspayments-webhook-signature"] = "v1:o0oS2PwULQ78E6ZpQRd6jppANs/hYtwMZt8DMfu2nRY=",
      ["tosspayments-webhook-transmission-time"] = "2024-09-05T12:19:21+09:00",
      ["tosspayments-webhook-transmission-id"] = "5aa9ee73-6c5b-4a2a-8a1d-6e0a1b1c1d1e" },
    body = '{"eventType":"payout.changed","entityBody":{"id":"p1","status":"COMPLETED"}}',
    carrier = "tosspayments-webhook-signature", prefix = "v1:", encoding = "base64",
    stamp = "tosspayments-webhook-transmission-time", is_list = true },
  { name = "sendgrid", signature = "sendgrid", secret = SENDGRID_KEY, now = 1600112502,
    headers = { ["x-twilio-email-event-webhook-timestamp"] = "1600112502",
      ["x-twilio-email-event-webhook-signature"] =
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=" },
    body = '[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
      .. '"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
      .. '"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
      .. '"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]' .. "\r\n",
    carrier = "x-twilio-email-event-webhook-signature", encoding = "base64",
    stamp = "x-twilio-email-event-webhook-timestamp",
    other_secret = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+"
      .. "257rn0s2ldbqkLJK2KRiMohYjlrQ==" },
  { name = "mailgun", signature = "mailgun", secret = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0", now = 1529006854,
    headers = {},
    body = '{"signature":{"timestamp":"1529006854","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",'
      .. '"signature":"b63c0701c4f4b614f272106a1b367c5c3369bcdca664ae73ebd52787e45eef07"},'
      .. '"event-data":{"event":"opened"}}',
    signs = false },
  twilio(TWILIO_SID, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
  twilio(TWILIO_FROM, "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
  twilio("Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
  twilio('{"property": "value", "boolean": true}', "a9nBmqA0ju/hNViExpshrM61xv4=", TWILIO_URL .. "&" .. TWILIO_DIGEST,
    "application/json"),
  -- RFC 8032, 7.1, test 3.
  { name = "ed25519 of the body alone",
    signature = { scheme = "ed25519", content = "{body}", header = "X-Signature" }, body = "\xaf\x82",
    secret = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    private = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    headers = { ["x-signature"] = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
      .. "ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
    carrier = "x-signature", encoding = "hex",
    other_secret = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" },
  { name = "token of Kakao", secret = "0123456789abcdef0123456789abcdef",
    signature = { scheme = "token", header = "Authorization", prefix = "KakaoAK " }, body = "app_id=1&user_id=2",
    headers = { authorization = "KakaoAK 0123456789abcdef0123456789abcdef" },
    carrier = "authorization", prefix = "KakaoAK ", signs = false },
}


local function defaults(vector)
  vector.prefix = vector.prefix or ""
  vector.url = vector.url or "https://tidegate.example/api/v1/webhooks/acme"
  vector.path = "/api/v1/webhooks/acme"
  vector.now = vector.now or 1767225600
  vector.private = vector.private or vector.secret
  vector.other_secret = vector.other_secret or "another"
end

for _, vector in ipairs(M.list) do
  defaults(vector)
end


-- A request of a vector, with `changes` to its members; a header that is false is left out.
function M.request(vector, changes)
  local request = {
    method = "POST", url = vector.url, path = vector.path, query = vector.query, headers = {}, body = vector.body,
    tolerance_seconds = 300,
  }
  for name, value in pairs(vector.headers) do
    request.headers[name] = value
  end
  for name, value in pairs(changes or {}) do
    if name == "headers" then
      for header, text in pairs(value) do
        request.headers[header] = text or nil
      end
    else
      request[name] = value
    end
  end
  return request
end


-- Active secrets as receiving gives them: of the values, the current one first.
function M.secrets(...)
  local list = {}
  for index, value in ipairs({ ... }) do
    list[index] = { value = value, id = index == 1 and "webhook_secret" or "webhook_secret:previous" }
  end
  return { secret = list }
end


return M
