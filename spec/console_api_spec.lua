local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local console = require "spec.support.console"
local support = require "spec.support.service"

local SHOP = [[
return {
  secrets = { "api_key" },
  operations = {
    order = { run = function(_, input) return { item = input.item } end },
    leak = { run = function(ctx) return { note = "key " .. ctx.secret("api_key"), plain = ctx.secret("api_key") } end },
  },
}
]]
local SECRET = "s3cret-value-of-the-shop"


describe("the console of a service", function()
  local project, service


  setup(function()
    project = support.project { ["providers/shop.lua"] = SHOP:gsub("input.item", "input.item or 1") }
    service = project:serve { environment = { TIDEGATE_SHOP_API_KEY = SECRET } }
  end)


  teardown(function()
    project:close()
  end)


  local function audit_lines()
    local _, body = service:request("GET", "/api/v1/audit?action=console.line")
    local lines = {}
    for _, row in ipairs(body.data) do
      lines[#lines + 1] = row.new_value.line
    end
    return lines, body.data
  end


  it("runs lines inside it, with a banner that names version, project and role", function()
    local session = console.open(project)
    assert.matches("^Tidegate %d+%.%d+%.%d+, .*config.lua, role admin; ", session.banner)
    assert.equal("3", (console.run(session, "1 + 2")))
    assert.equal('{ item = "x" }', (console.run(session, "(integrations.shop.order{ item = 'x' })")))
    assert.equal('"serving"', (console.run(session, "status().state")))
    assert.equal("incomplete", (session:start("f(")))
    local text, failed = console.run(session, "error('no')")
    assert.is_true(failed)
    assert.matches("error: no", text, 1, true)
    session:close()
    assert.same({ nil, "there is no console with this id: it was closed, or the service started anew" },
      { session:start("1") })
  end)


  it("is not there over the network", function()
    for _, each in ipairs {
      { "POST", "" }, { "GET", "/x/output" }, { "POST", "/x/lines" }, { "DELETE", "/x/lines" }, { "DELETE", "/x" },
    } do
      for _, token in ipairs { service.token, false } do
        local status, body = service:request(each[1], "/api/v1/console" .. each[2], { token = token, json = {} })
        assert.equal(404, status)
        assert.equal("no_such_operation", body.code)
      end
    end
  end)


  it("notes no value that a line gives to a name that sounds like a secret", function()
    local session = console.open(project)
    for _, line in ipairs {
      'x = { password = "hunter2 hunter2" }', "call('shop', 'order', { api_key='hunter2' })",
      'x = { ["api-key"] = "hunter\\"hunter2", city = "Busan" }', "token = [[hunter2]]", "token = [==[ hunter2 ]==]",
      "is_it = token == 'hunter2'", "pin = 77123, 4", '.config shop extra_config.password="hunter2 b"',
      ".config shop extra_config.password=hunter2", '.config shop extra_config:={"password":"hunter2"}',
    } do
      console.run(session, line)
      local noted = audit_lines()[1]
      assert.is_nil(noted:find("hunter2", 1, true) or noted:find("77123", 1, true), noted)
      assert.matches("[redacted]", noted, 1, true)
    end
    for _, line in ipairs { 'city = "Busan"', "total = 5", "x = [[a]]", "author == 'b'" } do
      console.run(session, line)
      assert.equal(line, (audit_lines()[1]))
    end
    console.run(session, ".config shop extra_config:=null")
    session:close()
  end)


  it("shows no secret", function()
    local session = console.open(project)
    local text = console.run(session, "(integrations.shop.leak{})")
    assert.is_nil(text:find(SECRET, 1, true))
    assert.matches("[redacted]", text, 1, true)
    text = console.run(session, "print(integrations.shop.leak{}.plain) json(integrations.shop.leak{})")
    assert.is_nil(text:find(SECRET, 1, true))
    text = console.run(session, "error(integrations.shop.leak{}.plain)")
    assert.is_nil(text:find(SECRET, 1, true))
    console.run(session, "local a = '" .. SECRET .. "'")
    assert.is_nil(json.encode((audit_lines())):find(SECRET, 1, true))
    session:close()
  end)


  it("notes what admins and operators run in the audit log", function()
    local session = console.open(project, { role = "operator" })
    console.run(session, "local noted = 'a line of an operator'")
    console.run(session, "x = [[" .. ("long "):rep(1000) .. "]]")
    local viewer = console.open(project, { role = "viewer" })
    console.run(viewer, "local noted = 'a line of a viewer'")
    local lines, rows = audit_lines()
    assert.equal(1000, #lines[1])
    assert.equal("local noted = 'a line of an operator'", lines[2])
    assert.equal("console", rows[1].actor)
    assert.is_nil(json.encode(lines):find("a line of a viewer", 1, true))
    session:close()
    viewer:close()
  end)


  it("takes rights away with a role, and gives none", function()
    local viewer = console.open(project, { role = "viewer" })
    local text, failed = console.run(viewer, "integrations.shop.order{}")
    assert.is_true(failed)
    assert.matches("^forbidden: ", text)
    viewer:close()
    local status, body = console.client(project):request("POST", "/api/v1/console", { role = "root" })
    assert.equal(400, status)
    assert.equal("#/role", body.errors[1].pointer)
  end)


  it("cancels a line, and waits for output no longer than asked", function()
    local session = console.open(project)
    session:start("print('a') sleep(60)")
    assert.equal("a\n", (session:read(2)))
    assert.same({ "", "running" }, { select(1, session:read(0.05)), "running" })
    session:cancel()
    assert.equal("cancelled\n", (console.drain(session)))
    session:close()
  end)


  it("keeps sixteen, and closes the one that was left alone longest for another", function()
    local opened = {}
    for index = 1, 17 do
      opened[index] = console.open(project)
    end
    assert.is_nil(opened[1]:start("1"))
    assert.equal("1", (console.run(opened[2], "1")))
    for _, session in ipairs(opened) do
      session:close()
    end
  end)


  it("refuses what it does not understand", function()
    local client = console.client(project)
    local session = console.open(project)
    for _, each in ipairs {
      { "POST", "/api/v1/console", { rule = "admin" } },
      { "POST", "/api/v1/console", { width = "wide" } },
      { "POST", session.path .. "/lines", { text = 5 } },
      { "GET", session.path .. "/output?wait=100" },
      { "POST", session.path .. "/complete", { text = 1 } },
    } do
      local status = client:request(table.unpack(each))
      assert.equal(400, status, each[2])
    end
    session:close()
  end)


  it("lives on when a line needs more memory than there is", function()
    local small = support.project { ["config.lua"] = "return { memory_limit_mb = 32, script_timeout_ms = 8000 }" }
    finally(function() small:close() end)
    local running = small:serve()
    local session = console.open(small)
    local text, failed = console.run(session, "t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1000) .. i end")
    assert.is_true(failed)
    assert.matches("memory", text)
    assert.equal("1", (console.run(session, "1")))
    assert.equal(200, (running:request("GET", "/health")))
    session:close()
  end)


  it("keeps no service from stopping", function()
    local other = support.project {}
    finally(function() other:close() end)
    local running = other:serve()
    local session = console.open(other)
    session:start("print('here') sleep(600)")
    assert.equal("here\n", (session:read(5)))
    local reader = task.spawn(session.read, session, 20)
    local began = time.monotonic()
    running:signal("TERM")
    assert.equal(0, running:wait())
    assert.is_true(time.monotonic() - began < 6)
    reader:join()
    assert.is_true(session.ended)
  end)


  it("takes what is long, and refuses what is too long", function()
    local session = console.open(project)
    assert.equal("200000", (console.run(session, "#'" .. ("x"):rep(200000) .. "'")))
    local state, message = session:start(("x"):rep(300000))
    assert.is_nil(state)
    assert.equal("the input is longer than 262144 bytes", message)
    state, message = session:start(("x"):rep(2000000))
    assert.is_nil(state)
    assert.is_string(message)
    assert.equal("1", (console.run(session, "1")))
    session:close()
  end)


  it("gives what is printed without end to whoever reads, and runs on meanwhile", function()
    local patient = support.project { ["config.lua"] = "return { script_timeout_ms = 60000 }" }
    finally(function() patient:close() end)
    patient:serve()
    local session = console.open(patient)
    session:start("local text = ('x'):rep(5000) for i = 1, 500 do print(text, i) end")
    local text = console.drain(session)
    assert.is_true(#text > 2500000, text:sub(-200))
    assert.matches("x\t500\n$", text)
    session:close()
  end)
end)
