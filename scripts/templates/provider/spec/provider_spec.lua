-- Run by `tidegate test spec/NEW_NAME_spec.lua`: the third party is what `upstream` says, over a real socket;
-- the clock is virtual, so no test waits.

local t = require "tide.test"


describe("NEW_NAME", function()
  local integration


  before_each(function()
    integration = t.integration("NEW_NAME", {
      secrets = { api_key = "a-key-for-tests", webhook_secret = "a-secret-for-tests" },
    })
  end)


  it("finds a thing", function()
    -- The path of base_url stays: "/v1".
    integration.upstream("GET /v1/things/a-1", { json = { state = "ready" } })
    local data = integration.call("find", { id = "A-1" })
    assert.same({ id = "a-1", state = "ready" }, data)
    assert.equal("Bearer a-key-for-tests", integration.requests[1].headers.authorization)
  end)


  it("tries again when the third party is down for a moment", function()
    integration.upstream("GET /v1/things/a-1", { { status = 503 }, { json = { state = "ready" } } })
    local _, meta = integration.call("find", { id = "a-1" })
    assert.equal(2, meta.attempts)
  end)


  it("says that there is no such thing", function()
    integration.upstream("GET /v1/things/a-1", { status = 404 })
    local ok, err = pcall(integration.call, "find", { id = "a-1" })
    assert.is_false(ok)
    assert.equal("not_found", err.code)
  end)


  it("refuses an id that cannot be one", function()
    local ok, err = pcall(integration.call, "find", { id = "-1" })
    assert.is_false(ok)
    assert.equal("invalid_input", err.code)
    assert.equal("#/id", err.pointer)
  end)


  it("answers in mock mode without asking anybody", function()
    local data, meta = integration.call("find", { id = "a-1" }, { mock = true })
    assert.equal("a-1", data.id)
    assert.is_true(meta.mock)
    assert.equal(0, #integration.requests)
  end)


  it("asks anew after a webhook that says so", function()
    integration.upstream("GET /v1/things/a-1", { json = { state = "ready" } })
    integration.call("find", { id = "a-1" })
    local event = integration.webhook(nil, { type = "thing.changed", id = "e-1", thing = "a-1" })
    assert.equal("completed", event.status)
    local _, meta = integration.call("find", { id = "a-1" })
    assert.is_false(meta.from_cache)
    assert.equal(2, #integration.requests)
  end)
end)
