-- `webhook` of tide.test: an event signed, received and run inside a spec.

local t = require "tide.test"


describe("webhook of an integration under test", function()
  local acme

  before_each(function()
    acme = t.integration("acme", { secrets = { webhook_secret = "whsec_x12345678" }, source = [[
      return {
        webhooks = {
          signature = { scheme = "hmac-sha256", header = "X-A" }, event_type = "type", event_id = "id",
          on = {
            ok = function(ctx, event) ctx.sleep(5) return event.payload.n end,
            bad = function() error("x") end,
            call = function(ctx) return ctx.http.get("/seen").json end,
          },
        },
        config = { base_url = "https://acme.example/v1" },
      }
    ]] })
  end)


  it("signs, sends and runs an event", function()
    local event = acme.webhook(nil, { type = "ok", id = "1", n = 3 })
    assert.same({ "completed", 3, 200, "1" }, { event.status, event.processing_result, event.response.status,
      event.event_id })
  end)


  it("runs one that is done once", function()
    acme.webhook { type = "ok", id = "1", n = 3 }
    local again = acme.webhook { type = "ok", id = "1", n = 3 }
    assert.is_true(again.duplicate)
    assert.equal(0, again.attempts)
  end)


  it("tells how a run failed, and when it would be repeated", function()
    local event = acme.webhook { type = "bad", id = "2" }
    assert.same({ "pending", "script_error" }, { event.status, event.error_type })
    assert.is_true(event.retry_after >= 4 and event.retry_after <= 6)
    event = acme.webhook({ type = "bad", id = "2" }, { attempt = 9 })
    assert.equal("failed", event.status)
  end)


  it("lets handlers call the scripted upstream", function()
    acme.upstream("GET /v1/seen", { json = { yes = true } })
    assert.same({ yes = true }, acme.webhook({ type = "call", id = "3" }).processing_result)
  end)


  it("raises the error of a request that is refused", function()
    local _, err = pcall(acme.webhook, { type = "ok" }, { headers = { ["X-A"] = "no" } })
    assert.equal("unauthorized", err.code)
    _, err = pcall(acme.webhook, { type = "ok" }, { secrets = { webhook_secret = "other-other" } })
    assert.equal("unauthorized", err.code)
    _, err = pcall(acme.webhook, "nowhere", {})
    assert.equal("no_such_operation", err.code)
  end)
end)


describe("a call from a handler under test", function()
  local acme

  before_each(function()
    acme = t.integration("acme", { secrets = { webhook_secret = "whsec_x12345678" }, source = [[
      return {
        config = { base_url = "https://acme.example", max_retries = 0 },
        operations = { send = { input = { type = "object", additionalProperties = true },
          run = function(ctx, input) return ctx.http.post("/send", { json = input }).json end } },
        webhooks = {
          signature = { scheme = "hmac-sha256", header = "X-A" }, event_type = "type", event_id = "id",
          on = { send = function(ctx, event)
            local data = ctx.call("acme", "send", { to = event.payload.to })
            if event.attempt < event.payload.good then error("after the call") end
            return data
          end },
        },
      }
    ]] })
  end)


  local function run(id, attempt, good)
    return acme.webhook({ type = "send", id = id, to = "you", good = good or 1 }, { attempt = attempt })
  end


  it("is made once for an event, however often it runs", function()
    acme.upstream("POST /send", { { json = { n = 1 } }, { json = { n = 2 } } })
    assert.equal("pending", run("1", 1, 3).status)
    assert.equal("pending", run("1", 2, 3).status)
    local event = run("1", 3, 3)
    assert.same({ "completed", { n = 1 } }, { event.status, event.processing_result })
    assert.equal(1, #acme.requests)
    assert.same({ n = 2 }, run("2").processing_result)
  end)


  it("is refused again when it was refused", function()
    acme.upstream("POST /send", { { status = 422 }, { json = { n = 2 } } })
    assert.equal("rejected", run("1").error_type)
    assert.equal("rejected", run("1", 2).error_type)
    assert.equal(1, #acme.requests)
  end)


  it("is made again when nothing was done, and not when nobody knows", function()
    acme.upstream("POST /send", { { status = 429 }, { close = true }, { json = {} } })
    assert.equal("rate_limited", run("1").error_type)
    assert.equal("network_error", run("1", 2).error_type)
    assert.equal("outcome_unknown", run("1", 3).error_type)
    assert.equal(2, #acme.requests)
  end)
end)
