local json = require "tide.json"
local sandbox = require "tide.sandbox"
local task = require "tide.task"


local function run(source, options)
  return sandbox.load(source, "providers/acme.lua", options)
end


-- A project's scripts by name.
local function scripts(texts)
  return { dependencies = {}, find = function(name)
    return texts[name], texts[name] and "scripts/" .. name .. ".lua"
  end }
end


describe("sandbox", function()
  it("returns what the script returns", function()
    assert.same({ a = 1 }, (run("return { a = 1 }")))
    assert.is_nil((run("local x = 1")))
  end)

  it("has exactly the names of the allow list", function()
    local allowed = {}
    for name in ([[string table math utf8 select pairs ipairs next type tostring tonumber pcall xpcall error assert
      setmetatable getmetatable rawget rawequal rawlen print os require]]):gmatch("%S+") do
      allowed[name] = true
    end
    local seen = run("local names = {} for name in next, _ENV do names[name] = true end return "
      .. "names")
    assert.same(allowed, seen)
    assert.same({ time = true, date = true, clock = true },
      run("local n = {} for k in pairs(os) do n[k] = true end return n"))
    assert.is_nil((run("return string.dump")))
  end)

  it("says what to use instead of what is missing", function()
    for _, name in ipairs({ "io", "debug", "load", "loadstring", "dofile", "coroutine", "package",
      "collectgarbage", "rawset", "_G" }) do
      local value, err = run("\nlocal x = " .. name .. ".y")
      assert.is_nil(value)
      assert.truthy(err:find("^providers/acme.lua:2: " .. name .. " is not available"), err)
    end
  end)

  it("refuses bytecode", function()
    local value, err = run(string.dump(function() return 1 end))
    assert.is_nil(value)
    assert.truthy(err:find("binary", 1, true), err)
  end)

  it("names file and line of every fault", function()
    for _, source in ipairs({ "\nreturn {", "\nlocal x = nil + 1", '\nerror("boom")',
      "\nlocal x = nil; x.y = 1" }) do
      local value, err = run(source)
      assert.is_nil(value)
      assert.truthy(err:find("^providers/acme.lua:2: "), err)
    end
  end)

  it("gives one bounded message for whatever is raised", function()
    for _, source in ipairs({ "error()", "error({})",
      "error(setmetatable({}, { __tostring = function() while true do end end }))",
      'error("x", 0)', 'error(("x"):rep(2000000))', 'error("\\27[2J\\0")',
      'require "tide.fail"("not_found", "gone")' }) do
      local value, err = run(source)
      assert.is_nil(value)
      assert.truthy(err:find("^providers/acme.lua"), err)
      assert.is_true(#err < 5000)
      assert.is_nil(err:find("[%z\27]"))
    end
  end)

  it("shares no table with another script", function()
    run("string.upper = nil; table.mine = 1; math.pi = 3; os.time = nil; x = 1; utf8.char = nil")
    assert.equal("A", (run('return string.upper("a")')))
    assert.is_nil((run("return table.mine or x")))
    assert.is_true((run("return math.pi > 3.1 and os.time() > 0")))
    assert.equal("A", string.upper("a"))
  end)

  it("hides the metatables of strings, lists and modules", function()
    assert.is_nil((run('return getmetatable("")')))
    assert.is_nil((run('return getmetatable(require("tide.json").array())')))
    assert.is_false((run('return getmetatable(require("tide.json"))')))
    assert.is_nil((run('return getmetatable(require("tide.re").compile("x"))')))
    assert.is_true((run("local m = {} return getmetatable(setmetatable({}, m)) == m")))
    local value, err = run('("x").y = 1')
    assert.is_nil(value)
    assert.truthy(err:find("^providers/acme.lua:1: "), err)
  end)

  it("refuses finalizers", function()
    local value, err = run("setmetatable({}, { __gc = function() end })")
    assert.is_nil(value)
    assert.truthy(err:find("__gc", 1, true), err)
  end)

  it("bounds string.rep, as a method too", function()
    for _, call in ipairs({ 'string.rep("x", 1 << 40)', '("x"):rep(1 << 40)',
      '("x"):rep(1 << 30, ("y"):rep(100))' }) do
      local value, err = run("return #" .. call)
      assert.is_nil(value)
      assert.truthy(err:find("string.rep", 1, true), err)
    end
    assert.equal("", (run('return string.rep("", math.maxinteger)')))
    assert.equal("a,a", (run('return ("a"):rep(2, ",")')))
    assert.equal("", (run('return ("a"):rep(-1)')))
  end)

  it("stops a pattern that would match for hours, whatever catches the error", function()
    finally(function() task.budget(nil) end)
    local text, pattern = '("a"):rep(60)', '(("a?"):rep(60) .. ("a"):rep(60))'
    for _, call in ipairs({ "string.find(%s, %s)", "(%s):match(%s)", "string.gmatch(%s, %s)()",
      '(%s):gsub(%s, "")', "pcall(string.find, %s, %s)", "pcall(function() (%s):gsub(%s, {}) end)",
      '("x"):gsub("x", function() return (%s):match(%s) end)' }) do
      task.budget(50, "acme")
      local value, err = run("return " .. call:format(text, pattern))
      assert.is_nil(value)
      assert.equal("providers/acme.lua: stopped while it was loaded: acme used more than 50 ms of CPU "
        .. "between two waits and was stopped", err)
    end
  end)

  it("stops what would walk a text over and over", function()
    finally(function() task.budget(nil) end)
    for _, call in ipairs({ '("a"):rep(1 << 20):find(".-b")', '("("):rep(1 << 20):find("%b()")',
      '("a"):rep(1 << 20):match("[" .. ("b"):rep(1 << 20) .. "]-c")',
      '("a"):rep(1 << 20):match("(.*)%1b")' }) do
      task.budget(50, "acme")
      local value, err = run("return " .. call)
      assert.is_nil(value)
      assert.matches("acme used more than 50 ms", err)
    end
  end)

  it("bounds what the table library does in C", function()
    finally(function() task.budget(nil) end)
    local huge = "setmetatable({}, { __len = function() return 1 << 53 end })"
    for _, call in ipairs({ "table.move({}, 1, 1 << 53, 2)", "table.insert(" .. huge .. ", 1, 1)",
      "table.remove(" .. huge .. ", 1)", "table.move({}, math.mininteger, math.maxinteger, 1, {})" }) do
      local value, err = run("return " .. call)
      assert.is_nil(value)
      assert.matches("more than 8388608 elements", err)
    end
    local sorting = "local t = {} for i = 1, 3000000 do t[i] = i * 7919 % 3000017 end table.sort(t) return t[1]"
    task.budget(1000, "acme")
    local value, err = run(sorting)
    assert.is_nil(value)
    assert.matches("acme used more than 1000 ms", err)
  end)

  it("leaves the table library as it is otherwise", function()
    assert.same({ 1, 2, 3 }, (run("local t = { 3, 1, 2 } table.sort(t) return t")))
    assert.same({ 3, 2, 1 }, (run("local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) return t")))
    assert.is_true((run([[
      local t = {}
      for i = 1, 50000 do t[i] = i * 7919 % 50021 end
      table.sort(t)
      for i = 2, #t do assert(t[i - 1] <= t[i]) end
      return true
    ]])))
    assert.same({ 2, 1, 3 }, (run("local t = { 1, 3 } table.insert(t, 1, 2) return t")))
    assert.same({ 3 }, (run("local t = { 1, 3 } assert(table.remove(t, 1) == 1) return t")))
    assert.same({ 1, 2, 5 }, (run("return table.move({ 1, 2 }, 1, 2, 1, { 4, 4, 5 })")))
    local _, err = run("table.insert(nil, 1)")
    assert.matches("bad argument #1 to 'insert'", err)
  end)

  it("has the usual os.time, os.date and os.clock", function()
    assert.equal("integer", math.type((run("return os.time()"))))
    assert.equal(os.time({ year = 2026, month = 1, day = 15 }),
      (run("return os.time { year = 2026, month = 1, day = 15 }")))
    assert.equal("1970-01-01", (run('return os.date("!%Y-%m-%d", 0)')))
    assert.equal("number", type((run("return os.clock()"))))
  end)

  describe("require", function()
    it("gives read-only views of the framework's modules", function()
      assert.equal("[1]", (run('return require("tide.json").encode({ 1 })')))
      for _, source in ipairs({ 'require("tide.json").encode = print',
        'require("tide.json").new = 1', 'require("tide.fail").x = 1' }) do
        local value, err = run(source)
        assert.is_nil(value)
        assert.truthy(err:find("read-only", 1, true), err)
      end
      run('for k in pairs(require "tide.json") do end local t = require "tide.json" for f, s in pairs(t) do break end')
      run('local _, state = pairs(require "tide.json") state.encode = nil')
      assert.equal("[1]", (run('return require("tide.json").encode({ 1 })')))
      assert.equal(json.null, (run('return require("tide.json").null')))
    end)

    it("refuses the framework's own modules and everything else", function()
      for _, name in ipairs({ "tide.http", "tide.store", "tide.state.secrets", "tide.settings",
        "io", "os", "../x", "a/b", "", "string" }) do
        local value, err = run(("\nlocal x = require(%q)"):format(name))
        assert.is_nil(value)
        assert.truthy(err:find("^providers/acme.lua:2: module"), err)
      end
      for _, bad in ipairs({ "nil", "5", "{}", "print" }) do
        assert.is_nil((run("return require(" .. bad .. ")")))
      end
    end)

    it("suggests the module that was meant", function()
      local _, err = run('local x = require "tide.jsn"')
      assert.truthy(err:find("did you mean tide.json?", 1, true), err)
    end)

    it("runs a project's script once per provider and records it", function()
      local options = scripts({ shared = "count = (count or 0) + 1 return { count = count }" })
      local value = run([[
        local a, b = require "shared", require "shared"
        a.mark = true
        return b.mark and a.count]], options)
      assert.equal(1, value)
      assert.equal(1, #options.dependencies)
      assert.equal("scripts/shared.lua", options.dependencies[1].path)
      -- Another provider gets its own.
      assert.is_nil((run('return require("shared").mark', scripts({ shared = "return {}" }))))
    end)

    it("gives true for a script that returns nothing and false for one that returns false",
      function()
      assert.is_true((run('return require "a"', scripts({ a = "" }))))
      assert.is_false((run('return require "a"', scripts({ a = "return false" }))))
    end)

    it("finds circles", function()
      local value, err = run('return require "a"',
        scripts({ a = 'local b = require "b"', b = 'local a = require "a"' }))
      assert.is_nil(value)
      assert.truthy(err:find("scripts/b.lua:1: ", 1, true), err)
      assert.truthy(err:find("a -> b -> a", 1, true), err)
    end)

    it("names the file in which a required script is wrong", function()
      local _, err = run('local a = require "a"', scripts({ a = "\n\nreturn {" }))
      assert.truthy(err:find("^scripts/a.lua:3: "), err)
      _, err = run('local a = require "a"', scripts({ a = "\nlocal x = nil + 1" }))
      assert.truthy(err:find("^scripts/a.lua:2: "), err)
    end)

    it("lets a failed script be tried again and keeps nothing of it", function()
      local value = run([[
        local _, first = pcall(require, "a")
        local _, second = pcall(require, "a")
        return first .. "; " .. second]], scripts({ a = "error('x')" }))
      assert.equal("scripts/a.lua:1: x; scripts/a.lua:1: x", value)
    end)
  end)

  it("encodes read-only tables for what they hold", function()
    local view = require "tide.view"
    local check = run([[
      local json = require "tide.json"
      return function(config) return json.encode(config) end]])
    assert.equal('{"a":[1,2]}', check(view.readonly({ a = { 1, 2 } })))
  end)

  it("takes the caller's mistakes for mistakes", function()
    assert.has_error(function() sandbox.load(nil, "x") end)
    assert.has_error(function() sandbox.load("x") end)
  end)
end)


describe("a read-only view", function()
  local view = require "tide.view"

  it("can be read like the table behind it", function()
    local v = view.readonly({ a = { b = { 1, 2, 3 } }, c = false })
    assert.equal(2, v.a.b[2])
    assert.equal(3, #v.a.b)
    assert.is_false(v.c)
    assert.is_nil(v.d)
    assert.equal("1,2,3", table.concat(v.a.b, ","))
    local sum = 0
    for _, n in ipairs(v.a.b) do
      sum = sum + n
    end
    for _, n in pairs(v.a.b) do
      sum = sum + n
    end
    assert.equal(12, sum)
    assert.equal(v.a, v.a)
  end)

  it("refuses every assignment, also below and through pairs", function()
    local real = { a = { b = 1 } }
    local v = view.readonly(real, "ctx.config")
    assert.has_error(function() v.a = 1 end)
    assert.has_error(function() v.a.b = 2 end)
    assert.has_error(function() v.a.new = 2 end)
    for _, member in pairs(v) do
      assert.has_error(function() member.b = 2 end)
    end
    assert.has_error(function() setmetatable(v, nil) end)
    assert.is_false(getmetatable(v))
    assert.same({ a = { b = 1 } }, real)
  end)

  it("becomes a plain copy for whatever is encoded, empty lists staying lists", function()
    local v = view.readonly({ a = { 1 }, e = json.array() })
    local plain = view.plain({ x = v })
    assert.same({ x = { a = { 1 }, e = {} } }, plain)
    assert.is_true(json.is_array(plain.x.e))
    plain.x.a[1] = 5
    assert.equal(1, v.a[1])
    local untouched = { y = 1 }
    assert.equal(untouched, view.plain(untouched))
    assert.equal(5, view.plain(5))
  end)

  it("of cyclic and shared tables ends", function()
    local cyclic = {}
    cyclic.me = cyclic
    assert.equal(cyclic, view.plain(cyclic))
    local shared = {}
    for _ = 1, 60 do
      shared = { shared, shared }
    end
    assert.equal(shared, view.plain(shared))
  end)
end)
