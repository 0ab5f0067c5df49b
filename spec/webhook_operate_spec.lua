-- What operators do to events while the service processes them.

local json = require "tide.json"
local task = require "tide.task"
local webhooks = require "spec.support.webhooks"


describe("an event that an operator", function()
  local acme
  local HANDLERS = [[
    ["flaky"] = function(ctx, event)
      if event.attempt <= (event.payload.failures or 1) then
        fail("rejected", "not yet", { retryable = event.payload.retryable == true })
      end
      return event.payload.n
    end,
    ["slow"] = function(ctx, event) ctx.sleep(event.payload.seconds) return event.payload.n end,
  ]]


  local function start(config)
    acme = webhooks.start({ ["providers/acme.lua"] = webhooks.provider(HANDLERS, 'ordering_key = "key",') },
      { config = config, workers = 2 })
  end


  after_each(function() acme:close() end)


  local function ask(method, path)
    return acme.service:request(method, "/api/v1/events/" .. path)
  end


  local function open_alerts()
    return select(2, acme.service:request("GET", "/api/v1/alerts?open=true&kind=webhook_failed")).data
  end


  it("retries runs again at once, and its alert ends", function()
    start ""
    local id = acme:post { type = "flaky", id = "1", n = 7 }
    local failed = acme:await(id, "failed")
    assert.equal("not yet", failed.attempt_log[1].error_message)
    webhooks.wait("the alert", function() return #open_alerts() == 1 end)
    assert.equal(200, (ask("POST", id .. "/retry")))
    local event = acme:await(id, "completed")
    assert.same({ 2, 0, 7, json.null }, { event.attempts, event.retry_count, event.processing_result,
      event.error_type })
    webhooks.wait("the alert to end", function() return #open_alerts() == 0 end)
  end)


  it("retries while it waits does not wait any longer", function()
    start "webhook_retry_seconds = { 3600 }"
    local id = acme:post { type = "flaky", id = "1", n = 7, retryable = true }
    webhooks.wait("the first run", function() return acme:event(id).error_type == "rejected" end)
    assert.equal("pending", acme:event(id).status)
    assert.equal(200, (ask("POST", id .. "/retry")))
    assert.equal(2, acme:await(id, "completed").attempts)
  end)


  it("discards is a duplicate all the same when it comes again", function()
    start ""
    local id = acme:post { type = "flaky", id = "1", n = 7 }
    acme:await(id, "failed")
    assert.equal(204, (ask("DELETE", id)))
    local again, answer = acme:post { type = "flaky", id = "1", n = 7 }
    assert.same({ id, true }, { again, answer.duplicate })
    assert.equal(0, #acme:events())
  end)


  it("discards or retries lets those run that were parked behind it", function()
    start 'webhook_poisoned_key = "park"'
    for _, change in ipairs { "DELETE", "POST" } do
      local id = acme:post { type = "flaky", id = change .. "1", key = change, n = 1 }
      acme:await(id, "failed")
      local behind = acme:post { type = "slow", id = change .. "2", key = change, n = 2, seconds = 0 }
      assert.equal("pending", acme:event(behind).status)
      assert.equal(409, (ask("POST", behind .. "/retry")))
      ask(change, change == "DELETE" and id or id .. "/retry")
      acme:await(behind, "completed")
    end
  end)


  it("neither retries nor discards while it runs", function()
    start ""
    local id = acme:post { type = "slow", id = "1", n = 7, seconds = 0.5 }
    acme:await(id, "processing")
    assert.equal(409, (ask("POST", id .. "/retry")))
    assert.equal(409, (ask("DELETE", id)))
    assert.equal(1, acme:await(id, "completed").attempts)
  end)


  it("retries in bulk runs once more, like all others", function()
    start ""
    local posts = {}
    for n = 1, 450 do
      posts[n] = function() return acme:post { type = "flaky", id = tostring(n), n = n, failures = 1 } end
    end
    task.all(posts, { limit = 20 })
    webhooks.wait("all to fail", function() return #acme:events("status=failed&limit=500") == 450 end)
    local status, body = ask("POST", "retry?integration=acme")
    assert.equal(200, status)
    assert.same({ matched = 450, retried = 450, dry_run = false }, body.data)
    webhooks.wait("all to complete", function() return #acme:events("status=completed&limit=500") == 450 end)
    for _, event in ipairs(acme:events("limit=500")) do
      assert.equal(2, event.attempts)
    end
  end)


  it("changes in the middle of others runs beside none of its ordering key", function()
    start ""
    local seed = os.time()
    math.randomseed(seed)
    local ids, operators = {}, {}
    for n = 1, 60 do
      ids[n] = acme:post { type = n % 5 == 0 and "flaky" or "slow", id = tostring(n), key = "k" .. n % 3, n = n,
        seconds = 0.01 }
    end
    for index = 1, 200 do
      operators[index] = function()
        local id = ids[math.random(#ids)]
        local discards = math.random(10) == 1
        local status = ask(discards and "DELETE" or "POST", discards and id or id .. "/retry")
        return status < 500 or status
      end
    end
    for _, one in ipairs(task.all(operators, { limit = 8 })) do
      assert.is_true(one)
    end
    webhooks.wait("all to end", function()
      return #acme:events("status=pending") == 0 and #acme:events("status=processing") == 0
    end)
    assert.equal(0, acme.service:stop())
    local ended = {}
    for _, row in ipairs(acme.project:query("SELECT ordering_key AS key, started_at, processed_at FROM webhook_events "
      .. "ORDER BY started_at, processed_at")) do
      assert.is_true(row.started_at >= (ended[row.key] or ""), "seed " .. seed)
      ended[row.key] = row.processed_at
    end
  end)
end)
