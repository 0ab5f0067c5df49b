local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local OTHER_KEY <const> = crypto.base64(("o"):rep(32))

-- Tells a digest of what it is given, so that no value is in an answer.
local SHOP <const> = [[
local crypto = require "tide.crypto"
return {
  config = { base_url = "http://127.0.0.1:1" },
  secrets = { "webhook_secret", "api_key" },
  operations = {
    look = { run = function(ctx) return { digest = crypto.hex(crypto.digest("sha256", ctx.secret("api_key"))) } end },
  },
}
]]


local function digest(value)
  return crypto.hex(crypto.digest("sha256", value))
end


describe("the secrets of an integration", function()
  local project, service
  local path = "/api/v1/integrations/shop/secrets"


  local function serve(environment, workers)
    environment = environment or {}
    environment.TIDEGATE_MASTER_KEY = environment.TIDEGATE_MASTER_KEY or KEY
    service = project:serve { environment = environment, workers = workers or 2 }
  end


  before_each(function()
    project = support.project { ["providers/shop.lua"] = SHOP }
  end)


  after_each(function()
    project:close()
  end)


  local function put(name, value, keep_seconds)
    return service:request("PUT", path .. "/" .. name, { json = { value = value,
      keep_previous_seconds = keep_seconds } })
  end


  local function stored(name, value, keep_seconds)
    local status, body = put(name, value, keep_seconds)
    assert.equal(200, status, body.detail)
    return body.data
  end


  local function listed(name)
    local status, body = service:request("GET", path)
    assert.equal(200, status, body.detail)
    for _, entry in ipairs(body.data) do
      if entry.name == name then
        return entry
      end
    end
  end


  local function seen()
    local status, body = service:call("shop", "look")
    return status == 200 and body.data.digest or body.code
  end


  -- Nothing that is left of the service or was said by it holds any of these texts.
  local function assert_nowhere(values)
    local texts = { service:stdout(), service:stderr() }
    for _, file in ipairs { "tidegate.db", "tidegate.db-wal" } do
      texts[#texts + 1] = host.read_file(project.folder .. "/var/" .. file)
    end
    for _, text in ipairs(texts) do
      for _, value in ipairs(values) do
        assert.is_nil(text:find(value, 1, true))
        assert.is_nil(text:find(crypto.base64(value), 1, true))
      end
    end
  end


  it("are listed with where they come from, never with their values", function()
    serve { TIDEGATE_SHOP_API_KEY = "from-the-environment" }
    local status, body, headers = service:request("GET", path)
    assert.equal(200, status)
    assert.same({
      { name = "api_key", source = "environment", updated_at = json.null, previous_expires_at = json.null },
      { name = "webhook_secret", source = "missing", updated_at = json.null, previous_expires_at = json.null },
    }, body.data)
    assert.equal("no-store", headers["cache-control"])
    assert.is_nil(json.encode(body):find("from-the-environment", 1, true))
  end)


  it("take effect on every worker as soon as they are stored", function()
    serve({}, 4)
    assert.equal("not_configured", seen())
    for round = 1, 5 do
      local value = "value-number-" .. round
      local entry = stored("api_key", value)
      assert.equal("stored", entry.source)
      for _ = 1, 12 do
        local status, body = service:request("POST", "/api/v1/integrations/shop/look", { json = json.decode("{}"),
          fresh_connection = true })
        assert.equal(200, status, body.detail)
        assert.equal(digest(value), body.data.digest)
      end
    end
    assert.equal("stored", listed("api_key").source)
  end)


  it("are nowhere to be read: not in the store, the log, answers, metrics or the audit log", function()
    serve { TIDEGATE_SHOP_API_KEY = "environment-value-0123" }
    local values = { "environment-value-0123", "stored-value-number-one", "stored-value-number-two", KEY }
    stored("api_key", values[2], 600)
    local answers = { json.encode(stored("api_key", values[3], 600)) }
    assert.equal(digest(values[3]), seen())
    for _, one in ipairs { path, "/metrics", "/health", "/api/v1/status", "/api/v1/logs",
      "/api/v1/integrations/shop" } do
      local _, body = service:request("GET", one)
      answers[#answers + 1] = type(body) == "string" and body or json.encode(body)
    end
    for _, answer in ipairs(answers) do
      for _, value in ipairs(values) do
        assert.is_nil(answer:find(value, 1, true))
      end
    end
    assert_nowhere(values)
    assert.equal(0, service:stop())
    assert_nowhere(values)
    local rows = project:query("SELECT action, actor, integration_name, subject, old_value, new_value FROM audit_log "
      .. "WHERE action LIKE 'secret%' ORDER BY id")
    assert.equal(2, #rows)
    assert.same({ "secret.put", "admin", "shop", "api_key" },
      { rows[1].action, rows[1].actor, rows[1].integration_name, rows[1].subject })
    assert.equal("environment", json.decode(rows[1].old_value).source)
    assert.equal("stored", json.decode(rows[2].old_value).source)
  end)


  it("outlive a restart, and beat the environment", function()
    serve { TIDEGATE_SHOP_API_KEY = "environment-value" }
    local entry = stored("api_key", "stored-value", 600)
    assert.equal(0, service:stop())
    serve { TIDEGATE_SHOP_API_KEY = "environment-value" }
    assert.equal(digest("stored-value"), seen())
    assert.same(entry, listed("api_key"))
    assert.is_true(time.parse(entry.previous_expires_at) > time.now() + 500)
  end)


  it("give way to the environment again when they are deleted", function()
    serve { TIDEGATE_SHOP_API_KEY = "environment-value" }
    stored("api_key", "stored-value", 600)
    stored("webhook_secret", "stored-value")
    assert.equal(204, (service:request("DELETE", path .. "/api_key")))
    assert.equal(204, (service:request("DELETE", path .. "/webhook_secret")))
    assert.equal(digest("environment-value"), seen())
    assert.same({ name = "api_key", source = "environment", updated_at = json.null, previous_expires_at = json.null },
      listed("api_key"))
    assert.equal("missing", listed("webhook_secret").source)
    assert.equal(404, (service:request("DELETE", path .. "/api_key")))
    assert.equal(0, service:stop())
    assert.same({}, project:query("SELECT name FROM secrets"))
  end)


  it("lose their previous value when it expires, in the service and in the store", function()
    serve { TIDEGATE_SHOP_API_KEY = "environment-value" }
    local entry = stored("api_key", "stored-value", 1)
    assert.is_string(entry.previous_expires_at)
    support.wait("the previous value to expire", function()
      return listed("api_key").previous_expires_at == json.null
    end)
    assert.equal(digest("stored-value"), seen())
    assert.equal(0, service:stop())
    serve()
    support.wait("the row to be cleaned", function()
      local _, body = service:request("GET", path)
      return body.data[1].previous_expires_at == json.null
    end)
    assert.equal(0, service:stop())
    assert.same({ { name = "api_key" } },
      project:query("SELECT name, previous_expires_at, previous_encrypted FROM secrets"))
  end)


  it("can be of any text up to 64 KB", function()
    serve()
    for _, value in ipairs { "x", "값\0\n\"\\ü€😀", ("v"):rep(65536) } do
      stored("api_key", value)
      assert.equal(digest(value), seen())
    end
    assert.equal(0, service:stop())
    serve()
    assert.equal(digest(("v"):rep(65536)), seen())
  end)


  it("that are too many for the process are refused, and change nothing", function()
    serve()
    stored("api_key", ("a"):rep(65536))
    stored("api_key", ("b"):rep(65536), 600)
    stored("webhook_secret", "small")
    local status, problem = put("webhook_secret", ("d"):rep(65536))
    if status == 200 then
      status, problem = put("webhook_secret", ("e"):rep(65536), 600)
    end
    assert.equal(413, status)
    assert.equal("payload_too_large", problem.code)
    assert.matches("bytes in %d+ secrets are taken", problem.detail)
    assert.is_not.equal("missing", listed("webhook_secret").source)
    assert.equal(digest(("b"):rep(65536)), seen())
    assert.equal(0, service:stop())
    serve()
    assert.equal(digest(("b"):rep(65536)), seen())
  end)


  it("are refused when anything about them is wrong", function()
    serve()
    local base = "/api/v1/integrations/"
    local cases = {
      { "PUT", base .. "nobody/secrets/api_key", { value = "a" }, 404, "no_such_operation" },
      { "PUT", path .. "/api_kei", { value = "a" }, 404, "not_found" },
      { "DELETE", path .. "/nothing", nil, 404, "not_found" },
      { "POST", path .. "/api_key", { value = "a" }, 405, "method_not_allowed" },
      { "PUT", path .. "/api_key", {}, 400, "#/value" },
      { "PUT", path .. "/api_key", { value = "" }, 400, "#/value" },
      { "PUT", path .. "/api_key", { value = 42 }, 400, "#/value" },
      { "PUT", path .. "/api_key", { value = ("v"):rep(65537) }, 400, "#/value" },
      { "PUT", path .. "/api_key", { value = "a", keep_previous_seconds = -1 }, 400, "#/keep_previous_seconds" },
      { "PUT", path .. "/api_key", { value = "a", keep_previous_seconds = 1.5 }, 400, "#/keep_previous_seconds" },
      { "PUT", path .. "/api_key", { value = "a", keep_previous_seconds = 31536001 }, 400, "#/keep_previous_seconds" },
      { "PUT", path .. "/api_key", { value = "a", ["the-secret-itself"] = 1 }, 400, "#" },
    }
    for _, case in ipairs(cases) do
      local status, problem = service:request(case[1], case[2], { json = case[3] })
      assert.equal(case[4], status, case[2])
      assert.equal(case[5], problem.errors and problem.errors[1].pointer or problem.code)
      assert.is_nil(json.encode(problem):find("the-secret-itself", 1, true))
    end
    local _, problem = service:request("PUT", path .. "/api_kei", { json = { value = "a" } })
    assert.matches("did you mean api_key", problem.detail)
    local status, broken = service:request("PUT", path .. "/api_key", { body = '{"value":the-secret-itself}' })
    assert.equal(400, status)
    assert.is_nil(json.encode(broken):find("the-secret", 1, true))
    assert.equal("missing", listed("api_key").source)
  end)


  it("are for administrators, and for those of the integration", function()
    serve()
    for _, role in ipairs { "caller", "viewer", "operator" } do
      local _, made = service:request("POST", "/api/v1/tokens", { json = { name = role, role = role } })
      for _, method in ipairs { "GET", "PUT", "DELETE" } do
        local status = service:request(method, method == "GET" and path or path .. "/api_key",
          { token = made.data.token, json = method == "PUT" and { value = "a" } or nil })
        assert.equal(403, status)
      end
    end
    local _, made = service:request("POST", "/api/v1/tokens", { json = { name = "bound", role = "admin",
      integrations = { "other" } } })
    assert.equal(403, (service:request("GET", path, { token = made.data.token })))
    assert.equal(403, (service:request("PUT", path .. "/api_key", { token = made.data.token, json = { value = "a" } })))
  end)


  it("end consistent when a hundred put at the same time", function()
    serve({}, 4)
    local branches = {}
    for index = 1, 100 do
      branches[index] = function()
        return (put(index % 2 == 0 and "api_key" or "webhook_secret", "concurrent-value-" .. index, 600))
      end
    end
    for _, status in ipairs(task.all(branches, { limit = 100 })) do
      assert.equal(200, status)
    end
    local before, entries = seen(), { listed("api_key"), listed("webhook_secret") }
    assert.equal(0, service:stop())
    serve()
    assert.equal(before, seen())
    assert.same(entries, { listed("api_key"), listed("webhook_secret") })
    assert.equal(0, service:stop())
    assert.equal(100, project:query("SELECT count(*) AS count FROM audit_log WHERE action = 'secret.put'")[1].count)
  end)


  describe("and the master key:", function()
    it("without one nothing is stored", function()
      service = project:serve()
      local status, problem = put("api_key", "a-value")
      assert.equal(503, status)
      assert.equal("not_configured", problem.code)
      assert.matches("set TIDEGATE_MASTER_KEY", problem.detail)
      assert.equal("missing", listed("api_key").source)
      local _, health = service:request("GET", "/health")
      assert.same({ "shop lacks a secret; its calls answer not_configured" }, health.reasons)
    end)


    it("a malformed one is said in the log and in health, and leaves what is stored alone", function()
      serve()
      stored("api_key", "stored-value")
      assert.equal(0, service:stop())
      serve { TIDEGATE_MASTER_KEY = KEY .. ",not-a-master-key-at-all", TIDEGATE_SHOP_API_KEY = "environment-value" }
      assert.equal("not_configured", seen())
      local status, problem = put("webhook_secret", "another-value")
      assert.equal(503, status)
      assert.equal("not_configured", problem.code)
      local _, health = service:request("GET", "/health")
      local reasons = json.encode(health.reasons)
      for _, text in ipairs { problem.detail, reasons, service:stdout() } do
        assert.matches("TIDEGATE_MASTER_KEY: key 2 of 2 is not 32 bytes in base64", text)
        assert.is_nil(text:find("not-a-master-key-at-all", 1, true))
      end
      assert.equal("degraded", health.status)
      assert.equal(0, service:stop())
      serve()
      assert.equal(digest("stored-value"), seen())
    end)


    it("without the right one a stored secret is missing, not replaced by the environment's", function()
      serve()
      stored("api_key", "stored-value")
      assert.equal(0, service:stop())
      serve { TIDEGATE_MASTER_KEY = OTHER_KEY, TIDEGATE_SHOP_API_KEY = "environment-value" }
      local status, problem = service:call("shop", "look")
      assert.equal(503, status)
      assert.matches("api_key of shop is stored under the master key %x+, which is not in TIDEGATE_MASTER_KEY",
        problem.detail)
      assert.equal("missing", listed("api_key").source)
      local _, health = service:request("GET", "/health")
      assert.matches("is stored under the master key", json.encode(health.reasons))
      assert.matches("is stored under the master key", service:stdout())
      assert.equal(0, service:stop())
      serve()
      assert.equal(digest("stored-value"), seen())
    end)


    it("a secret that cannot be opened is put anew, or deleted", function()
      serve()
      stored("api_key", "stored-value")
      stored("webhook_secret", "stored-value")
      assert.equal(0, service:stop())
      serve { TIDEGATE_MASTER_KEY = OTHER_KEY, TIDEGATE_SHOP_API_KEY = "environment-value" }
      stored("webhook_secret", "another-value", 600)
      assert.equal(204, (service:request("DELETE", path .. "/api_key")))
      assert.equal(digest("environment-value"), seen())
      local _, health = service:request("GET", "/health")
      assert.equal("healthy", health.status)
      assert.equal(json.null, listed("webhook_secret").previous_expires_at)
    end)


    local function id_of(key)
      return digest("tidegate key id" .. crypto.from_base64(key)):sub(1, 8)
    end


    it("with two, both decrypt and the first encrypts: what is stored at the start, too", function()
      serve()
      stored("api_key", "older-value")
      local entry = stored("api_key", "old-value", 600)
      assert.equal(0, service:stop())
      assert.equal(id_of(KEY), project:query("SELECT key_id FROM secrets")[1].key_id)
      serve { TIDEGATE_MASTER_KEY = OTHER_KEY .. ", " .. KEY }
      assert.equal(digest("old-value"), seen())
      assert.matches('"secrets":1', service:stdout())
      stored("webhook_secret", "new-value")
      assert.equal(0, service:stop())
      assert.same({ { name = "api_key", key_id = id_of(OTHER_KEY) }, { name = "webhook_secret",
        key_id = id_of(OTHER_KEY) } }, project:query("SELECT name, key_id FROM secrets ORDER BY name"))
      serve { TIDEGATE_MASTER_KEY = OTHER_KEY }
      assert.equal(digest("old-value"), seen())
      assert.same(entry, listed("api_key"))
    end)


    it("a row that was moved to another secret is not taken for it", function()
      serve()
      stored("api_key", "stored-value")
      assert.equal(0, service:stop())
      project:write("move.lua", [[
        local store = require "tide.store"
        assert(store.open("sqlite:var/tidegate.db"))
        assert(store.execute("UPDATE secrets SET name = 'webhook_secret'"))
        return 0
      ]])
      assert.equal(0, (project:run { "run", "move.lua" }))
      serve()
      assert.equal("missing", listed("webhook_secret").source)
      assert.matches("damaged or is that of another secret", service:stdout())
    end)
  end)
end)
