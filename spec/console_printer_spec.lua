local json = require "tide.json"
local secrets = require "tide.state.secrets"
local view = require "tide.view"
local errors = require "tide.errors"
local plain_text = require "tide.console.plain_text"
local printer = require "tide.console.printer"


describe("the printer", function()
  local function text(value, options)
    return printer.text(value, options)
  end


  it("writes single values as Lua does, floats so that they read back", function()
    assert.equal("nil", text(nil))
    assert.equal("true", text(true))
    assert.equal("42", text(42))
    assert.equal("1.0", text(1.0))
    assert.equal("0.1", text(0.1))
    assert.equal("0.30000000000000004", text(0.1 + 0.2))
    assert.equal("1e+100", text(1e100))
    assert.equal("-9223372036854775808", text(math.mininteger))
    assert.equal("inf", text(math.huge))
    assert.equal("nan", text(0 / 0))
    assert.equal("null", text(json.null))
  end)


  it("leaves Korean readable and escapes what a terminal would act on", function()
    assert.equal('"서울 강남구"', text("서울 강남구"))
    assert.equal([["a\n\t\"b\" \\"]], text('a\n\t"b" \\'))
    assert.equal([["\x1B[2J\x00\x7F"]], text("\27[2J\0\127"))
    assert.equal([["\xFF\xC3("]], text("\xFF\xC3("))
    assert.equal([["a\u{202E}b\u{200B}\u{85}"]], text("a\u{202E}b\u{200B}\u{85}"))
    assert.equal([["\u{61C}\u{180E}\u{E0041}é서😀"]], text("\u{61C}\u{180E}\u{E0041}é서😀"))
  end)


  it("sorts tables, lists first, and keeps short ones on a line", function()
    assert.equal("{}", text {})
    assert.equal("{}", text(json.array()))
    assert.equal('{ 1, "two", a = 1, b = { c = true } }', text { 1, "two", b = { c = true }, a = 1 })
    assert.equal('{ 1, nil, 3 }', text { 1, nil, 3 })
    assert.equal('{ [-1] = 0, [1.5] = 2, [10] = 1, ["a b"] = 3, ["end"] = 4, [true] = 5 }',
      text { [10] = 1, [-1] = 0, [1.5] = 2, ["a b"] = 3, ["end"] = 4, [true] = 5 })
  end)


  it("breaks lines where the width is not enough, counting columns", function()
    local value = { name = "서울특별시 강남구 테헤란로", list = { 1, 2, 3 }, inner = { deep = { a = 1 } } }
    assert.equal([[{
  inner = { deep = { a = 1 } },
  list = { 1, 2, 3 },
  name = "서울특별시 강남구 테헤란로",
}]], text(value, { width = 40 }))
    for width = 20, 120 do
      for line in (text(value, { width = width }) .. "\n"):gmatch("([^\n]*)\n") do
        assert.is_true(plain_text.width(line) <= math.max(width, 38), line)
      end
    end
  end)


  it("shows cycles, depth and length with a bound", function()
    local cyclic = { name = "a" }
    cyclic.self, cyclic.list = cyclic, { cyclic }
    assert.equal('{ list = { <cycle> }, name = "a", self = <cycle> }', text(cyclic))
    local shared = { 1 }
    assert.equal("{ { 1 }, { 1 } }", text { shared, shared })
    local deep = {}
    for _ = 1, 50 do deep = { deep } end
    assert.matches("{ … }", text(deep), 1, true)
    local long = {}
    for index = 1, 1334 do long[index] = index end
    assert.matches("100,\n  … 1,234 more\n}$", text(long))
    local wide = {}
    for index = 1, 12100 do wide["k" .. index] = index end
    assert.matches("… 12,000 more\n}$", text(wide))
    assert.matches('^"x+" … 8,000 more bytes$', text(("x"):rep(10000)))
  end)


  it("is bounded whatever it is given", function()
    local function tree(levels)
      local node = {}
      for index = 1, levels > 0 and 20 or 0 do node[index] = tree(levels - 1) end
      return node
    end
    assert.is_true(#text(tree(4)) < 400000)
    local strings = {}
    for index = 1, 1000 do strings[index] = { ("y"):rep(2000), ("z"):rep(2000) } end
    assert.is_true(#text(strings) < 400000)
  end)


  it("runs no code of what it shows", function()
    local function fail() error("ran") end
    local liar = setmetatable({ a = 1 }, {
      __index = fail, __pairs = fail, __len = fail, __tostring = fail, __name = fail, __eq = fail, __lt = fail,
      __metatable = "no", __call = fail, __concat = fail,
    })
    assert.equal("{ a = 1 }", text(liar))
    assert.matches("^{ %[<table>%] = { a = 1 } }$", text { [liar] = liar })
  end)


  it("shows views as the tables behind them, and functions and userdata in brackets", function()
    assert.equal("{ a = { 1, 2 } }", text(view.readonly({ a = { 1, 2 } })))
    assert.equal("<function>", text(print))
    assert.equal("<function input7:2>", text(load("\nreturn function() end", "=input7")()))
    assert.matches("^<.+>$", text(io.stdout))
    assert.matches("code = \"rejected\"", text(errors.new("rejected", "no")), 1, true)
  end)


  it("takes secrets out, by name and by value", function()
    secrets.put("console", "key", "a-secret-of-12345", "stored")
    secrets.put("console", "number", "123456789012", "stored")
    finally(function()
      secrets.remove("console", "key")
      secrets.remove("console", "number")
    end)
    assert.equal('{ api_key = [redacted], note = "it is [redacted]", password = [redacted] }',
      text { api_key = "x", password = { 1 }, note = "it is a-secret-of-12345" })
    assert.is_nil(text({ 123456789012 }):find("123456789012", 1, true))
    assert.is_nil(text({ ["a-secret-of-12345"] = 1 }):find("a-secret-of", 1, true))
    assert.is_nil(text(("x"):rep(1995) .. "a-secret-of-12345"):find("a-sec", 1, true))
    assert.equal("{ is_secret = true, token = \"\" }", text { is_secret = true, token = "" })
  end)


  it("colours without changing what is read", function()
    local value = { a = { "x", 1, true, print }, b = ("long "):rep(30) }
    local coloured = text(value, { is_color = true })
    assert.equal(text(value), (coloured:gsub("\27%[%d*m", "")))
    assert.is_truthy(coloured:find("\27[32m", 1, true))
  end)


  it("fits text to columns", function()
    assert.equal("abc   ", plain_text.fit("abc", 6, true))
    assert.equal("ab…", plain_text.fit("abcdef", 3))
    assert.equal("서울…", plain_text.fit("서울특별시", 5))
    assert.equal(4, plain_text.width("서울"))
    assert.equal(1, plain_text.width("e\u{301}"))
  end)
end)
