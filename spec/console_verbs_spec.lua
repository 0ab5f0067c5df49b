local json = require "tide.json"
local console = require "spec.support.console"
local support = require "spec.support.service"

local ACME = [[
return {
  summary = "Parcels",
  config = { cache_ttl_seconds = 600, timeout_seconds = 10, extra_config = { language = "ko" } },
  operations = {
    track = {
      input = { type = "object", required = { "parcel" }, properties = {
        parcel = { type = "string" }, count = { type = "integer" }, list = { type = "array" } } },
      cache = true,
      run = function(_, input) return { parcel = input.parcel, count = input.count, state = "in_transit" } end,
      mock = function() return { state = "mocked" } end,
    },
    fail = { run = function() require("tide.fail")("rejected", "not this one") end },
  },
  webhooks = { signature = { scheme = "none" }, event_type = "type", event_id = "id",
    on = { ["parcel.lost"] = function() error("no") end } },
}
]]

local LONG = "a_name_that_goes_on_and_on_and_on_and_on"


describe("a verb of the console", function()
  local project, service, session


  setup(function()
    project = support.project { ["providers/acme.lua"] = ACME }
    service = project:serve()
    session = console.open(project, { width = 100 })
  end)


  teardown(function()
    session:close()
    project:close()
  end)


  local function run(line)
    return console.run(session, line)
  end


  it("lists the verbs, and tells how one is used", function()
    local text = run ".help"
    for _, name in ipairs { "integrations", "call", "status", "top", "tail", "breaker", "cache", "config", "explain",
      "reload", "webhooks", "quit" } do
      assert.is_truthy(text:find("\n  ." .. name, 1, true) or text:find("  ." .. name, 1, true) == 1, name)
    end
    assert.matches("usage: .call INTEGRATION OPERATION", (run ".help call"), 1, true)
    assert.matches("did you mean status", (run ".statsu"))
    assert.matches("^error: usage: .breaker NAME", (run ".breaker"))
  end)


  it("lists the verbs in columns", function()
    local places = {}
    for line in (run ".help"):gmatch("  %.[^\n]+") do
      places[line:find("%S", (line:find(" ", 3, true)))] = true
    end
    assert.is_nil(next(places, next(places)))
  end)


  it("refuses arguments where it takes none", function()
    for _, line in ipairs { ".status now", ".integrations acme", ".top acme", ".reload acme", ".quit now" } do
      assert.matches("^error: usage: %.%l+$", (run(line)))
    end
    assert.is_false(session.ended)
  end)


  it("shows the integrations as a table", function()
    assert.matches("^NAME +STATUS +BREAKER +VERSION +MOCK +OPERATIONS\nacme +healthy +closed +%x+ +no +fail, track$",
      (run ".integrations"))
  end)


  it("says what an integration lacks", function()
    project:write("providers/locked.lua", [[return { auth = { scheme = "bearer", secret = "api_key" },
      config = { base_url = "http://127.0.0.1:1" },
      operations = { look = { run = function() return 1 end } } }]])
    support.wait("the provider", function() return (run ".integrations"):find("locked", 1, true) end)
    assert.matches("\nlocked: missing: api_key %(tidegate secret set locked api_key%)$", (run ".integrations"))
    run ".config locked is_mock_mode=yes"
    assert.is_nil((run ".integrations"):find("missing", 1, true))
    os.remove(project.folder .. "/providers/locked.lua")
    support.wait("its end", function() return not (run ".integrations"):find("locked", 1, true) end)
  end)


  it("calls, with values as the schema has them", function()
    local text = run '.call acme track parcel=1248 count=3 list:=[1, 2]'
    assert.matches('{ count = 3, parcel = "1248", state = "in_transit" }\n', text, 1, true)
    assert.matches("ms, attempts 1, trace %x+$", text)
    assert.matches("from the cache", (run '.call acme track parcel=1248 count=3 list:=[1, 2]'))
    assert.matches('parcel = "a b"', (run '.call acme track parcel="a b"'), 1, true)
    assert.matches("mocked", (run ".call acme track parcel=7 --mock"))
    local failed = select(2, run ".call acme fail")
    assert.is_true(failed)
    assert.matches("#/count: count must be", (run ".call acme track parcel=1 count=x"))
    assert.matches('parcel = "@/etc/passwd"', (run ".call acme track parcel=@/etc/passwd"), 1, true)
  end)


  it("gives JSON when asked, before or after", function()
    local first = json.decode((run ".json status"))
    local second = json.decode((run ".status | json"))
    assert.equal("serving", first.state)
    assert.equal(first.pid, second.pid)
    assert.equal("1", json.decode((run '.call acme track parcel="1" | json')).data.parcel)
  end)


  it("tells how the service is", function()
    local text = run ".status"
    assert.matches("state +serving", text)
    assert.matches("integrations +1 healthy", text)
    assert.matches("workers +1", text)
    assert.matches("\nINTEGRATION +STATUS +VERSION +SINCE\nacme +healthy +%x+ +%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z$", text)
  end)


  it("holds a breaker open, and lets it go", function()
    assert.matches('state = "closed"', (run ".breaker acme"), 1, true)
    assert.matches('mode = "open"', (run ".breaker acme open"), 1, true)
    local _, body = service:request("GET", "/api/v1/integrations/acme")
    assert.equal("open", body.data.circuit_breaker_state)
    assert.matches("^circuit_open: ", (run ".call acme track parcel=99"))
    assert.matches('mode = "open".*state = "open"', (run ".breaker acme"))
    run ".breaker acme auto"
    assert.matches("^invalid_input: ", (run ".breaker acme shut"))
    assert.matches("^no_such_operation: ", (run ".breaker nobody"))
  end)


  it("shows the breaker that is held while mock mode passes it by, and says so", function()
    run ".config acme is_mock_mode=yes"
    assert.matches('state = "open".*\nacme is in mock mode: .*$', (run ".breaker acme open"))
    assert.matches('state = "open".*\nacme is in mock mode: .*$', (run ".breaker acme"))
    assert.matches("mocked", (run ".call acme track parcel=98"))
    run ".config acme is_mock_mode:=null"
    assert.matches("^circuit_open: ", (run ".call acme track parcel=98"))
    assert.is_nil((run ".breaker acme auto"):find("mock mode", 1, true))
  end)


  it("changes the configuration while the service runs", function()
    assert.matches("timeout_seconds +10 +provider", (run ".config acme"))
    assert.matches("^KEY +VALUE +FROM\nextra_config%.language +en +run%-time\ntimeout_seconds +12%.5 +run%-time$",
      (run ".config acme timeout_seconds=12.5 extra_config.language=en"))
    assert.equal("en  (run-time)", (run ".config acme extra_config.language"))
    assert.equal("12.5  (run-time)", (run ".config acme timeout_seconds"))
    local _, body = service:request("GET", "/api/v1/integrations/acme/config")
    assert.equal("en", body.data.values.extra_config.language)
    run ".config acme timeout_seconds:=null extra_config:=null"
    assert.matches("timeout_seconds +10 +provider", (run ".config acme"))
    assert.matches("did you mean timeout_seconds", (run ".config acme timeout_second"))
    assert.matches("^invalid_input: ", (run ".config acme timeout_seconds=soon"))
    assert.equal("slow_call_ms is not set", (run ".config acme slow_call_ms:=null"))
  end)


  it("tells who changed the configuration, and goes back", function()
    run ".config acme max_retries=7"
    local history = run ".config acme history"
    local version = history:match('^VERSION +TIME +BY +CHANGE\n(%d+) +%S+ +console +{"max_retries":7}')
    run ".config acme max_retries=8"
    assert.matches("max_retries +7 +run%-time", (run(".config acme rollback " .. version)))
    run ".config acme max_retries:=null"
    assert.matches("^error: usage: ", (run ".config acme rollback"))
    assert.matches("^error: usage: ", (run ".config acme history all"))
    assert.matches("has no version 9999", (run ".config acme rollback 9999"))
  end)


  it("explains a call without making it", function()
    local text = run ".explain acme track parcel=5"
    assert.matches("acme.track would pass", text, 1, true)
    assert.matches("POLICY +VERDICT", text)
  end)


  it("shows what is kept of answers, and forgets it", function()
    run ".call acme track parcel=55"
    assert.matches("entries +%d", (run ".cache acme"))
    assert.matches("operation +track\nentries +[1-9]", (run ".cache acme track"))
    assert.matches('\ntrack:{"parcel":"55"}', (run ".cache acme keys"), 1, true)
    assert.matches('entries +[1-9]', (run ".cache acme track keys"))
    assert.matches("deleted +[1-9]", (run ".cache acme track clear"))
    assert.matches("entries +0", (run ".cache acme track"))
    assert.matches("no operation", (run ".cache acme trak"))
  end)


  it("shows what a reload has changed, with the versions", function()
    local count = 0
    local function save()
      count = count + 1
      project:write("providers/other.lua",
        ("return { operations = { a%d = { run = function() return 1 end } } }"):format(count))
      return run ".reload"
    end
    -- Each again and again, as it may have been seen by itself.
    save()
    support.wait("a change", function() return save():match("changed +other %x+ %-> %x+") end)
    support.wait("an addition", function()
      os.remove(project.folder .. "/providers/other.lua")
      support.wait("the removal", function() return not (run ".integrations"):find("other", 1, true) end)
      return save():match("added +other %x+")
    end)
  end)


  it("reloads the project", function()
    project:write("providers/other.lua", "return { operations = { hello = { run = function() return 1 end } } }")
    run ".reload" -- or it was seen by itself
    support.wait("the other provider", function()
      return (run ".integrations"):find("other", 1, true)
    end)
    project:write("providers/other.lua", "return {")
    assert.matches("other.lua:1: ", (run ".reload"))
  end)


  it("lists webhook events, and runs them again", function()
    assert.equal("no events", (run ".webhooks status=completed"))
    service:request("POST", "/api/v1/webhooks/acme", { token = false, json = { type = "parcel.found", id = "e1" } })
    local line = support.wait("the event to fail", function()
      return (run ".webhooks"):match("[^\n]*failed[^\n]*")
    end)
    local id = line:match("^%S+")
    assert.matches("acme +parcel.found", line)
    assert.matches('event_type = "parcel.found"', (run(".webhooks show " .. id)), 1, true)
    assert.matches("status = ", (run(".webhooks retry " .. id)), 1, true)
    support.wait("the event to fail", function()
      return (run ".webhooks"):find("failed", 1, true)
    end)
    assert.matches("matched = 1", (run ".webhooks retry status=failed dry_run=true"), 1, true)
    assert.matches("discarded", (run(".webhooks discard " .. id)))
    assert.matches("^not_found: ", (run ".webhooks show 00000000-0000-7000-8000-000000000000"))
  end)


  it("follows calls as they come", function()
    local other = console.open(project)
    assert.equal("running", other:start(".tail integration=acme error_type=rejected"))
    local seen = {}
    support.wait("a call that is shown", function()
      service:call("acme", "fail")
      service:call("acme", "track", { parcel = "1" })
      seen[#seen + 1] = other:read(0.3)
      return table.concat(seen):find("\n", 1, true)
    end)
    assert.matches("^%d%d:%d%d:%d%d[%d.]*  acme.fail  rejected  %d+ ms", table.concat(seen))
    assert.is_nil(table.concat(seen):find("track", 1, true))
    other:cancel()
    console.drain(other)
    assert.equal("1", (console.run(other, "1")))
    other:close()
  end)


  it("shows a screen of what goes through the service", function()
    local other = console.open(project, { is_color = true, width = 100 })
    service:call("acme", "track", { parcel = "1" })
    other:start(".top")
    local text = ""
    support.wait("a screen", function()
      text = text .. other:read(0.5)
      return text:find("TOKENS[^\n]*\n")
    end)
    assert.is_truthy(text:find("\27[H\27[J", 1, true))
    assert.matches("serving  up %d%d:%d%d:%d%d  workers 1  memory [%d.]+ MB  Lua [%d.]+ MB", text)
    assert.matches("webhooks: pending", text, 1, true)
    assert.matches("acme +[%d.]+ .* closed", text)
    other:cancel()
    console.drain(other)
    other:close()
  end)


  it("cuts long names on that screen where the terminal is narrow", function()
    project:write("providers/" .. LONG .. ".lua",
      "return { operations = { look = { run = function() return 1 end } } }")
    assert.matches("outcome", (run ".reload"))
    local other, text = console.open(project, { width = 70 }), ""
    other:start(".top")
    support.wait("a screen", function()
      text = text .. other:read(0.5)
      return text:find("a_name_that[^\n]*\n")
    end)
    for line in text:match("INTEGRATION.*\n"):gmatch("[^\n]+") do
      assert.is_true(utf8.len(line) <= 70, line)
    end
    other:cancel()
    console.drain(other)
    other:close()
    os.remove(project.folder .. "/providers/" .. LONG .. ".lua")
    run ".reload"
  end)


  it("keeps to the rights of a role", function()
    local viewer = console.open(project, { role = "viewer" })
    for _, line in ipairs { ".call acme track parcel=1", ".breaker acme open", ".config acme timeout_seconds=5",
      ".cache acme clear", ".reload", ".webhooks retry status=failed" } do
      local text, failed = console.run(viewer, line)
      assert.is_true(failed, line)
      assert.matches("^forbidden: ", text)
    end
    for _, line in ipairs { ".integrations", ".status", ".config acme", ".cache acme", ".webhooks" } do
      assert.is_false((select(2, console.run(viewer, line))), line)
    end
    viewer:close()
    local caller = console.open(project, { role = "caller" })
    assert.is_false((select(2, console.run(caller, ".call acme track parcel=1"))))
    assert.matches("^forbidden: ", (console.run(caller, ".status")))
    assert.matches("^forbidden: ", (console.run(caller, ".tail")))
    caller:start(".top")
    assert.matches("^forbidden: ", (console.drain(caller)))
    caller:close()
  end)


  it("ends the console with .quit", function()
    local other = console.open(project)
    console.run(other, ".quit")
    assert.is_true(other.ended)
    other:close()
  end)
end)
