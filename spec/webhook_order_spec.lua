-- Ordering keys, against the real service.

local task = require "tide.task"
local webhooks = require "spec.support.webhooks"


describe("events of an ordering key", function()
  local acme
  local HANDLERS = [[
    ["step"] = function(ctx, event)
      if event.payload.fail and event.attempt == 1 then error("once") end
      return event.payload.n
    end,
    ["slow"] = function(ctx, event) ctx.sleep(event.payload.seconds) return event.payload.n end,
    ["poison"] = function() fail("rejected", "bad", { retryable = false }) end,
  ]]


  local function start(config)
    acme = webhooks.start({ ["providers/acme.lua"] = webhooks.provider(HANDLERS, 'ordering_key = "key",') },
      { config = config, workers = 2 })
    return acme
  end


  -- When each event last began, as "key n" in that order.
  local function order()
    assert.equal(0, acme.service:stop())
    return acme.project:query("SELECT ordering_key AS key, processing_result AS n, started_at, processed_at "
      .. "FROM webhook_events WHERE status = 'completed' ORDER BY started_at, CAST(processing_result AS INTEGER)")
  end


  after_each(function() acme:close() end)


  it("run one after another in the order of their arrival, failures among them", function()
    start "webhook_retry_seconds = { 0.05, 0.05 }"
    math.randomseed(os.time())
    local last, senders = {}, {}
    for key = 1, 20 do
      senders[key] = function()
        for n = 1, 15 do
          last[key] = acme:post { type = "step", id = ("%d-%d"):format(key, n), key = "k" .. key, n = n,
            fail = math.random(10) == 1 }
        end
        return true
      end
    end
    task.all(senders, { limit = 20 })
    for _, id in ipairs(last) do
      acme:await(id, "completed")
    end
    local seen, rows = {}, order()
    assert.equal(300, #rows)
    for _, row in ipairs(rows) do
      local n = tonumber(row.n)
      assert.equal((seen[row.key] or 0) + 1, n, row.key)
      seen[row.key] = n
    end
  end)


  it("hold nobody else up", function()
    start ""
    local slow = acme:post { type = "slow", id = "s", key = "slow", n = 1, seconds = 1 }
    local behind = acme:post { type = "step", id = "b", key = "slow", n = 2 }
    local other = acme:await(acme:post { type = "step", id = "o", key = "other", n = 1 }, "completed")
    local free = acme:await(acme:post { type = "step", id = "f", n = 1 }, "completed")
    assert.equal("pending", acme:event(behind).status)
    assert.truthy(other and free)
    local first, second = acme:await(slow, "completed"), acme:await(behind, "completed")
    assert.is_true(second.started_at >= first.processed_at)
  end)


  it("go on after one that failed for good, unless they are to be parked", function()
    start ""
    acme:post { type = "poison", id = "p", key = "k", n = 1 }
    acme:await(acme:post { type = "step", id = "a", key = "k", n = 2 }, "completed")
  end)


  it("are parked behind one that failed for good, until it is discarded", function()
    start 'webhook_poisoned_key = "park"'
    local poison = acme:post { type = "poison", id = "p", key = "k", n = 1 }
    acme:await(poison, "failed")
    local behind = acme:post { type = "step", id = "a", key = "k", n = 2 }
    local next_one = acme:post { type = "step", id = "b", key = "k", n = 3 }
    acme:await(acme:post { type = "step", id = "c", key = "other", n = 1 }, "completed")
    assert.equal("pending", acme:event(behind).status)
    assert.equal(204, (acme.service:request("DELETE", "/api/v1/events/" .. poison)))
    acme:await(behind, "completed")
    acme:await(next_one, "completed")
  end)


  it("go on after a restart that no longer parks them", function()
    start 'webhook_poisoned_key = "park"'
    acme:await(acme:post { type = "poison", id = "p", key = "k", n = 1 }, "failed")
    local behind = acme:post { type = "step", id = "a", key = "k", n = 2 }
    local last = acme:post { type = "step", id = "b", key = "k", n = 3 }
    assert.equal("pending", acme:event(behind).status)
    acme.service:stop()
    acme:restart()
    assert.equal("pending", acme:event(behind).status)
    acme.service:stop()
    acme.project:write("config.lua", 'return { integrations = { acme = { webhook_poisoned_key = "skip" } } }')
    acme:restart()
    acme:await(behind, "completed")
    acme:await(last, "completed")
  end)


  it("keep their order over a kill", function()
    start "webhook_retry_seconds = { 0.05 }"
    local last
    for n = 1, 30 do
      last = acme:post { type = "slow", id = "n" .. n, key = "k", n = n, seconds = 0.01 }
    end
    acme.service:stop("KILL")
    acme:restart()
    acme:await(last, "completed")
    for index, row in ipairs(order()) do
      assert.equal(index, tonumber(row.n))
    end
  end)
end)
