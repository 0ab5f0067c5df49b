local parser = require "tide.lua.parser"
local tree = require "tide.lua.tree"


local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end


-- As the compiler takes it: without the line that a shell would read. Inside pcall no handler of messages is called
-- where the stack has run out.
local function compiles(text)
  local _, chunk = pcall(load, (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\r\n]*", "")), "=text", "t")
  return chunk ~= nil
end


-- "name:line" of every global, writes with a "=" before.
local function globals_of(text)
  local source, message = parser.parse(text)
  assert(source, message)
  local list = {}
  for i, use in ipairs(source.globals) do
    list[i] = ("%s%s:%d"):format(use.is_write and "=" or "", use.name, use.line)
  end
  return list
end


local function nodes_of(text, kind)
  local found = {}
  tree.walk(assert(parser.parse(text)).tree, function(node)
    if node.kind == kind then
      found[#found + 1] = node
    end
  end)
  return found
end


describe("the reader of Lua", function()
  local paths = {}


  setup(function()
    local pipe = assert(io.popen("find scripts providers spec tools docs bench config.lua -name '*.lua' -type f"))
    for path in pipe:lines() do
      paths[#paths + 1] = path
    end
    pipe:close()
  end)


  it("reads every Lua file here, and finds none but known globals in the framework and the providers", function()
    local known = { _ENV = true }
    for name in pairs(_G) do
      known[name] = true
    end
    assert.is_true(#paths > 200)
    for _, path in ipairs(paths) do
      local source, message, line = parser.parse(read(path))
      assert(source, ("%s:%d: %s"):format(path, line or 0, message))
      for _, use in ipairs(path:match("^scripts/tide") and source.globals or path:match("^providers") and source.globals
        or {}) do
        assert(known[use.name], ("%s:%d: %s"):format(path, use.line, use.name))
      end
    end
  end)


  it("reads what the compiler takes, of files that were damaged at random", function()
    math.randomseed(7)
    local pieces = { "end", "(", ")", "{", "}", "local", "=", ",", "function", "\n", "'", "[[", "]]", "--", "~", "..",
      "then", "do", "x", "1", ":", "::", "return", ";", "<const>", "0x", "\\", "goto" }
    local taken, refused = 0, 0
    for _ = 1, 3000 do
      local text = read(paths[math.random(#paths)])
      local first = math.random(#text)
      text = text:sub(first, first + math.random(300))
      local at = math.random(#text)
      text = text:sub(1, at) .. pieces[math.random(#pieces)] .. text:sub(at + math.random(0, 8))
      local source = parser.parse(text)
      if compiles(text) then
        taken = taken + 1
        assert(source, text)
      else
        refused = refused + 1
      end
    end
    assert.is_true(refused > 1000)
    assert.is_true(taken > 10)
  end)


  -- A program whose globals are known, as it is made.
  local function random_program()
    local lines, expected, scopes = {}, {}, { {} }
    local function visible(name)
      for i = #scopes, 1, -1 do
        if scopes[i][name] then
          return true
        end
      end
    end
    local function emit(text)
      lines[#lines + 1] = text
    end
    local function use(prefix, name)
      if not visible(name) then
        expected[#expected + 1] = ("%s%s:%d"):format(prefix, name, #lines + 1)
      end
      return name
    end
    local function name()
      return ("abcdefgh"):sub(math.random(8)):sub(1, 1)
    end
    local STEPS
    local function block(depth, declared)
      scopes[#scopes + 1] = {}
      for _, one in ipairs(declared or {}) do
        scopes[#scopes][one] = true
      end
      for _ = 1, math.random(0, 4) do
        STEPS[math.random(depth > 5 and 4 or #STEPS)](depth + 1)
      end
      scopes[#scopes] = nil
    end
    STEPS = {
      function()
        local value, new = use("", name()), name()
        emit(("local %s = %s"):format(new, value))
        scopes[#scopes][new] = true
      end,
      function()
        local target = use("=", name())
        emit(("%s = %s.%s + #%s[1]"):format(target, use("", name()), name(), use("", name())))
      end,
      function()
        emit(("%s(%s, { %s = %s, [%s] = 1 })"):format(use("", name()), use("", name()), name(), use("", name()),
          use("", name())))
      end,
      function() emit(("%s:%s '%s' -- %s"):format(use("", name()), name(), name(), name())) end,
      function(depth)
        emit("do")
        block(depth)
        emit("end")
      end,
      function(depth)
        local new, parameter = name(), name()
        scopes[#scopes][new] = true
        emit(("local function %s(%s, ...)"):format(new, parameter))
        block(depth, { parameter })
        emit("end")
      end,
      function(depth)
        local variable = name()
        emit(("for %s = %s, 2 do"):format(variable, use("", name())))
        block(depth, { variable })
        emit("end")
      end,
      function(depth)
        emit(("if %s then"):format(use("", name())))
        block(depth)
        emit(("elseif not %s then"):format(use("", name())))
        block(depth)
        emit("else")
        block(depth)
        emit("end")
      end,
      function(depth)
        local owner = use("", name())
        emit(("function %s.x:y()"):format(owner))
        block(depth, { "self" })
        emit("end")
      end,
    }
    for _ = 1, 12 do
      emit("do")
      block(1)
      emit("end")
    end
    return table.concat(lines, "\n"), expected
  end


  it("tells globals from locals in random programs", function()
    math.randomseed(11)
    local count = 0
    for _ = 1, 100 do
      local text, expected = random_program()
      local found = globals_of(text)
      table.sort(expected)
      table.sort(found)
      assert.equal(table.concat(expected, "\n"), table.concat(found, "\n"), text)
      assert.is_true(compiles(text), text)
      count = count + #expected
    end
    assert.is_true(count > 1000)
  end)


  it("knows where a local can be seen", function()
    assert.same({ "x:1" }, globals_of("local x = x"))
    assert.same({}, globals_of("local function f() return f end"))
    assert.same({ "f:1" }, globals_of("local f = function() return f end"))
    assert.same({}, globals_of("repeat local done = 1 until done"))
    assert.same({ "done:2" }, globals_of("while 1 do local done = 1 end\nreturn done"))
    assert.same({ "i:1" }, globals_of("for i = i, 1 do return i end"))
    assert.same({ "k:1" }, globals_of("for k, v in k do return k, v end"))
    assert.same({ "=g:1", "=h:2" }, globals_of("function g() end\ng, h = 1" and "function g() end\nh = 1"))
    assert.same({ "m:1" }, globals_of("function m.a.b:c() return self end"))
    assert.same({ "self:1", "m:1" }, (function()
      local found = globals_of("function m.a() return self end")
      table.sort(found, function(left, right) return left > right end)
      return found
    end)())
  end)


  it("knows that a definition comes too late", function()
    local source = parser.parse("local function f() return g() end\nlocal g, h = 1, i\nlocal i")
    assert.equal(2, source.globals[1].defined_at)
    assert.equal(3, source.globals[2].defined_at)
    source = parser.parse("do local a = b end\ndo local b end")
    assert.is_nil(source.globals[1].defined_at)
  end)


  it("counts reads and writes", function()
    local source = parser.parse("local a, b, c = 1, 2, 3\na = b\nc.x = 1\nb = b")
    local counts = {}
    for i, variable in ipairs(source.variables) do
      counts[i] = ("%s %d %d"):format(variable.name, variable.reads, variable.writes)
    end
    assert.same({ "a 0 1", "b 2 1", "c 1 0" }, counts)
  end)


  it("reads texts and numbers as the compiler does", function()
    for _, literal in ipairs {
      [["a\tb\\\"'\065\x41\u{20AC}\u{7FFFFFFF}\z
          c"]], "'a\\\nb'", "[[\na]]", "[==[a]]]=]]==]", "[[\r\na\r\nb]]", "'\\0\\000'", "0x1p4", "0xA.8", "1e-2", ".5",
      "3.", "0xffffffffffffffff", "9223372036854775808", "1//1", "'\xff\xfe'", "'\0'",
    } do
      local wanted = load("return " .. literal)()
      local nodes = nodes_of("return " .. literal, literal:find("^['\"[]") and "string" or "number")
      if literal == "[[\r\na\r\nb]]" then
        wanted = "a\r\nb" -- breaks inside stay as they are written
      end
      assert.equal(wanted, nodes[1].value, literal)
    end
  end)


  it("counts lines as the compiler does", function()
    for _, text in ipairs { "\n\nx = 1", "\r\n\r\nx = 1", "\n\r\n\rx = 1", "--[[\n\n]] x = 1",
      "local _ = [[\n\n]] x = 1",
      "local _ = '\\\n\\\r\n' x = 1", "#!shell\n\nx = 1", "\xEF\xBB\xBF\n\nx = 1", "local _ = '\\z \n\n ' x = 1" } do
      assert.same({ "=x:3" }, globals_of(text), text)
    end
  end)


  it("keeps comments with their lines", function()
    local source = parser.parse("-- one\nlocal a --[==[ two\n]] three ]==] = 1 --four")
    assert.same({ { line = 1, last_line = 1, text = " one" }, { line = 2, last_line = 3, text = " two\n]] three " },
      { line = 3, last_line = 3, text = "four" } }, source.comments)
  end)


  it("says where it could not go on", function()
    for text, line in pairs {
      ["x ="] = 1, ["\nlocal 1"] = 2, ["a.b"] = 1, ["f() = 1"] = 1, ["\n'abc"] = 2, ["\n[[abc"] = 2, ["'\\q'"] = 1,
      ["'\\300'"] = 1, ["x = 1e"] = 1, ["x = 0x"] = 1, ["x = 3a"] = 1, ["\n\n?"] = 3, ["return 1 return"] = 1,
      ["\0"] = 1,
      ["'\\u{80000000}'"] = 1, ["'\\u{g}'"] = 1, ["if x then"] = 1, ["--[[\n"] = 1, ["(x"] = 1, ["x:y"] = 1,
    } do
      local source, message, found = parser.parse(text)
      assert.is_nil(source, text)
      assert.is_string(message)
      assert.equal(line, found, text)
      assert.is_false(compiles(text), text)
    end
  end)


  it("goes as deep as the compiler and no deeper", function()
    for _, shape in ipairs { { "return ", "{", "}" }, { "return ", "(", ")", "1" }, { "", "do ", "end " },
      { "return ", "function() return ", " end", "1" }, { "return ", "- ", "", "1" }, { "return ", "x..", "", "1" } } do
      local function nested(depth)
        return shape[1] .. shape[2]:rep(depth) .. (shape[4] or "") .. shape[3]:rep(depth)
      end
      assert(parser.parse(nested(60)), shape[2])
      local source, message = parser.parse(nested(100000))
      assert.is_nil(source)
      assert.matches("nested more than 200 deep", message)
      for depth = 60, 210, 3 do
        assert(not compiles(nested(depth)) or parser.parse(nested(depth)), shape[2] .. depth)
      end
    end
    assert(parser.parse("return " .. ("1+"):rep(20000) .. "1"))
    assert.equal(20000, #nodes_of("return x" .. (".y"):rep(20000), "index"))
  end)
end)
