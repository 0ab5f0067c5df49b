-- What is seen of stored events, and done to them, through the API of a running service.

local events = require "spec.support.events"
local json = require "tide.json"
local support = require "spec.support.service"
local time = require "tide.time"

local SECRET = "s3cret-value-of-the-shop"
local PROVIDER = [[return {
  auth = { scheme = "bearer", secret = "api_key" },
  config = { redact_fields = { "card" } },
  operations = { get = { run = function() return {} end } },
}]]


describe("stored events", function()
  local project, service


  setup(function()
    project = support.project {
      ["config.lua"] = [[return {
        tokens = {
          { name = "owner", role = "admin", token = "the-token-of-config-lua" },
          { name = "operator", role = "operator", token = "the-token-of-an-operator" },
          { name = "viewer", role = "viewer", token = "the-token-of-a-viewer" },
          { name = "caller", role = "caller", token = "the-token-of-a-caller" },
          { name = "elsewhere", role = "operator", token = "the-token-of-another-one", integrations = { "other" } },
        },
        integrations = { shop = { base_url = "http://127.0.0.1:9" } },
      }]],
      ["providers/shop.lua"] = PROVIDER,
    }
    service = project:serve { environment = { TIDEGATE_SHOP_API_KEY = SECRET } }
    service.token = "the-token-of-config-lua"
  end)


  teardown(function()
    project:close()
  end)


  before_each(function()
    events.execute(project, {
      { sql = "DELETE FROM webhook_events", values = json.array() },
      { sql = "DELETE FROM audit_log", values = json.array() },
      { sql = "DELETE FROM webhook_dedupe", values = json.array() },
    })
  end)


  local function ask(method, path, token)
    return service:request(method, "/api/v1/events" .. path, { token = token, fresh_connection = true })
  end


  local function get(path, token)
    local status, body = ask("GET", path, token)
    assert.equal(200, status, json.encode(body))
    return body
  end


  -- The numbers of the events that a query finds.
  local function found(query, token)
    local numbers = {}
    for index, row in ipairs(get("?" .. query, token).data) do
      numbers[index] = tostring(math.tointeger(tonumber(row.id:sub(-12), 16)))
    end
    return table.concat(numbers, " ")
  end


  local function assert_refused(status, code, got, problem)
    assert.equal(status, got, json.encode(problem))
    assert.equal(code, problem.code)
    return problem
  end


  local function row(number)
    return events.query(project, "SELECT * FROM webhook_events WHERE id = $1", events.id(number))[1]
  end


  local function audit()
    return events.query(project, "SELECT actor, action, subject, integration_name, new_value, trace_id "
      .. "FROM audit_log ORDER BY id")
  end


  describe("are listed", function()
    before_each(function()
      events.store(project, {
        { number = 1, source = "ses", event_id = "evt_1", trace_id = ("a"):rep(32), body = "{}", headers = {} },
        { number = 2, integration_name = "other", ordering_key = "k" },
        { number = 3, status = "completed", event_type = "order.paid" },
        { number = 4, status = "pending", next_attempt_at = "2999-01-01T00:00:00.000Z" },
        { number = 5, status = "processing" },
      })
    end)


    it("newest first, without what is long", function()
      local rows = get("").data
      assert.equal(5, #rows)
      assert.equal(events.id(5), rows[1].id)
      assert.equal(events.id(1), rows[5].id)
      assert.same({ "ses", "evt_1", json.null, json.null, 1 },
        { rows[5].source, rows[5].event_id, rows[5].ordering_key, rows[5].signature_verified, rows[5].attempts })
      for _, name in ipairs { "headers", "payload", "body", "attempt_log", "processing_result" } do
        assert.is_nil(rows[5][name])
      end
    end)


    it("by each filter and by several", function()
      assert.equal("2 1", found("status=failed"))
      assert.equal("3", found("status=completed"))
      assert.equal("4", found("status=pending"))
      assert.equal("5", found("status=processing"))
      assert.equal("2", found("integration=other"))
      assert.equal("2", found("integration=other&status=failed"))
      assert.equal("", found("integration=other&status=pending"))
      assert.equal("4", found("integration=gone&status=pending"))
      assert.equal("3", found("type=order.paid"))
      assert.equal("1", found("source=ses"))
      assert.equal("1", found("event_id=evt_1"))
      assert.equal("1", found("trace_id=" .. ("a"):rep(32)))
      assert.equal("2", found("ordering_key=k"))
      assert.equal("4 3", found("from=2026-01-01T00:00:00.003Z&to=2026-01-01T00:00:00.005Z"))
      assert.equal("4", found("status=pending&from=2026-01-01T00:00:00.003Z&to=2026-01-01T00:00:00.005Z"))
      assert.equal("", found("status=pending&to=2026-01-01T00:00:00.004Z"))
    end)


    it("page by page", function()
      for _, status in ipairs { "", "&status=failed", "&status=pending" } do
        local seen, cursor = {}, nil
        repeat
          local page = get("?limit=1" .. status .. (cursor and "&cursor=" .. cursor or ""))
          seen[#seen + 1] = page.data[1].id
          cursor = page.next_cursor ~= json.null and page.next_cursor or nil
        until not cursor
        assert.equal(status == "" and 5 or status == "&status=failed" and 2 or 1, #seen)
      end
    end)


    it("to a bound token as far as they are its integrations'", function()
      assert.equal("2", found("", "the-token-of-another-one"))
      assert.equal("2", found("status=failed", "the-token-of-another-one"))
      assert.equal("", found("status=pending", "the-token-of-another-one"))
      assert.equal("", found("integration=gone", "the-token-of-another-one"))
    end)


    it("to viewers, and not by what there is not", function()
      assert.equal("5", found("status=processing", "the-token-of-a-viewer"))
      assert_refused(403, "forbidden", ask("GET", "", "the-token-of-a-caller"))
      assert_refused(401, "unauthorized", ask("GET", "", false))
      for _, query in ipairs { "status=done", "status=", "colour=red", "from=yesterday", "limit=0", "limit=501",
        "cursor=x", "status=failed&status=failed", "type=" .. ("t"):rep(256) } do
        assert_refused(400, "invalid_input", ask("GET", "?" .. query))
      end
    end)
  end)


  describe("are looked into", function()
    it("with everything decoded", function()
      events.store(project, { {
        number = 1, signature_verified = true, headers = { ["x-a"] = "b" }, payload = { a = { 1, json.null } },
        body = '{"a":[1,null]}', processing_result = { done = true }, content_type = "application/json",
        attempt_log = { { number = 1, error_type = "script_error", error_message = "no" } },
      } })
      local event = get("/" .. events.id(1):upper()).data
      assert.same({ ["x-a"] = "b" }, event.headers)
      assert.same({ a = { 1, json.null } }, event.payload)
      assert.equal('{"a":[1,null]}', event.body)
      assert.same({ done = true }, event.processing_result)
      assert.equal("no", event.attempt_log[1].error_message)
      assert.is_true(event.signature_verified)
      assert.equal(json.null, event.transaction_result)
      assert.equal(json.null, event.next_attempt_at)
    end)


    it("with a body that is no text as base64, and one that is none as null", function()
      events.store(project, { { number = 2 } })
      events.execute(project, { {
        sql = "INSERT INTO webhook_events (id, integration_name, event_type, body) VALUES ($1, 'gone', '', x'00ff41')",
        values = { events.id(1) },
      } })
      assert.same({ base64 = "AP9B" }, get("/" .. events.id(1)).data.body)
      assert.equal(json.null, get("/" .. events.id(2)).data.body)
    end)


    it("without the body by who may not change them", function()
      events.store(project, { { number = 1, body = "secret business", payload = { a = 1 } } })
      local event = get("/" .. events.id(1), "the-token-of-a-viewer").data
      assert.is_nil(event.body)
      assert.same({ a = 1 }, event.payload)
      assert.equal("secret business", get("/" .. events.id(1), "the-token-of-an-operator").data.body)
    end)


    it("without a body that is too long to be looked through", function()
      events.execute(project, { {
        sql = "INSERT INTO webhook_events (id, integration_name, event_type, payload, body) "
          .. "VALUES ($1, 'gone', '', '{}', zeroblob(9000000))",
        values = { events.id(1) },
      } })
      local event = get("/" .. events.id(1)).data
      assert.same({ 9000000, json.null, json.null }, { event.body_bytes, event.body, event.payload })
    end)


    it("without secrets and what the integration conceals, whatever the form", function()
      local content = { card = "4111-2222", password = "hidden-one", note = "of " .. SECRET }
      events.store(project, {
        { number = 1, integration_name = "shop", headers = { authorization = "Bearer hidden-two", ["x-n"] = SECRET },
          payload = content, body = json.encode(content), content_type = "application/json",
          processing_result = content, transaction_result = content, error_message = "it says " .. SECRET,
          attempt_log = { { error_message = SECRET, traceback = "at " .. SECRET } } },
        { number = 2, integration_name = "shop", content_type = "application/x-www-form-urlencoded",
          body = "card=4111-2222&password=hidden-one&note=" .. SECRET },
        { number = 3, integration_name = "shop", content_type = "text/plain", body = "note " .. SECRET },
      })
      for number = 1, 3 do
        local shown = json.encode(get("/" .. events.id(number)))
        for _, hidden in ipairs { SECRET, "4111-2222", "hidden-one", "hidden-two" } do
          assert.is_nil(shown:find(hidden, 1, true), hidden .. " of " .. number)
        end
      end
      assert.is_nil(json.encode(get("")):find(SECRET, 1, true))
    end)


    it("only where they are", function()
      events.store(project, { { number = 1 } })
      assert_refused(404, "not_found", ask("GET", "/" .. events.id(2)))
      assert_refused(404, "not_found", ask("GET", "/" .. events.id(1), "the-token-of-another-one"))
      assert_refused(400, "invalid_input", ask("GET", "/nothing"))
    end)
  end)


  describe("are run again", function()
    it("when they have failed, or completed, or wait for it", function()
      events.store(project, {
        { number = 1, retry_count = 8, error_type = "script_error", error_message = "no" },
        { number = 2, status = "completed" },
        { number = 3, status = "pending", next_attempt_at = "2999-01-01T00:00:00.000Z", retry_count = 3 },
      })
      for number = 1, 3 do
        local status, body = ask("POST", "/" .. events.id(number) .. "/retry", "the-token-of-an-operator")
        assert.equal(200, status, json.encode(body))
        assert.same({ id = events.id(number), status = "pending" }, body.data)
        local stored = row(number)
        assert.same({ "pending", 0, 1 }, { stored.status, stored.retry_count, stored.attempts })
        assert.is_true(stored.next_attempt_at < "2999")
      end
      assert.equal("no", row(1).error_message)
      local notes = audit()
      assert.equal(3, #notes)
      assert.same({ "operator", "event.retry", events.id(1), "gone" },
        { notes[1].actor, notes[1].action, notes[1].subject, notes[1].integration_name })
      assert.equal(32, #notes[1].trace_id)
    end)


    it("not while they run, are due, or wait for another", function()
      events.store(project, {
        { number = 1, status = "processing" },
        { number = 2, status = "pending", next_attempt_at = "2026-01-01T00:00:00.000Z" },
        { number = 3, status = "pending", ordering_key = "k" },
      })
      for number = 1, 3 do
        local before = row(number)
        assert_refused(409, "conflict", ask("POST", "/" .. events.id(number) .. "/retry"))
        assert.same(before, row(number))
      end
      assert_refused(404, "not_found", ask("POST", "/" .. events.id(4) .. "/retry"))
      assert.equal(0, #audit())
    end)


    it("one at a time of an ordering key", function()
      events.store(project, {
        { number = 1, ordering_key = "k" }, { number = 2, ordering_key = "k" },
        { number = 3, ordering_key = "k", integration_name = "other" },
      })
      for number = 1, 3 do
        assert.equal(200, (ask("POST", "/" .. events.id(number) .. "/retry")))
      end
      assert.is_string(row(1).next_attempt_at)
      assert.is_nil(row(2).next_attempt_at)
      assert.is_string(row(3).next_attempt_at)
    end)


    it("by operators of their integration", function()
      events.store(project, { { number = 1 }, { number = 2, integration_name = "other" } })
      local path = "/" .. events.id(1) .. "/retry"
      assert_refused(403, "forbidden", ask("POST", path, "the-token-of-a-viewer"))
      assert_refused(404, "not_found", ask("POST", path, "the-token-of-another-one"))
      assert.equal("failed", row(1).status)
      assert.equal(200, (ask("POST", "/" .. events.id(2) .. "/retry", "the-token-of-another-one")))
    end)
  end)


  describe("are run again in bulk", function()
    local function bulk(query, token)
      local status, body = ask("POST", "/retry?" .. query, token)
      assert.equal(200, status, json.encode(body))
      return body.data
    end


    local function pending()
      return events.query(project, "SELECT count(*) AS n FROM webhook_events WHERE status = 'pending'")[1].n
    end


    it("by what they are", function()
      events.store(project, {
        { number = 1 }, { number = 2, event_type = "order.paid" }, { number = 3, integration_name = "other" },
        { number = 4, status = "completed" }, { number = 5, status = "processing" },
        { number = 6, source = "ses" },
      })
      assert.same({ matched = 1, retried = 0, dry_run = true }, bulk("type=order.paid&dry_run=true"))
      assert.equal(0, pending())
      assert.same({ matched = 1, retried = 1, dry_run = false }, bulk("type=order.paid"))
      assert.same({ matched = 1, retried = 1, dry_run = false }, bulk("integration=gone&source=ses"))
      assert.same({ matched = 1, retried = 1, dry_run = false }, bulk("status=failed", "the-token-of-another-one"))
      assert.same({ matched = 1, retried = 1, dry_run = false }, bulk("status=completed"))
      assert.same({ matched = 0, retried = 0, dry_run = false },
        bulk("from=2026-01-01T00:00:00.002Z&to=2026-01-01T00:00:01Z"))
      assert.same({ matched = 1, retried = 1, dry_run = false }, bulk("to=2026-01-01T00:00:00.002Z"))
      assert.equal("processing", row(5).status)
      local notes = audit()
      assert.equal(5, #notes)
      assert.equal("event.retry_many", notes[1].action)
      assert.same({ type = "order.paid", status = "failed" }, json.decode(notes[1].new_value).filters)
    end)


    it("however many there are, each once", function()
      events.execute(project, { {
        sql = "INSERT INTO webhook_events (integration_name, event_type, status, attempts) "
          .. "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1234) "
          .. "SELECT 'gone', 'x', 'failed', 1 FROM n", values = json.array(),
      } })
      assert.same({ matched = 1234, retried = 0, dry_run = true }, bulk("integration=gone&dry_run=true"))
      assert.same({ matched = 1234, retried = 1234, dry_run = false }, bulk("integration=gone"))
      assert.equal(1234, pending())
      assert.equal(7, #audit())
    end)


    it("one at a time of an ordering key, the first first", function()
      events.store(project, {
        { number = 1, ordering_key = "k" }, { number = 2, ordering_key = "k" }, { number = 3, ordering_key = "j" },
        { number = 4, ordering_key = "j", status = "pending", next_attempt_at = "2999-01-01T00:00:00.000Z" },
      })
      bulk("status=failed")
      assert.is_string(row(1).next_attempt_at)
      assert.is_nil(row(2).next_attempt_at)
      assert.is_nil(row(3).next_attempt_at)
    end)


    it("in no more time where events of an ordering key have many others beside them", function()
      local statements = {}
      for first = 1, 50000, 5000 do -- a statement has its time
        statements[#statements + 1] = {
          sql = "INSERT INTO webhook_events (integration_name, event_type, status, attempts, ordering_key) "
            .. "WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $1 + 4999) "
            .. "SELECT 'gone', 'x', CASE WHEN i % 100 = 0 THEN 'failed' ELSE 'completed' END, 1, 'k' || i FROM n",
          values = json.array { first },
        }
      end
      events.execute(project, statements)
      local started = time.monotonic()
      assert.equal(500, bulk("status=failed").retried)
      assert.is_true(time.monotonic() - started < 3)
    end)


    it("not without saying which, nor what still runs", function()
      events.store(project, { { number = 1 } })
      for _, query in ipairs { "", "dry_run=true", "source=ses", "status=processing", "status=pending",
        "status=failed&dry_run=perhaps", "status=failed&limit=1" } do
        assert_refused(400, "invalid_input", ask("POST", "/retry?" .. query))
      end
      assert_refused(403, "forbidden", ask("POST", "/retry?status=failed", "the-token-of-a-viewer"))
      assert.equal(0, pending())
    end)
  end)


  describe("of an ordering key", function()
    -- A key with these events: number by number its state, "next" where it may run.
    local function line(...)
      local rows = {}
      for number, state in ipairs { ... } do
        rows[number] = { number = number, ordering_key = "k", status = state == "next" and "pending" or state,
          next_attempt_at = state == "next" and "2999-01-01T00:00:00.000Z" or nil }
      end
      events.store(project, rows)
    end


    -- The numbers of those that may run.
    local function running()
      local numbers = {}
      for index, one in ipairs(events.query(project, "SELECT id FROM webhook_events WHERE status = 'processing' "
        .. "OR status = 'pending' AND next_attempt_at IS NOT NULL ORDER BY id")) do
        numbers[index] = tostring(math.tointeger(tonumber(one.id:sub(-12), 16)))
      end
      return table.concat(numbers, " ")
    end


    it("the next one runs when the one before it is discarded", function()
      line("next", "pending", "pending")
      assert.equal(204, (ask("DELETE", "/" .. events.id(1))))
      assert.equal("2", running())
      assert.equal(204, (ask("DELETE", "/" .. events.id(3))))
      assert.equal("2", running())
    end)


    it("an earlier one that is retried waits for the one that is under way", function()
      line("failed", "processing", "pending", "failed")
      assert.equal(200, (ask("POST", "/" .. events.id(1) .. "/retry")))
      assert.equal("2", running())
      assert.equal(204, (ask("DELETE", "/" .. events.id(4))))
      assert.equal("2", running())
      assert.equal(204, (ask("DELETE", "/" .. events.id(3))))
      assert.equal("2", running())
    end)


    it("a bulk retry lets one of them run", function()
      line("failed", "failed", "completed", "failed")
      assert.equal(3, select(2, ask("POST", "/retry?status=failed")).data.retried)
      assert.equal("1", running())
      assert.equal(1, select(2, ask("POST", "/retry?status=completed")).data.retried)
      assert.equal("1", running())
    end)
  end)


  it("end the alert on failed ones when none is left", function()
    local function open_alerts()
      return events.query(project, "SELECT count(*) AS n FROM alerts WHERE resolved_at IS NULL")[1].n
    end
    events.store(project, { { number = 1 }, { number = 2 }, { number = 3, integration_name = "other" } })
    for _, name in ipairs { "gone", "other" } do
      events.insert(project, "alerts", { { kind = "webhook_failed", severity = "warning", integration_name = name,
        message = "failed" } })
    end
    ask("POST", "/" .. events.id(1) .. "/retry")
    assert.equal(2, open_alerts())
    ask("DELETE", "/" .. events.id(2))
    support.wait("the alert to end", function() return open_alerts() == 1 end)
    ask("POST", "/retry?status=failed")
    support.wait("the other to end", function() return open_alerts() == 0 end)
    events.execute(project, { { sql = "DELETE FROM alerts", values = json.array() } })
  end)


  describe("are discarded", function()
    it("and a resend stays a duplicate", function()
      events.store(project, { { number = 1 }, { number = 2 } })
      events.insert(project, "webhook_dedupe", { { integration = "gone", key = "evt", event_row_id = events.id(1),
        expires_at = "2999-01-01T00:00:00.000Z" } })
      assert.equal(204, (ask("DELETE", "/" .. events.id(1), "the-token-of-an-operator")))
      assert.is_nil(row(1))
      assert.is_table(row(2))
      assert.equal(1, #events.query(project, "SELECT * FROM webhook_dedupe"))
      local notes = audit()
      assert.equal(1, #notes)
      assert.same({ "operator", "event.discard", events.id(1) },
        { notes[1].actor, notes[1].action, notes[1].subject })
    end)


    it("not while they run, nor by others", function()
      events.store(project, { { number = 1, status = "processing" }, { number = 2 } })
      assert_refused(409, "conflict", ask("DELETE", "/" .. events.id(1)))
      assert_refused(404, "not_found", ask("DELETE", "/" .. events.id(3)))
      assert_refused(403, "forbidden", ask("DELETE", "/" .. events.id(2), "the-token-of-a-viewer"))
      assert_refused(404, "not_found", ask("DELETE", "/" .. events.id(2), "the-token-of-another-one"))
      assert.is_table(row(1))
      assert.is_table(row(2))
      assert.equal(0, #audit())
    end)
  end)
end)
