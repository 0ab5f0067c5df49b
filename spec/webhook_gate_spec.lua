-- Who may send webhooks, and with which secret, against the real service.

local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local crypto = require "tide.crypto"
local webhooks = require "spec.support.webhooks"


describe("the gate of webhooks", function()
  local acme
  local PROVIDER = webhooks.provider '["*"] = false'


  local function start(config, top, environment)
    acme = webhooks.start({ ["providers/acme.lua"] = PROVIDER }, { config = config, top = top, workers = 1,
      environment = environment })
    return acme
  end


  after_each(function()
    if acme then acme:close() end
    acme = nil
  end)


  local count = 0

  local function send(forwarded)
    count = count + 1
    local status, answer, headers = acme:send({ type = "x", id = "g" .. count },
      { headers = { ["X-Forwarded-For"] = forwarded or "" } })
    return status, answer.code, headers
  end


  it("lets in who is on the list, IPv4 and IPv6", function()
    start 'webhook_ip_allowlist = { "127.0.0.0/8", "::1" }'
    assert.equal(200, (send()))
  end)


  it("refuses others with 403, and stores nothing", function()
    start 'webhook_ip_allowlist = { "10.0.0.0/8", "2001:db8::/32" }'
    local status, code = send()
    assert.same({ 403, "forbidden" }, { status, code })
    assert.equal(0, #acme:events())
    assert.equal(1, acme:metric('tidegate_webhooks_received_total{integration="acme",outcome="forbidden"}'))
  end)


  it("believes X-Forwarded-For of trusted proxies alone, from the right", function()
    start('webhook_ip_allowlist = { "203.0.113.0/24", "2001:db8::/32" }',
      'trusted_proxies = { "127.0.0.1", "10.0.0.0/8" },')
    for forwarded, expected in pairs {
      ["203.0.113.7"] = 200, ["198.51.100.1, 203.0.113.7"] = 200, ["203.0.113.7, 198.51.100.1"] = 403,
      ["203.0.113.7, 10.1.1.1"] = 200, ["203.0.113.7:1234"] = 200,
      ["198.51.100.1, 203.0.113.7:1234"] = 200, ["[2001:db8::5]:443"] = 200, ["2001:db8::5"] = 200,
      ["unknown"] = 403, ["unix"] = 403, ["203.0.113.7, unix"] = 403, [", ,"] = 403, ["10.1.1.1"] = 403,
    } do
      assert.equal(expected, (send(forwarded)), forwarded)
    end
    assert.equal(403, (send()))
  end)


  it("reads a long X-Forwarded-For in time", function()
    local gate = require "tide.webhook.gate"
    for _, text in ipairs { (" "):rep(30000) .. "x", "x" .. (" "):rep(30000) .. "x",
      ("10.0.0.1,"):rep(3400), (","):rep(30000), ("1"):rep(30000), "[" .. ("x"):rep(30000), (" ,"):rep(15000) } do
      local started = os.clock()
      local source = gate.source_address({ peer = "10.0.0.1:5", header = function() return text end }, { "10.0.0.0/8" })
      assert.equal("string", type(source))
      assert.is_true(os.clock() - started < 0.1, text:sub(1, 20))
    end
  end)


  it("believes nobody else", function()
    start 'webhook_ip_allowlist = { "203.0.113.0/24" }'
    assert.equal(403, (send "203.0.113.7"))
  end)


  it("finds wrong networks at start, with their line", function()
    local service = require "spec.support.service"
    local project = service.project { ["config.lua"] =
      'return {\n integrations = { acme = {\n webhook_ip_allowlist = { "10.0.0.0/40" } } } }' }
    local code, _, err = project:run { "check" }
    project:close()
    assert.equal(1, code)
    assert.truthy(err:find("config.lua:3: ", 1, true) and err:find("expected an address", 1, true), err)
  end)


  it("lets so many through a minute, and says when to come again", function()
    start "webhook_rate_limit_per_minute = 5"
    local statuses, retry_after = {}, nil
    for _ = 1, 8 do
      local status, _, headers = send()
      statuses[status] = (statuses[status] or 0) + 1
      retry_after = status == 429 and headers["retry-after"] or retry_after
    end
    assert.same({ [200] = 5, [429] = 3 }, statuses)
    assert.is_true(tonumber(retry_after) >= 1 and tonumber(retry_after) <= 60)
  end)


  it("does not let forged requests use up what right ones are allowed", function()
    start "webhook_rate_limit_per_minute = 6"
    for _ = 1, 3 do
      assert.equal(401, (acme:send({ type = "x", id = "forged" }, { secret = "wrong-wrong" })))
    end
    for _ = 1, 3 do
      assert.equal(200, (send()))
    end
  end)


  it("answers 503 while its secret is missing, and while it is disabled", function()
    start("is_enabled = false")
    local status, code, headers = send()
    assert.same({ 503, "disabled" }, { status, code })
    assert.truthy(headers["retry-after"])
    acme:close()
    start("", nil, { TIDEGATE_ACME_WEBHOOK_SECRET = " " })
    acme.project:close()
    local project = require("spec.support.service").project { ["providers/acme.lua"] = PROVIDER }
    local running = project:serve()
    local problem
    status, problem = running:request("POST", "/api/v1/webhooks/acme", { token = false, body = "{}" })
    project:close()
    acme = nil
    assert.same({ 503, "not_configured" }, { status, problem.code })
  end)


  describe("with a secret that is rotated", function()
    local KEY = crypto.base64(("k"):rep(32))
    local NEW = "whsec_new_0123456789abcdef"


    local function put(value, keep)
      local status, answer = acme.service:request("PUT", "/api/v1/integrations/acme/secrets/webhook_secret",
        { json = { value = value, keep_previous_seconds = keep } })
      assert.equal(200, status, json.encode(answer))
    end


    it("takes both until the old one expires, under load, then the new one alone", function()
      start("", nil, { TIDEGATE_MASTER_KEY = KEY })
      local stopped, refused, sent = false, 0, 0
      local senders = {}
      for number = 1, 8 do
        senders[number] = task.spawn(function()
          while not stopped do
            sent = sent + 1
            local status = acme:send({ type = "x", id = ("r%d"):format(sent) },
              { secret = number % 2 == 0 and NEW or webhooks.SECRET })
            -- Who has the new secret already is right from its PUT on.
            if status ~= 200 then refused = refused + 1 end
          end
        end)
        if number == 1 then
          task.sleep(0.1)
          put(NEW, 3)
        end
      end
      task.sleep(1)
      stopped = true
      for _, sender in ipairs(senders) do sender:join() end
      assert.equal(0, refused)
      assert.is_true(sent > 50, sent)
      assert.is_true(acme:metric(
        'tidegate_webhook_secret_matches_total{integration="acme",secret="webhook_secret:previous"}') > 0)
      webhooks.wait("the old secret to expire", function()
        return (acme:send({ type = "x", id = "old" .. time.now() }, { secret = webhooks.SECRET })) == 401
      end)
      assert.equal(200, (acme:send({ type = "x", id = "new" }, { secret = NEW })))
    end)


    it("takes the new one alone when nothing is kept", function()
      start("", nil, { TIDEGATE_MASTER_KEY = KEY })
      assert.equal(200, (acme:send { type = "x", id = "before" }))
      put(NEW, 0)
      assert.equal(401, (acme:send { type = "x", id = "after" }))
      assert.equal(200, (acme:send({ type = "x", id = "after" }, { secret = NEW })))
    end)
  end)
end)
