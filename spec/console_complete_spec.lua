local call = require "tide.call"
local generation = require "tide.generation"
local session = require "tide.console.session"
local tokens = require "tide.tokens"
local support = require "spec.support.console"

local ACME = [[
return {
  operations = {
    track = {
      input = { type = "object", properties = { parcel = { type = "string" }, page = { type = "integer" } } },
      run = function() return {} end,
    },
    trace = { run = function() return {} end },
  },
}
]]


describe("the completion of a console", function()
  local console


  setup(function()
    local current = call.activate(call.bind(assert(generation.build {
      config = {}, files = {
        { name = "acme", path = "providers/acme.lua", text = ACME },
        { name = "address", path = "providers/address.lua", text = ACME },
      },
    })))
    console = session.new {
      instance = { live = { current = function() return current end } },
      identity = { name = "console", role = "admin", rights = tokens.ROLES.admin },
    }
    support.run(console, [[data = { name = 1, nested = { deep = 2 }, ["not a name"] = 3, [4] = 5 }
      word = "text"
      ran = 0
      liar = setmetatable({ real = 1 }, { __index = function() ran = ran + 1 return { fake = 1 } end,
        __pairs = function() ran = ran + 1 return next, {} end })
      j = require "tide.json"]])
  end)


  teardown(function()
    console:close()
  end)


  -- The words, and what they replace.
  local function complete(text, at)
    local found = console:complete(text, at or #text)
    return found.words, text:sub(found.from + 1, at or #text)
  end


  it("knows globals, those of the session too, and keywords", function()
    assert.same({ "integrations" }, (complete "x = integ"))
    assert.same({ "data" }, (complete "dat"))
    assert.same({ "while" }, (complete "whi"))
    assert.same({ { "tostring" }, "tos" }, { complete "print(tos" })
    assert.same({}, (complete ""))
  end)


  it("knows the fields along a path", function()
    assert.same({ "name", "nested" }, (complete "x = data.n"))
    assert.same({ { "deep" }, "" }, { complete "data.nested." })
    assert.same({ "format" }, (complete "string.form"))
    assert.same({ "gmatch" }, (complete "word:gm"))
    assert.same({ "encode" }, (complete "j.enc"))
    assert.same({ "delete", "delete_pattern" }, (complete "cache.del"))
    assert.same({}, (complete "data.nothing."))
    assert.same({}, (complete "print().na"))
    assert.same({}, (complete "data..na"))
  end)


  it("knows integrations, operations and their inputs", function()
    assert.same({ "acme", "address" }, (complete "integrations.a"))
    assert.same({ "trace", "track" }, (complete "integrations.acme.tra"))
    assert.same({ "page = ", "parcel = " }, (complete "integrations.acme.track{ "))
    assert.same({ { "parcel = " }, "par" }, { complete "integrations.acme.track{ page = 1, par" })
    assert.same({ "parcel = " }, (complete 'call("acme", "track", { parc'))
    assert.same({ "trace", "track" }, (complete 'call("acme", "tr'))
    assert.same({ "address" }, (complete "config('add"))
    assert.same({ "tide.json" }, (complete 'require "tide.js'))
  end)


  it("knows verbs and their arguments", function()
    assert.same({ "tail" }, (complete ".ta"))
    assert.same({ { "acme" }, "ac" }, { complete ".call ac" })
    assert.same({ "trace", "track" }, (complete ".call acme t"))
    assert.same({ "parcel=" }, (complete ".call acme track par"))
    assert.same({ "timeout_seconds=" }, (complete ".config acme timeout_s"))
    assert.same({ "observe", "open" }, (complete ".breaker acme o"))
    assert.same({ "status" }, (complete ".json stat"))
    assert.same({ "clear" }, (complete ".cache acme cl"))
    assert.same({}, (complete ".nothing x"))
  end)


  it("completes at the cursor, wherever it stands", function()
    assert.same({ { "data" }, "dat" }, { complete("dat + 1", 3) })
    assert.same({ { "nested" }, "nes" }, { complete("for a in pairs(data.nes) do", 23) })
  end)


  it("runs nothing of what it looks at", function()
    assert.same({ "real" }, (complete "liar."))
    assert.same({}, (complete "liar.fake."))
    assert.equal("0", (support.run(console, "ran")))
  end)


  it("gives at most two hundred, sorted", function()
    support.run(console, "many = {} for i = 1, 5000 do many['k' .. i] = i end")
    local words = complete "many.k"
    assert.equal(200, #words)
    assert.equal("k1", words[1])
    for index = 2, #words do
      assert.is_true(words[index - 1] < words[index])
    end
  end)


  it("takes any text and any cursor", function()
    for _, text in ipairs {
      "\0\255", ("a."):rep(5000), ("("):rep(5000), "integrations." .. ("x."):rep(100), ".", ".call ", ".call 'x",
      ".json .json .json call",
    } do
      for _, at in ipairs { -5, 0, 1, #text // 2, #text, #text + 10 } do
        assert.is_table(console:complete(text, at).words)
      end
    end
  end)
end)
