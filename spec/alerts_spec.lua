local host = require "tide.host"
local json = require "tide.json"
local store = require "tide.store"
local alerts = require "tide.alerts"
local state = require "tide.state.secrets"
local events = require "spec.support.events"
local opened = require "spec.support.store"
local support = require "spec.support.service"


describe("an alert", function()
  setup(function()
    opened.open()
    local tables = host.asset("scripts/migrations/001_tables.sqlite.sql")
    assert(store.execute((tables:match("CREATE TABLE alerts .-\n%);"))))
    local index = host.asset("scripts/migrations/004_alerts.sqlite.sql"):match("CREATE UNIQUE INDEX [^;]*")
    assert(store.execute(index))
  end)


  teardown(function()
    assert(store.execute("DROP TABLE alerts"))
  end)


  before_each(function()
    assert(store.execute("DELETE FROM alerts"))
  end)


  local function rows()
    assert(store.flush())
    return assert(store.query("SELECT * FROM alerts ORDER BY id"))
  end


  it("is one for a kind and integration while it is open, and counts", function()
    for index = 1, 3 do
      alerts.raise("webhook_failed", "warning", "shop", "number " .. index, { number = index })
    end
    alerts.raise("webhook_failed", "warning", "other", "of another")
    alerts.raise("disk", "critical", nil, "full")
    alerts.raise("disk", "critical", nil, "full")
    local list = rows()
    assert.equal(3, #list)
    assert.same({ 3, "number 3", "shop" }, { list[1].occurrences, list[1].message, list[1].integration_name })
    assert.same({ number = 3 }, json.decode(list[1].details))
    assert.equal(1, list[2].occurrences)
    assert.equal(2, list[3].occurrences)
    assert.is_nil(list[3].integration_name)
  end)


  it("is news again when it is raised after somebody has seen it", function()
    alerts.raise("disk", "warning", nil, "full")
    rows()
    assert(store.execute("UPDATE alerts SET acknowledged_at = 'then', acknowledged_by = 'me'"))
    alerts.raise("disk", "warning", nil, "full")
    assert.is_nil(rows()[1].acknowledged_at)
    assert.is_nil(rows()[1].acknowledged_by)
  end)


  it("is another one after it was resolved", function()
    alerts.raise("disk", "warning", nil, "full")
    alerts.raise("disk", "warning", "shop", "full")
    rows()
    assert(store.transaction({ alerts.resolve_statement("disk") }))
    alerts.raise("disk", "warning", nil, "full again")
    local list = rows()
    assert.equal(3, #list)
    assert.is_string(list[1].resolved_at)
    assert.is_nil(list[2].resolved_at)
    assert.same({ "full again", 1 }, { list[3].message, list[3].occurrences })
  end)


  it("goes on when it was raised again since its reason was seen to be gone", function()
    alerts.raise("disk", "warning", "shop", "full")
    rows()
    assert(store.transaction({ alerts.resolve_statement("disk", "shop", "2026-01-01T00:00:00.000Z") }))
    assert.is_nil(rows()[1].resolved_at)
    assert(store.transaction({ alerts.resolve_statement("disk", "shop", "2999-01-01T00:00:00.000Z") }))
    assert.is_string(rows()[1].resolved_at)
  end)


  it("stands or falls with the transaction that its statement is in", function()
    local statement = alerts.statement("disk", "warning", "shop", "full")
    assert.is_nil(store.transaction({ statement, { "INSERT INTO alerts (id) VALUES (NULL)" } }))
    assert.equal(0, #rows())
    assert(store.transaction({ statement }))
    assert.equal(1, #rows())
  end)


  it("tells no secret, and is of bounded length", function()
    local secret = "s3cret-value-in-an-alert"
    state.put("alerts_spec", "key", secret, "stored")
    alerts.raise("disk", "warning", nil, ("x"):rep(2030) .. secret .. ("y"):rep(5000), { password = "hidden",
      at = secret })
    alerts.raise("large", "warning", nil, "x", { ("z"):rep(60000), ("z"):rep(60000) })
    state.remove("alerts_spec", "key")
    local list = rows()
    assert.is_true(#list[1].message <= 2048)
    assert.is_nil(json.encode(list):find("s3cret", 1, true))
    assert.is_nil(json.encode(list):find("hidden", 1, true))
    assert.is_nil(list[2].details)
  end)


  it("refuses what is no kind or no severity", function()
    for _, kind in ipairs { "", "Two Words", ("k"):rep(51), 7 } do
      assert.has_error(function() alerts.raise(kind, "warning", nil, "x") end,
        "the kind of an alert is a word such as webhook_failed")
    end
    assert.has_error(function() alerts.raise("disk", "loud", nil, "x") end,
      "the severity of an alert is info, warning or critical")
    assert.equal(0, #rows())
  end)
end)


describe("alerts and the audit log", function()
  local project, service


  setup(function()
    project = support.project {
      ["config.lua"] = [[return {
        tokens = {
          { name = "owner", role = "admin", token = "the-token-of-config-lua" },
          { name = "operator", role = "operator", token = "the-token-of-an-operator" },
          { name = "viewer", role = "viewer", token = "the-token-of-a-viewer" },
          { name = "elsewhere", role = "admin", token = "the-token-of-another-one", integrations = { "other" } },
        },
      }]],
    }
    service = project:serve()
    service.token = "the-token-of-config-lua"
  end)


  teardown(function()
    project:close()
  end)


  before_each(function()
    events.execute(project, {
      { sql = "DELETE FROM alerts", values = json.array() }, { sql = "DELETE FROM audit_log", values = json.array() },
    })
    events.insert(project, "alerts", {
      { id = events.id(1), kind = "disk", severity = "critical", message = "full" },
      { id = events.id(2), kind = "webhook_failed", severity = "warning", message = "failed",
        integration_name = "other", details = { event = 7 } },
      { id = events.id(3), kind = "disk", severity = "warning", message = "was full",
        resolved_at = "2026-01-02T00:00:00.000Z" },
    })
  end)


  local function ask(method, path, token)
    return service:request(method, "/api/v1/" .. path, { token = token, fresh_connection = true })
  end


  -- What a list finds, as the numbers of its rows.
  local function found(path, token)
    local status, body = ask("GET", path, token)
    assert.equal(200, status, json.encode(body))
    local numbers = {}
    for index, row in ipairs(body.data) do
      numbers[index] = tostring(math.tointeger(tonumber(row.id:sub(-12), 16)))
    end
    return table.concat(numbers, " ")
  end


  it("are listed by what they are", function()
    assert.equal("3 2 1", found("alerts"))
    assert.equal("2 1", found("alerts?open=true"))
    assert.equal("3", found("alerts?open=false"))
    assert.equal("3 1", found("alerts?kind=disk"))
    assert.equal("2", found("alerts?integration=other"))
    assert.equal("1", found("alerts?severity=critical&acknowledged=false"))
    assert.equal("2", found("alerts?limit=1&cursor=" .. events.id(3)))
    assert.equal("2", found("alerts", "the-token-of-another-one"))
    local _, body = ask("GET", "alerts?integration=other", "the-token-of-a-viewer")
    assert.same({ { event = 7 }, 1, json.null, "warning" }, { body.data[1].details, body.data[1].occurrences,
      body.data[1].resolved_at, body.data[1].severity })
    assert.equal(400, (ask("GET", "alerts?open=perhaps")))
  end)


  it("are acknowledged once, by operators of their integration", function()
    local path = "alerts/" .. events.id(1) .. "/ack"
    assert.equal(403, (ask("POST", path, "the-token-of-a-viewer")))
    assert.equal(404, (ask("POST", path, "the-token-of-another-one")))
    assert.equal(404, (ask("POST", "alerts/" .. events.id(9) .. "/ack")))
    assert.equal(400, (ask("POST", "alerts/nothing/ack")))
    local status, body = ask("POST", path, "the-token-of-an-operator")
    assert.equal(200, status)
    assert.equal("operator", body.data.acknowledged_by)
    assert.equal(json.null, body.data.resolved_at)
    local at = body.data.acknowledged_at
    body = select(2, ask("POST", path))
    assert.same({ at, "operator" }, { body.data.acknowledged_at, body.data.acknowledged_by })
    assert.equal("1", found("alerts?acknowledged=true"))
    status, body = ask("GET", "audit")
    assert.equal(200, status)
    assert.equal(1, #body.data)
    assert.same({ "operator", "alert.ack", events.id(1), { kind = "disk", occurrences = 1 }, json.null },
      { body.data[1].actor, body.data[1].action, body.data[1].subject, body.data[1].new_value, body.data[1].old_value })
  end)


  it("tell administrators what was changed, by whom", function()
    events.insert(project, "audit_log", {
      { id = events.id(1), actor = "a", action = "event.retry", integration_name = "shop" },
      { id = events.id(2), actor = "b", action = "event.retry", integration_name = "other",
        new_value = { password = "hidden", status = "pending" } },
      { id = events.id(3), actor = "a", action = "token.create" },
    })
    assert.equal("3 2 1", found("audit"))
    assert.equal("3 1", found("audit?actor=a"))
    assert.equal("2 1", found("audit?action=event.retry"))
    assert.equal("2", found("audit?integration=other"))
    assert.equal("2", found("audit?from=2026-01-01T00:00:00.002Z&to=2026-01-01T00:00:00.003Z"))
    assert.equal("2", found("audit", "the-token-of-another-one"))
    local _, body = ask("GET", "audit?integration=other")
    assert.same({ password = "[redacted]", status = "pending" }, body.data[1].new_value)
    assert.equal(403, (ask("GET", "audit", "the-token-of-an-operator")))
    assert.equal(400, (ask("GET", "audit?colour=red")))
  end)
end)
