-- A secret that senders sign with is rotated while webhooks come, against the real service.

local crypto = require "tide.crypto"
local json = require "tide.json"
local task = require "tide.task"
local webhooks = require "spec.support.webhooks"

local OLD <const> = webhooks.SECRET
local NEW <const> = "whsec_another-one-for-acme"


describe("rotating the secret of webhooks", function()
  local acme
  local sent = 0


  before_each(function()
    acme = webhooks.start({ ["providers/acme.lua"] = webhooks.provider [[ ["ok"] = function() return {} end, ]] },
      { workers = 2, environment = { TIDEGATE_MASTER_KEY = crypto.base64(("k"):rep(32)) } })
  end)


  after_each(function()
    acme:close()
  end)


  local function rotate(value, keep_seconds)
    local status, body = acme.service:request("PUT", "/api/v1/integrations/acme/secrets/webhook_secret",
      { json = { value = value, keep_previous_seconds = keep_seconds } })
    assert.equal(200, status, body.detail)
    return body.data
  end


  -- Over connections of their own: each may reach another worker.
  local function status_of(secret)
    sent = sent + 1
    return (acme:send({ type = "ok", id = "evt_" .. sent }, { secret = secret, fresh_connection = true }))
  end


  local function assert_all(status, secret)
    for _ = 1, 6 do
      assert.equal(status, status_of(secret))
    end
  end


  it("takes both until the old one expires, then the new one alone", function()
    assert_all(200, OLD)
    assert_all(401, NEW)
    local entry = rotate(NEW, 3)
    assert_all(200, NEW)
    assert_all(200, OLD)
    assert.equal(6, acme:metric('tidegate_webhook_secret_matches_total{integration="acme",'
      .. 'secret="webhook_secret:previous"}'))
    assert.is_string(entry.previous_expires_at)
    webhooks.wait("the old secret to expire", function() return status_of(OLD) == 401 end)
    assert_all(401, OLD)
    assert_all(200, NEW)
  end)


  it("ends the old one at once when it is not to be kept, or no longer", function()
    rotate(NEW)
    assert_all(401, OLD)
    assert_all(200, NEW)
    rotate(OLD, 600)
    assert_all(200, NEW)
    rotate(OLD, 0)
    assert_all(401, NEW)
    assert_all(200, OLD)
  end)


  it("keeps both over a restart", function()
    rotate(NEW, 600)
    assert.equal(0, acme.service:stop())
    acme:restart()
    assert_all(200, OLD)
    assert_all(200, NEW)
  end)


  it("refuses no webhook that is signed with either while it happens", function()
    local done = false
    local senders = {}
    for index = 1, 8 do
      senders[index] = function()
        local refused = 0
        while not done do
          refused = refused + (status_of(OLD) ~= 200 and 1 or 0)
        end
        return refused
      end
    end
    senders[#senders + 1] = function()
      for round = 1, 20 do
        -- Always one of the two that are active.
        rotate(round % 2 == 1 and NEW or OLD, 600)
      end
      done = true
      return 0
    end
    for _, refused in ipairs(task.all(senders, { limit = #senders })) do
      assert.equal(0, refused)
    end
    local _, events = acme.service:request("GET", "/api/v1/events?limit=1")
    assert.is_nil(json.encode(events):find("whsec", 1, true))
  end)
end)
