local json = require "tide.json"
local state = require "tide.state.secrets"
local task = require "tide.task"
local time = require "tide.time"
local tokens = require "tide.tokens"
local support = require "spec.support.service"

local SHOP = [[
return {
  config = { base_url = "http://127.0.0.1:1" },
  operations = { order = { input = true, run = function() return {} end, mock = function() return {} end } },
}
]]


describe("a token", function()
  local project, service


  setup(function()
    project = support.project {
      ["config.lua"] = [[return {
        defaults = { is_mock_mode = true },
        tokens = { { name = "fixed", role = "viewer", token = env("FIXED_TOKEN") } },
      }]],
      ["providers/shop.lua"] = SHOP,
      ["providers/mail.lua"] = SHOP,
    }
    local environment = { FIXED_TOKEN = "a-token-of-the-configuration" }
    service = project:serve { environment = environment, workers = 2 }
    -- With tokens in the configuration none is made at the start.
    local _, out = project:run({ "token", "create", "--name", "root", "--role", "admin" }, environment)
    service.token = out:match('"token":"([^"]+)"')
  end)


  teardown(function()
    project:close()
  end)


  local function create(fields)
    local status, body = service:request("POST", "/api/v1/tokens", { json = fields })
    assert.equal(201, status, body.detail)
    return body.data.token, body.data
  end


  local function status_of(method, path, token, body)
    return (service:request(method, path, { token = token, json = body }))
  end


  it("may do what its role may, and nothing else", function()
    local call = { "POST", "/api/v1/integrations/shop/order", { a = 1 } }
    local expected = {
      caller = { call = 200, list = 200, logs = 403, metrics = 403, status = 403, tokens = 403 },
      viewer = { call = 403, list = 200, logs = 200, metrics = 200, status = 200, tokens = 403 },
      operator = { call = 200, list = 200, logs = 200, metrics = 200, status = 200, tokens = 403 },
      admin = { call = 200, list = 200, logs = 200, metrics = 200, status = 200, tokens = 200 },
    }
    for role, statuses in pairs(expected) do
      local token = create { name = "a " .. role, role = role }
      assert.same(statuses, {
        call = status_of(call[1], call[2], token, call[3]),
        list = status_of("GET", "/api/v1/integrations", token),
        logs = status_of("GET", "/api/v1/logs", token),
        metrics = status_of("GET", "/metrics", token),
        status = status_of("GET", "/api/v1/status", token),
        tokens = status_of("GET", "/api/v1/tokens", token),
      }, role)
    end
  end)


  it("that is bound to integrations sees and calls no others", function()
    local token = create { name = "bound", role = "operator", integrations = { "shop" } }
    assert.equal(200, status_of("POST", "/api/v1/integrations/shop/order", token, { a = 1 }))
    local status, problem = service:request("POST", "/api/v1/integrations/mail/order", { token = token,
      json = { a = 1 } })
    assert.equal(403, status)
    assert.equal("forbidden", problem.code)
    service:call("mail", "order")
    assert.equal(403, status_of("GET", "/api/v1/integrations/mail", token))
    local _, list = service:request("GET", "/api/v1/integrations", { token = token })
    assert.equal(1, #list.data)
    local logs = support.wait("a row", function()
      local _, page = service:request("GET", "/api/v1/logs", { token = token })
      return page.data[1] and page.data
    end)
    for _, row in ipairs(logs) do
      assert.equal("shop", row.integration_name)
    end
    local mail = support.wait("the row", function()
      local _, all = service:request("GET", "/api/v1/logs?integration=mail&limit=1")
      return all.data[1]
    end)
    assert.equal(404, status_of("GET", "/api/v1/logs/" .. mail.id, token))
  end)


  it("that is bound learns nothing of other integrations from health, status and metrics", function()
    local token = create { name = "bound reader", role = "viewer", integrations = { "shop" } }
    service:call("mail", "order")
    local _, health = service:request("GET", "/health", { token = token })
    assert.is_string(health.integrations.shop)
    local _, status = service:request("GET", "/api/v1/status", { token = token })
    assert.is_string(status.data.generation.integrations.shop)
    local _, metrics = service:request("GET", "/metrics", { token = token })
    assert.matches('integration="shop"', metrics)
    assert.matches("tidegate_build_info", metrics)
    for _, answer in ipairs { json.encode(health), json.encode(status), metrics } do
      assert.is_nil(answer:find("mail", 1, true), answer)
    end
    local _, all = service:request("GET", "/metrics")
    assert.matches('integration="mail"', all)
  end)


  it("ends when it is revoked, at once", function()
    local token, entry = create { name = "short", role = "viewer" }
    assert.equal(200, status_of("GET", "/api/v1/logs", token))
    assert.equal(204, status_of("DELETE", "/api/v1/tokens/" .. entry.id))
    assert.equal(401, status_of("GET", "/api/v1/logs", token))
    assert.equal(404, status_of("DELETE", "/api/v1/tokens/" .. entry.id))
    assert.equal(404, status_of("DELETE", "/api/v1/tokens/nonsense"))
  end)


  it("works and ends on every worker at once, again and again", function()
    for round = 1, 10 do
      local token, entry = create { name = "brief", role = "viewer" }
      local made = time.monotonic()
      for _ = 1, 4 do
        assert.equal(200, (service:request("GET", "/api/v1/logs", { token = token, fresh_connection = true })))
      end
      assert.is_true(time.monotonic() - made < 2, round)
      assert.equal(204, status_of("DELETE", "/api/v1/tokens/" .. entry.id))
      for _ = 1, 2 do
        assert.equal(401, (service:request("GET", "/api/v1/logs", { token = token, fresh_connection = true })))
      end
    end
  end)


  it("notes its last use, once a minute at most", function()
    local token, entry = create { name = "used", role = "viewer" }
    local function last_used()
      local _, list = service:request("GET", "/api/v1/tokens?limit=500")
      for _, listed in ipairs(list.data) do
        if listed.id == entry.id then
          return listed.last_used_at ~= json.null and listed.last_used_at or nil
        end
      end
    end
    assert.is_nil(last_used())
    assert.equal(200, status_of("GET", "/api/v1/logs", token))
    local noted = support.wait("the use to be noted", last_used)
    assert.near(time.now(), time.parse(noted), 5)
    -- Another token that comes and goes makes no worker forget it.
    create { name = "other", role = "viewer" }
    for _ = 1, 20 do
      assert.equal(200, status_of("GET", "/api/v1/logs", token))
    end
    assert.equal(noted, last_used())
  end)


  it("ends when it expires", function()
    local token = create { name = "brief", role = "viewer", expires_at = time.format(time.now() + 0.5) }
    assert.equal(200, status_of("GET", "/api/v1/logs", token))
    support.wait("the token to expire", function() return status_of("GET", "/api/v1/logs", token) == 401 end)
  end)


  it("is listed without what would let anybody use it", function()
    local token, entry = create { name = "listed", role = "viewer", expires_days = 1 }
    assert.matches("^tidegate_[%w_-]+$", token)
    assert.equal(#"tidegate_" + 43, #token)
    local _, list = service:request("GET", "/api/v1/tokens?limit=500")
    for _, listed in ipairs(list.data) do
      assert.is_nil(listed.token)
      assert.is_nil(listed.hash)
    end
    assert.equal(entry.id, list.data[#list.data].id)
    assert.equal("listed", list.data[#list.data].name)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT", list.data[#list.data].expires_at)
  end)


  it("can come from the configuration", function()
    assert.is_false(project:exists("var/admin.token"))
    assert.equal(200, status_of("GET", "/api/v1/logs", "a-token-of-the-configuration"))
    assert.equal(403, status_of("GET", "/api/v1/tokens", "a-token-of-the-configuration"))
  end)


  it("is refused with a challenge, after a moment, when it is missing or wrong", function()
    for _, token in ipairs { false, "wrong", "tidegate_" .. ("A"):rep(43) } do
      local started = time.monotonic()
      local status, problem, headers = service:request("GET", "/api/v1/logs", { token = token })
      assert.equal(401, status)
      assert.equal("unauthorized", problem.code)
      assert.equal("Bearer", headers["www-authenticate"])
      assert.not_matches("redacted", problem.detail)
      assert.is_true(time.monotonic() - started >= 0.09)
    end
    local status = service:request("GET", "/api/v1/logs", { token = false, headers = { Authorization = "Basic YTpi" } })
    assert.equal(401, status)
  end)


  it("cannot be guessed at more than twenty times a second; who has one does not notice", function()
    local flood, counts, refused = {}, {}, nil
    for index = 1, 100 do
      flood[index] = function()
        return { service:request("GET", "/api/v1/logs", { token = "guess" .. index }) }
      end
    end
    for _, answer in ipairs(task.all(flood, { limit = 100 })) do
      counts[answer[1]] = (counts[answer[1]] or 0) + 1
      refused = answer[1] == 429 and answer or refused
    end
    -- The hundred may fall into two seconds.
    assert.is_true((counts[401] or 0) <= 40)
    assert.equal(100, (counts[401] or 0) + counts[429])
    assert.equal("rate_limited", refused[2].code)
    assert.equal("1", refused[3]["retry-after"])
    assert.equal(200, status_of("GET", "/api/v1/logs"))
  end)


  it("is made only when all its members are right", function()
    local cases = {
      { { role = "viewer" }, "#/name" },
      { { name = "a\nb", role = "viewer" }, "#/name" },
      { { name = "a", role = "king" }, "#/role" },
      { { name = "a", role = "viewer", integrations = {} }, "#/integrations" },
      { { name = "a", role = "viewer", integrations = { "No" } }, "#/integrations/0" },
      { { name = "a", role = "viewer", expires_days = -1 }, "#/expires_days" },
      { { name = "a", role = "viewer", expires_at = "soon" }, "#/expires_at" },
      { { name = "a", role = "viewer", rights = {} }, "#/rights" },
    }
    for _, case in ipairs(cases) do
      local status, problem = service:request("POST", "/api/v1/tokens", { json = case[1] })
      assert.equal(400, status)
      assert.equal(case[2], problem.errors[1].pointer)
    end
  end)


  it("that is made or revoked leaves a row in the audit log", function()
    local other = support.project()
    finally(function() other:close() end)
    local _, out = other:run { "token", "create", "--name", "audited", "--role", "caller" }
    local id = out:match('"id":"([^"]+)"')
    assert.equal(0, (other:run { "token", "revoke", id }))
    local rows = other:query("SELECT action, actor, subject, old_value, new_value FROM audit_log ORDER BY id")
    assert.equal(2, #rows)
    assert.same({ "token.create", "command line", id }, { rows[1].action, rows[1].actor, rows[1].subject })
    assert.matches('"audited"', rows[1].new_value)
    assert.is_nil(rows[1].new_value:find("tidegate_", 1, true))
    assert.equal("token.revoke", rows[2].action)
  end)
end)


describe("the tokens of config.lua", function()
  it("are known by hash, whether given as they are or as their SHA-256", function()
    local hash = tokens.hash("another-token-of-the-configuration")
    local known = tokens.configured {
      { name = "a", role = "caller", token = "a-token-of-the-configuration", integrations = { "shop" } },
      { name = "b", role = "admin", sha256 = hash:upper() },
    }
    assert.equal("a", known[tokens.hash("a-token-of-the-configuration")].name)
    assert.same({ shop = true }, known[tokens.hash("a-token-of-the-configuration")].integrations)
    assert.is_true(known[hash].rights.admin)
  end)


  it("are known to redaction, as long as they are there", function()
    finally(function() tokens.conceal {} end)
    tokens.conceal { { token = "first-configured-token" }, { sha256 = ("0"):rep(64) },
      { token = "second-configured-token" } }
    assert.equal("[redacted] [redacted]", state.redact("first-configured-token second-configured-token"))
    tokens.conceal { { token = "third-configured-token" } }
    assert.equal("[redacted] second-configured-token",
      state.redact("third-configured-token second-configured-token"))
  end)


  it("are refused when they could be guessed, or are wrong", function()
    for _, case in ipairs {
      { { name = "a", role = "admin", token = "short" }, "tokens%[1%] needs `token`" },
      { { name = "a", role = "admin" }, "tokens%[1%] needs `token`" },
      { { name = "a", role = "king", token = ("x"):rep(30) }, "tokens%[1%]: role must be" },
      { "a", "tokens%[1%] must be a table" },
    } do
      local known, fault = tokens.configured { case[1] }
      assert.is_nil(known)
      assert.matches(case[2], fault)
    end
  end)
end)
