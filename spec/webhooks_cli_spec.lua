-- `tidegate webhooks` on a running service.

local events = require "spec.support.events"
local json = require "tide.json"
local support = require "spec.support.service"


describe("tidegate webhooks", function()
  local project


  setup(function()
    project = support.project()
    project:serve()
  end)


  teardown(function()
    project:close()
  end)


  before_each(function()
    events.execute(project, { { sql = "DELETE FROM webhook_events", values = json.array() } })
    events.store(project, {
      { number = 1 }, { number = 2, event_type = "order.paid" }, { number = 3, status = "completed" },
    })
  end)


  -- What the command prints, decoded.
  local function run(...)
    local code, out, err = project:run { "webhooks", ... }
    assert.equal(0, code, err)
    return json.decode(out)
  end


  local function assert_refused(code, words, ...)
    local got, out, err = project:run { "webhooks", ... }
    assert.equal(code, got, out .. err)
    assert.matches(words, err, 1, true)
  end


  it("lists events by what they are", function()
    assert.equal(3, #run("list").data)
    local found = run("list", "status=failed", "type=order.paid").data
    assert.equal(1, #found)
    assert.equal(events.id(2), found[1].id)
  end)


  it("shows one, has one run again, discards one", function()
    assert.equal("failed", run("show", events.id(1)).data.status)
    assert.same({ id = events.id(1), status = "pending" }, run("retry", events.id(1)).data)
    assert.same({ discarded = events.id(2) }, run("discard", events.id(2)))
    assert.same({ { id = events.id(1), status = "pending" }, { id = events.id(3), status = "completed" } },
      events.query(project, "SELECT id, status FROM webhook_events ORDER BY id"))
  end)


  it("has many run again, or says how many it would be", function()
    assert.same({ matched = 2, retried = 0, dry_run = true }, run("retry", "status=failed", "--dry-run").data)
    assert.same({ matched = 1, retried = 1, dry_run = false }, run("retry", "status=failed", "type=order.paid").data)
    assert.equal(1, #run("list", "status=pending").data)
  end)


  it("says what it does not understand", function()
    assert_refused(2, "list, show, retry, discard or send?")
    assert_refused(2, "webhooks does not lst (did you mean list?)", "lst")
    assert_refused(2, "failed is not key=value", "list", "failed")
    assert_refused(2, "status is given twice", "list", "status=failed", "status=pending")
    assert_refused(2, "the id of one event is needed", "show")
    assert_refused(2, "the id of one event is needed", "discard", "a/b")
    assert_refused(2, "the id of one event is needed", "retry", "a", "b")
    assert_refused(2, "--dry-run is for many", "retry", events.id(1), "--dry-run")
    assert_refused(2, "--dry-run is for retry", "list", "--dry-run")
  end)


  it("says what the service refuses", function()
    assert_refused(1, "not_found: there is no event with this id", "show", events.id(9))
    assert_refused(1, "invalid_input", "list", "colour=red")
    assert_refused(1, "only what has ended runs again", "retry", "status=processing")
  end)


  it("needs a service", function()
    local other = support.project()
    local code, _, err = other:run { "webhooks", "list" }
    other:close()
    assert.equal(1, code)
    assert.matches("no service runs in", err, 1, true)
  end)
end)
