-- What a service deletes when it has been kept long enough, and what it never does.

local events = require "spec.support.events"
local json = require "tide.json"
local row_id = require "tide.row_id"
local support = require "spec.support.service"
local time = require "tide.time"

local LATER = "2999-01-01T00:00:00.000Z"


describe("retention", function()
  local project


  before_each(function()
    project = support.project {
      ["config.lua"] = [[return {
        log_retention_days = 30, event_retention_days = 10, failed_event_retention_days = 20,
      }]],
    }
    assert.equal(0, (project:run { "migrate" }))
  end)


  after_each(function()
    project:close()
  end)


  -- An id that was made so many days ago; `number` keeps those of one day apart.
  local function aged(days, number)
    return row_id.at(time.now() - days * 86400):sub(1, -13) .. ("%012x"):format(number)
  end


  local function at(days)
    return time.format(time.now() - days * 86400)
  end


  -- Serves until the rows of a query are no more than `expected`, and gives them.
  local function serve_until(expected, sql)
    local service = project:serve()
    local rows
    support.wait("old rows to be deleted", function()
      rows = events.query(project, sql)
      return #rows <= expected
    end)
    assert.equal(0, service:stop())
    return rows
  end


  local function event(number, days, status, more)
    local row = { id = aged(days, number), integration_name = "gone", event_type = "x", status = status, event_id =
      tostring(number) }
    for name, value in pairs(more or {}) do
      row[name] = value
    end
    return row
  end


  it("deletes events that have ended, each state after its time, and never others", function()
    events.insert(project, "webhook_events", {
      event(1, 11, "completed"), event(2, 9, "completed"), event(3, 21, "failed"), event(4, 19, "failed"),
      event(5, 3000, "pending", { next_attempt_at = LATER }), event(6, 3000, "processing"),
      event(7, 3000, "pending"), event(8, 3000, "completed"),
    })
    local left = {}
    for index, row in ipairs(serve_until(5, "SELECT event_id FROM webhook_events ORDER BY event_id")) do
      left[index] = row.event_id
    end
    assert.equal("2 4 5 6 7", table.concat(left, " "))
  end)


  it("passes through more than a chunk, and through what stays in between", function()
    local rows = {}
    for number = 1, 1300 do
      rows[number] = event(number, 15, number % 100 == 0 and "failed" or "completed")
    end
    events.insert(project, "webhook_events", rows)
    assert.equal(13, #serve_until(13, "SELECT id FROM webhook_events"))
  end)


  it("deletes logs, metrics, seen ids and what nobody needs to look at, but not the audit log", function()
    for _, one in ipairs { { 1, 31 }, { 2, 29 } } do
      local number, days = one[1], one[2]
      events.insert(project, "integration_call_logs",
        { { id = aged(days, number), integration_name = "gone", integration_type = "x" } })
      events.insert(project, "integration_metrics", { { integration_name = "gone", metric_timestamp = at(days) } })
    end
    events.insert(project, "webhook_dedupe", {
      { integration = "gone", key = "old", expires_at = at(0) },
      { integration = "gone", key = "new", expires_at = LATER },
    })
    events.insert(project, "alerts", {
      { id = aged(100, 1), kind = "a", severity = "info", message = "open" },
      { id = aged(100, 2), kind = "b", severity = "info", message = "resolved", resolved_at = at(91) },
      { id = aged(100, 3), kind = "c", severity = "info", message = "seen", acknowledged_at = at(91) },
      { id = aged(100, 4), kind = "d", severity = "info", message = "just resolved", resolved_at = at(1),
        acknowledged_at = at(99) },
    })
    events.insert(project, "audit_log", { { id = aged(3000, 1), actor = "a", action = "x" } })
    serve_until(2, "SELECT kind FROM alerts")
    local function count(from)
      return project:query("SELECT count(*) AS n FROM " .. from)[1].n
    end
    assert.same({ 1, 1, 1, 2 }, { count("integration_call_logs"), count("integration_metrics"),
      count("webhook_dedupe"), count("alerts") })
    assert.equal(1, count("audit_log WHERE action = 'x'"))
  end)


  it("keeps nothing where it is told so", function()
    project:write("config.lua", "return { event_retention_days = 0, failed_event_retention_days = 0 }")
    events.insert(project, "webhook_events", { event(1, 0, "completed"), event(2, 0, "failed"),
      event(3, 0, "pending", { next_attempt_at = LATER }) })
    assert.equal("3", serve_until(1, "SELECT event_id FROM webhook_events")[1].event_id)
  end)


  it("deletes the marks of transactions when no event is as old as they are", function()
    project:write("migrations/001_orders.sql", "CREATE TABLE orders (id TEXT)")
    assert.equal(0, project:serve():stop())
    local function mark(name, days)
      return { sql = "INSERT INTO tidegate_transactions (event_id, number, result, created_at) "
        .. "VALUES ($1, 1, 'null', $2)", values = { name, at(days) } }
    end
    events.execute(project, { mark("old", 8), mark("of an event", 5), mark("new", 1) }, "project.db")
    events.insert(project, "webhook_events", {
      event(1, 6, "pending", { next_attempt_at = LATER, created_at = at(6) }),
    })
    local service = project:serve()
    support.wait("a mark to be deleted", function()
      return #project:query("SELECT 1 FROM tidegate_transactions", "var/project.db") == 2
    end)
    assert.equal(0, service:stop())
    local left = project:query("SELECT event_id FROM tidegate_transactions ORDER BY created_at", "var/project.db")
    assert.same({ "of an event", "new" }, { left[1].event_id, left[2].event_id })
  end)


  it("goes on with the rest when one part fails", function()
    events.execute(project, { { sql = "DROP TABLE webhook_dedupe", values = json.array() } })
    events.insert(project, "integration_call_logs",
      { { id = aged(31, 1), integration_name = "gone", integration_type = "x" } })
    local service = project:serve()
    support.wait("old rows to be deleted", function()
      return #events.query(project, "SELECT id FROM integration_call_logs") == 0
    end)
    assert.matches('"what":"ids of events"', service:stdout(), 1, true)
  end)
end)
