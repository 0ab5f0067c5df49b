-- What becomes of requests without a valid token or without the right to what they ask for.

local task = require "tide.task"
local time = require "tide.time"
local access = require "tide.api.access"
local refusals = require "tide.state.refusals"
local support = require "spec.support.service"

local SHOP <const> = [[
return {
  config = { base_url = "http://127.0.0.1:1" },
  operations = { order = { input = true, run = function() return {} end, mock = function() return {} end } },
}
]]


describe("tide.state.refusals", function()
  local function let_in(who)
    local count = 0
    for _ = 1, 50 do
      count = count + (refusals.note(who) and 1 or 0)
    end
    return count
  end


  it("lets twenty a second of an address through, whoever else there is", function()
    assert.equal(20, let_in("192.0.2.1"))
    assert.is_false(refusals.note("192.0.2.1"))
    assert.equal(20, let_in("192.0.2.2"))
    assert.equal(20, let_in("unix"))
  end)


  it("takes the addresses of one network of IPv6 for one", function()
    assert.equal(20, let_in("2001:db8:1:2::1"))
    assert.is_false(refusals.note("2001:db8:1:2:ffff::2"))
    assert.is_true(refusals.note("2001:db8:1:3::1"))
  end)
end)


describe("a request without a valid token", function()
  local project, service


  before_each(function()
    project = support.project {
      ["config.lua"] = [[return {
        defaults = { is_mock_mode = true, rate_limit_enabled = false }, trusted_proxies = { "127.0.0.1" },
      }]],
      ["providers/shop.lua"] = SHOP,
    }
    service = project:serve { workers = 2 }
  end)


  after_each(function()
    project:close()
  end)


  local function ask(token, headers)
    return service:request("GET", "/api/v1/logs", { token = token, headers = headers, fresh_connection = true })
  end


  local function counted(reason)
    local _, text = service:request("GET", "/metrics")
    return tonumber(text:match('tidegate_auth_refusals_total{reason="' .. reason .. '"} (%d+)'))
  end


  local function create(fields)
    local status, body = service:request("POST", "/api/v1/tokens", { json = fields })
    assert.equal(201, status, body.detail)
    return body.data.token, body.data.id
  end


  -- As many as there are of each status, `count` at a time.
  local function flood(count, token_of)
    local branches, statuses = {}, {}
    for index = 1, count do
      branches[index] = function()
        local status = ask(token_of(index))
        statuses[status] = (statuses[status] or 0) + 1
      end
    end
    task.all(branches, { limit = count })
    return statuses
  end


  it("is counted by why it was refused", function()
    local revoked, id = create { name = "revoked", role = "viewer" }
    local expired = create { name = "expired", role = "viewer", expires_at = "2020-01-01T00:00:00Z" }
    local bound = create { name = "bound", role = "caller", integrations = { "shop" } }
    assert.equal(200, (ask(revoked)))
    assert.equal(204, (service:request("DELETE", "/api/v1/tokens/" .. id)))
    local function details(...)
      local status, problem = ask(...)
      return status .. " " .. problem.detail
    end
    assert.matches("^401 a token is needed", details(false))
    assert.matches("^401 the header Authorization must be", details(false, { Authorization = "Basic YTpi" }))
    assert.matches("^401 this token is not known", details("nonsense"))
    assert.matches("^401 this token has expired", details(expired))
    assert.matches("^403 the role caller", details(bound))
    assert.equal(403, (service:request("POST", "/api/v1/integrations/mail/order", { token = bound,
      json = { a = 1 } })))
    for reason, count in pairs { missing = 1, malformed = 1, unknown = 1, expired = 1, forbidden = 2, other_user = 0,
      rate_limited = 0 } do
      assert.equal(count, counted(reason), reason)
    end
    -- The worker that knew it says that it was revoked; one that never did, that it does not know it.
    assert.matches("^401 this token", details(revoked))
    assert.equal(1, counted("revoked") + counted("unknown") - 1)
  end)


  it("is one of twenty a second over all workers together; right tokens do not notice", function()
    local flooding, slowest = true, 0
    local started = time.monotonic()
    local _, counts = table.unpack(task.all({
      function()
        while flooding do
          local before = time.monotonic()
          assert.equal(200, (ask()))
          slowest = math.max(slowest, time.monotonic() - before)
        end
        return true
      end,
      function()
        local statuses = flood(300, function(index) return "guess" .. index end)
        flooding = false
        return statuses
      end,
    }))
    local seconds = math.ceil(time.monotonic() - started)
    assert.is_true(counts[401] >= 20 and counts[401] <= 20 * seconds, ("%d in %d s"):format(counts[401], seconds))
    assert.equal(300, counts[401] + counts[429])
    assert.equal(counts[429], counted("rate_limited"))
    assert.is_true(slowest < 0.5, slowest)
  end)


  it("is told of in the log once in a while, by its address", function()
    flood(60, function(index) return "guess" .. index end)
    support.wait("the log", function()
      return service:stdout():find("too many requests without a valid token", 1, true)
    end)
    assert.matches('"address":"127.0.0.1"', service:stdout())
    assert.is_true(select(2, service:stdout():gsub("without a valid token", "")) <= 2)
    assert.is_nil(service:stdout():find("guess1", 1, true))
  end)


  it("counts for the client that a trusted proxy names, not for the proxy", function()
    local branches, statuses = {}, {}
    for index = 1, 60 do
      branches[index] = function()
        statuses[index] = ask("guess", { ["X-Forwarded-For"] = "192.0.2.7" })
      end
    end
    task.all(branches, { limit = 60 })
    local refused = 0
    for _, status in ipairs(statuses) do
      refused = refused + (status == 429 and 1 or 0)
    end
    assert.is_true(refused > 0)
    local status = ask("guess", { ["X-Forwarded-For"] = "192.0.2.8" })
    assert.equal(401, status)
  end)


  it("never makes tokens that reach further than its own", function()
    local bound, id = create { name = "bound", role = "admin", integrations = { "shop" } }
    for _, request in ipairs { { "GET", "/api/v1/tokens" }, { "DELETE", "/api/v1/tokens/" .. id },
      { "POST", "/api/v1/tokens", { name = "free", role = "admin" } }, { "POST", "/api/v1/secrets/rekey" } } do
      local status, problem = service:request(request[1], request[2], { token = bound, json = request[3] })
      assert.equal(403, status)
      assert.matches("bound to some", problem.detail)
    end
    assert.equal(200, (service:request("GET", "/api/v1/tokens")))
  end)
end)


describe("a Unix socket", function()
  it("is for the user of the service and for root, and lets others wait", function()
    local function exchange_of(uid)
      return { request = { peer = "unix", peer_uid = uid, header = function() end } }
    end
    local started = time.monotonic()
    local err = access.check(exchange_of(54321), "none")
    assert.equal("forbidden", err.code)
    assert.is_true(time.monotonic() - started >= 0.09)
    local mine = exchange_of(0)
    assert.is_nil(access.check(mine, "admin"))
    assert.equal("local", mine.identity.name)
  end)
end)
