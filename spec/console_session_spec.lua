local task = require "tide.task"
local time = require "tide.time"
local call = require "tide.call"
local generation = require "tide.generation"
local session = require "tide.console.session"
local tokens = require "tide.tokens"
local support = require "spec.support.console"

local ACME = [[
return {
  summary = "Parcels",
  config = { base_url = "http://127.0.0.1:1" },
  operations = {
    track = {
      summary = "Where a parcel is",
      input = { type = "object", required = { "parcel" }, properties = { parcel = { type = "string" } } },
      run = function(_, input) return { parcel = input.parcel, state = "in_transit" } end,
    },
    slow = { run = function(ctx) ctx.sleep(30) return {} end },
    endless = { run = function() while true do end end },
    refuse = { run = function() require("tide.fail")("rejected", "not this one") end },
  },
}
]]


local function built()
  return call.activate(call.bind(assert(generation.build {
    config = { script_timeout_ms = 300 }, files = { { name = "acme", path = "providers/acme.lua", text = ACME } },
  })))
end


describe("a console", function()
  local current, console


  local function open(role, options)
    options = options or {}
    options.instance = { live = { current = function() return current end } }
    options.identity = { name = "console", role = role or "admin", rights = tokens.ROLES[role or "admin"] }
    return session.new(options)
  end


  local function run(text)
    return support.run(console, text)
  end


  setup(function()
    current = built()
  end)


  before_each(function()
    console = open()
  end)


  after_each(function()
    console:close()
  end)


  it("shows the value of an expression, and of several", function()
    assert.equal("3", run "1 + 2")
    assert.equal('1\n"two"\nnil', run '1, "two", nil')
    assert.equal("", run "local x = 5")
    assert.equal("nil", run "x")
    assert.equal("nil", run "nil")
  end)


  it("keeps globals and the last value, and no locals", function()
    run "count = 41"
    assert.equal("42", run "count + 1")
    assert.equal("84", run "_ * 2")
    run "for i = 1, 3 do count = count + i end"
    assert.equal("47", run "count")
  end)


  it("asks for more when a text is not finished", function()
    for _, text in ipairs { "for i = 1, 2 do", "f(", "x = {", "1 +", "local s = [[abc", "function f()", "if a then" } do
      assert.equal("incomplete", (console:start(text)), text)
    end
    assert.equal("3", run "1 +\n2")
    assert.equal("1\n2", run "for i = 1, 2 do\nprint(i)\nend")
  end)


  it("names a mistake in what was typed with its line", function()
    local state, message = console:start("local a = 1\nlocal b = = 2")
    assert.is_nil(state)
    assert.equal("error: unexpected symbol near '='\n  input1:2: local b = = 2", message)
    assert.is_true(console.failed)
    assert.matches("break outside loop", (select(2, console:start("break"))))
    assert.equal("1", run "1")
  end)


  it("shows where an error happened, and who called, without the framework", function()
    run "function inner(t)\n  return t.a.b\nend"
    run "function outer(t)\n  local v = inner(t)\n  return v\nend"
    local text, failed = run "local v = outer({})\n"
    assert.is_true(failed)
    assert.equal("error: attempt to index a nil value (field 'a')\n  input1:2:   return t.a.b\n"
      .. "    called from input2:2, in outer\n    called from input3:1", text)
    assert.is_nil(text:find("scripts/tide", 1, true))
  end)


  it("shows whatever is raised", function()
    assert.matches("^error: nil was raised", (run "error(nil)"))
    assert.matches("^error: { a = 1 }", (run "error({ a = 1 })"))
    assert.matches("^error: words\n", (run "error('words', 0)"))
    assert.matches("^error: true", (run "error(true)"))
    assert.matches("^error: ", (run "error(setmetatable({}, { __tostring = function() while true do end end }))"))
  end)


  it("gets out of a recursion without end", function()
    local text, failed = run "local function f() return 1 + f() end f()"
    assert.is_true(failed)
    assert.is_truthy(text:find("^error: stack overflow") or text:find("^stopped:"))
    assert.equal("1", (run "1"))
  end)


  it("calls operations through their policies", function()
    assert.equal('{ parcel = "7", state = "in_transit" }', (run '(call("acme", "track", { parcel = "7" }))'))
    assert.equal('"in_transit"', (run 'integrations.acme.track{ parcel = "8" }.state'))
    assert.equal('"acme"', (run 'select(2, integrations.acme.track{ parcel = "8" }).integration'))
  end)


  it("tells a refused call as the API does", function()
    local text, failed = run "local answer = integrations.acme.track{}"
    assert.is_true(failed)
    assert.matches("^invalid_input: ", text)
    assert.matches("#/parcel", text, 1, true)
    assert.matches("input1:1: local answer = integrations.acme.track{}", text, 1, true)
    assert.matches("^rejected: not this one", (run "integrations.acme.refuse{}"))
    assert.matches("there is no operation trak %(did you mean track%?%)", (run "integrations.acme.trak{}"))
    assert.matches("there is no integration acne %(did you mean acme%?%)", (run "integrations.acne"))
    assert.matches("^script_timeout: ", (run "integrations.acme.endless{}"))
    assert.equal("1", run "1")
  end)


  it("lets a script catch what a call raises", function()
    assert.equal('"rejected"', (run 'select(2, pcall(call, "acme", "refuse")).code'))
  end)


  it("stops what computes without end, and goes on", function()
    local text, failed = run "while true do end"
    assert.is_true(failed)
    assert.matches("^stopped: the line used more than 300 ms of CPU without waiting %(script_timeout_ms%)", text)
    assert.matches("input1:1: while true do end", text, 1, true)
    assert.matches("^stopped:", (run "while true do pcall(error) end"))
    assert.matches("^stopped:", (run "pcall(function() while true do end end) return 1"))
    assert.matches("^stopped:", (run "local x<close> = setmetatable({}, {__close = function() repeat until nil end})"))
    assert.equal("2", run "1 + 1")
  end)


  it("cancels a line and keeps what it printed", function()
    console:start("print('before') sleep(60) print('after')")
    local text = console:read(1)
    assert.equal("before\n", text)
    console:cancel()
    local rest, failed = support.drain(console)
    assert.equal("cancelled\n", rest)
    assert.is_true(failed)
    assert.equal("1", run "1")
  end)


  it("waits while calls wait, and stays answerable meanwhile", function()
    console:start("integrations.acme.slow{}")
    assert.same({ nil, "a line is still running: read until it is done, or cancel it" }, { console:start("1") })
    local text, state = console:read(0.01)
    assert.same({ "", "running" }, { text, state })
    console:cancel()
    support.drain(console)
  end)


  it("says why what it lacks is not there", function()
    for _, name in ipairs { "io", "debug", "load", "coroutine", "collectgarbage", "dofile" } do
      assert.matches(name .. " is not available here: ", (run(name .. ".x = 1")), 1, true)
    end
    assert.matches("attempt to call a nil value %(field 'exit'%)", (run "os.exit()"))
    assert.matches("__gc", (run "setmetatable({}, { __gc = print })"))
    assert.matches("module tide.host not found", (run 'require "tide.host"'))
    assert.equal('"[1,2]"', (run 'require("tide.json").encode({ 1, 2 })'))
  end)


  it("gives each console globals of its own", function()
    local other = open()
    run "shared = 1 string.upper = nil print = nil"
    assert.equal("nil", (support.run(other, "shared")))
    assert.equal('"A"', (support.run(other, 'string.upper("a")')))
    run "print = nil"
    assert.equal("1", (run "print(1)"))
    other:close()
  end)


  it("bounds what is printed until somebody reads", function()
    console = open("admin", { buffer = { bytes_max = 1000, patience_seconds = 0.05 } })
    console:start("for i = 1, 1000 do print(i, string.rep('x', 50)) end return 'end'")
    local ending = time.monotonic() + 5
    while console.state == "running" do
      assert.is_true(time.monotonic() < ending)
      task.sleep(0.01)
    end
    local text, state = console:read(0)
    assert.equal("done", state)
    assert.is_true(#text < 1200)
    assert.matches("was left out: nobody read it", text, 1, true)
    assert.equal("1", run "1")
  end)


  it("loses nothing of long output when it is read", function()
    console = open("admin", { buffer = { bytes_max = 1000 } })
    console:start("for i = 1, 2000 do print(i) end")
    local text = support.drain(console)
    local count = select(2, text:gsub("\n", ""))
    assert.equal(2000, count)
    assert.matches("^1\n2\n", text)
    assert.matches("1999\n2000\n$", text)
  end)


  it("writes JSON, and shows it as it is", function()
    assert.equal('{\n  "a": [\n    1,\n    2\n  ]\n}', (run "json{ a = { 1, 2 } }"))
    assert.equal("number", (run "print(type(#json{ 1 }))"))
    assert.matches("cannot encode", (run "json(print)"))
  end)


  it("helps", function()
    assert.matches("integrations.NAME.OPERATION", (run "help()"), 1, true)
    assert.matches("track +Where a parcel is", (run "help(integrations.acme)"))
    assert.matches("acme.track: Where a parcel is", (run 'help("acme", "track")'), 1, true)
    assert.matches("call%(integration", (run "help(call)"))
    assert.equal((run 'help("acme", "track")'), (run "help(integrations.acme.track)"))
    assert.equal('there is no integration "acne" (did you mean acme?)', (run 'help("acne")'))
    assert.equal('acme has no operation "trak" (did you mean track?)', (run 'help("acme", "trak")'))
    assert.matches("^there is no help for this", (run "help(tostring)"))
    assert.matches("^there is no help for this", (run "help(setmetatable({}, { __eq = error }))"))
    assert.equal("<acme: endless, refuse, slow, track>", (run "integrations.acme"))
    assert.equal("<integrations: acme>", (run "integrations"))
  end)


  it("lets a viewer look and nothing more", function()
    console = open("viewer")
    assert.matches("^forbidden: the role viewer may not do this %(it needs the role caller%)\n",
      (run "integrations.acme.track{ parcel = '1' }"))
    assert.matches("^forbidden: the role viewer may not do this %(it needs the role operator%)\n", (run ".reload"))
    assert.equal("forbidden: the role viewer may not use cache.set (it needs the role operator)",
      (run "cache.set('acme', 'k', 1)"))
    assert.equal("forbidden: the role viewer may not use db.query (it needs the role admin)",
      (run "db.query('SELECT 1')"))
    assert.equal("nil", (run "cache.get('acme', 'k')"))
    assert.matches("cannot be changed", (run "integrations.acme.track = print"))
    assert.matches("cannot be changed", (run "integrations.acme = print"))
  end)


  it("keeps an integration's own cache in reach", function()
    assert.equal("true", (run "cache.set('acme', 'k', { a = 1 }, 60)"))
    assert.equal("{ a = 1 }", (run "cache.get('acme', 'k')"))
    assert.equal("true", (run "cache.delete('acme', 'k')"))
    assert.equal("nil", (run "cache.get('acme', 'k')"))
    assert.matches("there is no integration", (run "cache.get('nobody', 'k')"))
  end)


  it("ends with .quit and runs nothing more", function()
    run ".quit"
    assert.is_true(console.ended)
    assert.same({ nil, "this console has ended" }, { console:start("1") })
  end)


  it("suggests the verb that was meant", function()
    assert.same({ nil, "there is no verb .hlep (did you mean help?); .help lists them" }, { console:start(".hlep") })
  end)


  it("refuses an input that is too long", function()
    assert.same({ nil, "the input is longer than 262144 bytes" }, { console:start(("x"):rep(300000)) })
  end)
end)
