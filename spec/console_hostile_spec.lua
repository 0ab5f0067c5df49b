local call = require "tide.call"
local generation = require "tide.generation"
local host = require "tide.host"
local session = require "tide.console.session"
local task = require "tide.task"
local time = require "tide.time"
local tokens = require "tide.tokens"
local support = require "spec.support.console"

local LIMIT_MS = 150

-- What nobody types by chance.
local LINES = {
  "while true do end", "repeat until false", "for i = 1, math.huge do end", "goto a ::a:: goto a",
  "local function f() return f() end f()",
  "local function f() return 1 + f() end f()",
  "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x.y",
  "local t = setmetatable({}, { __index = function(t, k) return t[k] end }) return t.x",
  "setmetatable({}, { __tostring = function() while true do end end })",
  "print(setmetatable({}, { __tostring = function() while true do end end, __name = {} }))",
  "error(setmetatable({}, { __tostring = function() error('again') end }))",
  "error()", "error(nil)", "error({})", "error(error)", "error(0 / 0)", "error(('x'):rep(1000000))",
  "pcall(error, setmetatable({}, { __index = error }))",
  "xpcall(function() error('a') end, function() while true do end end)",
  "xpcall(function() error('a') end, function(m) error(m) end)",
  "local x <close> = setmetatable({}, { __close = function() error('closing') end })",
  "local x <close> = setmetatable({}, { __close = function() while true do end end }) error('a')",
  "local x <close> = setmetatable({}, { __close = function() sleep(100) end }) while true do end",
  "setmetatable({}, { __gc = function() while true do end end })",
  "for i = 1, 1000 do pcall(function() while true do end end) end",
  "('x'):rep(1 << 40)", "('x'):rep(-1)", "string.rep('', 1 << 60)", "string.format('%099d', 1)",
  "('x'):rep(100000):find(('x*'):rep(50) .. 'y')", "('a'):rep(1000000):gsub('.', function(c) return c .. c end)",
  "('x'):gsub('x', function() sleep(1) end)", "table.sort({ 3, 2, 1 }, function() sleep(1) return true end)",
  "table.sort({ 3, 2, 1 }, function(a, b) print('x') return a < b end)",
  "table.concat({}, 'x', 1, 1 << 40)", "table.unpack({}, 1, 1 << 30)", "return table.unpack({}, 1, 200000)",
  "table.move({ 1 }, 1, 1 << 50, 2)",
  "table.insert(setmetatable({}, { __len = function() return 1 << 50 end }), 1, 1)",
  "select(-1, 1)", "select('#', table.unpack({}, 1, 200000))", "utf8.char(0x7FFFFFFF)", "tostring(-0.0), 1 // 0.0",
  "1 // 0", "1 % 0", "math.mininteger // -1", "string.char(256)", "os.date('%Ez')", "os.time({})",
  "_ENV = nil", "_ENV = {} x = 1", "local _ENV <const> = {} return x", "_ = nil", "string = nil", "pcall = nil",
  "integrations = nil", "print = print(print)", "getmetatable('').__index = nil", "setmetatable(string, {})",
  "require(nil)", "require({})", "require('tide.json').decode(('['):rep(100000))", "require 'tide.host'",
  "help(help)", "help({})", "help(0 / 0)", "help(nil, 1)", "json(print)", "json(_ENV)", "config({})", "config('../x')",
  "call()", "call({}, {})", "call('acme', 'echo', 5)", "call('..', '..')", "call('acme/cache', 'warm', {})",
  "call('acme', 'echo', { f = print })", "call('acme', 'echo', setmetatable({}, { __index = error }))",
  "local t = {} t.t = t call('acme', 'echo', t)", "integrations[{}]", "integrations.acme.echo(5)",
  "for k, v in pairs(integrations) do print(k, v) end", "integrations.acme.x = 1", "rawget(integrations, 'acme')",
  "next(integrations)", "#integrations", "integrations < integrations", "sleep(-1)", "sleep(0 / 0)", "sleep('x')",
  "sleep(math.huge)", "cache.get()", "cache.get('acme')", "cache.set('acme', 'k', print)", "db.query()",
  "db.query('DROP TABLE integration_configs')",
  "print(('\\0\\27[2J\\255'):rep(100))", "return '\\xff\\xc0', '\\u{202E}'",
  "local t = {} for i = 1, 300 do t = { t } end return t", "local t = {} t[1] = t t[t] = t return t, t",
  "local t = {} for i = 1, 100000 do t[i] = i end return t", "local t = {} for i = 1, 1e5 do t[{}] = {} end return t",
  "x = {} for i = 1, 1e5 do x['k' .. i] = i end", "while true do print(('x'):rep(10000)) end",
  "\27Lua", "#!/bin/sh", "return return", "=1", "?", ")", "::a::", "break", "goto x", "local x <const> = 1 x = 2",
  "local x <what> = 1", "'unfinished", '"\\z', "[==[", "--[[", "-- only a comment", ";;;", "", " ", "\0", "\n\n\n",
  "..", ". help", ".", ".help .help", ".json", ".json .json status", ".call", ".call acme", ".call acme echo =",
  ".call acme echo a", ".call acme echo a:=", ".call acme echo a:={", ".call acme echo a='", ".call .. ..",
  ".cache acme x y z", ".breaker acme ''", ".config acme =", ".config acme a.b.c:=1", ".webhooks x",
  ".webhooks show ../x",
  ".tail nothing=1", ".tail x", ".quit2", ".help " .. ("x"):rep(10000), ".status | json | json",
}


describe("a console in hostile hands", function()
  local console, current


  setup(function()
    current = call.activate(call.bind(assert(generation.build {
      config = { script_timeout_ms = LIMIT_MS }, files = { {
        name = "acme", path = "providers/acme.lua",
        text = "return { operations = { echo = { run = function(_, input) return input end } } }",
      } },
    })))
  end)


  before_each(function()
    console = session.new {
      instance = { live = { current = function() return current end } },
      identity = { name = "console", role = "admin", rights = tokens.ROLES.admin },
    }
  end)


  after_each(function()
    console:close()
    host.set_memory_limit(0)
  end)


  -- Runs a line for a while, and leaves the console as one that answers.
  local function survive(text, what)
    what = what or text:sub(1, 200)
    local state, message = console:start(text)
    assert.is_true(state == "running" or state == "incomplete" or (state == nil and type(message) == "string"), what)
    local ending = time.monotonic() + 2
    while state == "running" and time.monotonic() < ending do
      local printed
      printed, state = console:read(0.5)
      assert.is_truthy(utf8.len(printed), what)
      assert.is_nil(printed:find("[%z\1-\8\11-\31\127]"), what)
      assert.is_nil(printed:find("scripts/tide/console", 1, true), what)
    end
    console:cancel()
    support.drain(console)
    if console.ended then
      return
    end
    assert.equal("2", (support.run(console, "1 + 1")), what)
  end


  it("goes on after each of them, and its worker meanwhile", function()
    local longest, is_done = 0, false
    local ticker = task.spawn(function()
      while not is_done do
        local began = time.monotonic()
        task.sleep(0.01)
        longest = math.max(longest, time.monotonic() - began)
      end
    end)
    for _, text in ipairs(LINES) do
      survive(text)
    end
    is_done = true
    ticker:join()
    assert.is_true(longest < 2, "the worker stood still for " .. longest .. " s")
  end)


  it("goes on after what is deep or long", function()
    for _, text in ipairs {
      ("("):rep(5000), ("{"):rep(5000) .. ("}"):rep(5000), ("-"):rep(5000) .. "1", ("not "):rep(5000) .. "1",
      "return " .. ("f("):rep(300) .. (")"):rep(300), ("do "):rep(300) .. ("end "):rep(300),
      "x = " .. ("1 .. "):rep(20000) .. "1", "x = " .. ("a."):rep(20000) .. "b", ("x = 1 "):rep(20000),
      ("local a\n"):rep(300), "return '" .. ("x"):rep(250000) .. "'", ("x"):rep(1000000),
      ("\n"):rep(200000) .. "error('a')",
      "f = function() return " .. ("function() return "):rep(250) .. "1 " .. ("end "):rep(251),
    } do
      -- Not under busted's message handler, which the compiler would call.
      local ok, message = pcall(survive, text)
      assert.is_true(ok, message)
    end
  end)


  it("keeps the memory of its worker, whatever is left in globals", function()
    current.config.memory_limit_mb = math.ceil(collectgarbage("count") / 1024) + 40
    finally(function() current.config.memory_limit_mb = 256 end)
    survive("kept = {} for i = 1, 1e9 do kept[i] = { i } end")
    for _ = 1, 4 do
      survive("kept = (kept or '') .. ('x'):rep(12 * 1024 * 1024)")
    end
    collectgarbage()
    assert.is_true(collectgarbage("count") / 1024 < current.config.memory_limit_mb)
  end)


  local PIECES = {
    "return", "(", ")", "{", "}", "[", "]", "=", "==", "..", "...", ".", ":", ",", ";", "x", "t", "1", "'a'", "nil",
    "end", "do", "while", "for", "in", "function", "local", "if", "then", "else", "repeat", "until", "goto", "::",
    "<close>", "#", "-", "not", "and", "print", "call", "integrations", "error", "pcall", "setmetatable", "\n", "--",
    "[[", "]]", ".call", ".json", "| json", "acme", "echo", "a=1", "\0", "\255", "\27", "한글",
  }


  local function random_line()
    local parts = {}
    if math.random(4) == 1 then
      for index = 1, math.random(60) do
        parts[index] = string.char(math.random(0, 255))
      end
      return table.concat(parts)
    end
    for index = 1, math.random(25) do
      parts[index] = PIECES[math.random(#PIECES)]
    end
    return table.concat(parts, math.random(2) == 1 and " " or "")
  end


  it("goes on after random lines and completes anywhere in them", function()
    local seed = tonumber(os.getenv("TIDEGATE_SPEC_SEED")) or math.random(1, 2 ^ 31)
    math.randomseed(seed)
    for index = 1, 1000 do
      local text = random_line()
      local what = ("seed %d, line %d: %q"):format(seed, index, text)
      local found = console:complete(text, math.random(-1, #text + 1))
      assert.is_true(#found.words <= 200, what)
      survive(text, what)
      if console.ended then
        console = session.new { instance = console.instance, identity = console.identity }
      end
    end
  end)
end)
