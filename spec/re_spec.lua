local re = require "tide.re"
local time = require "tide.time"


local function compiled(pattern, flags)
  return assert(re.compile(pattern, flags))
end


describe("tide.re", function()
  it("tests, from a place on", function()
    local digits = compiled("[0-9]{3}")
    assert.is_true(digits:test("ab123"))
    assert.is_false(digits:test("ab12"))
    assert.is_false(digits:test("123 ab", 2))
    assert.is_true(digits:test("ab 123", -3))
    assert.is_false(digits:test("123", 99))
  end)


  it("matches with groups, names and places", function()
    local date = compiled("(?<year>[0-9]{4})-(?<month>[0-9]{2})(-[0-9]{2})?")
    assert.same({ [0] = "2026-01", "2026", "01", false, year = "2026", month = "01", start = 4, stop = 10 },
      date:match("on 2026-01."))
    assert.is_nil((date:match("never")))
    assert.equal(1, compiled(""):match("x").start)
    assert.equal(0, compiled(""):match("x").stop)
  end)


  it("reports a name that two groups share as the one that took part", function()
    assert.equal("b", compiled("(?J)(?:(?<x>a)|(?<x>b))"):match("b").x)
  end)


  it("finds all matches, empty ones too, up to a limit", function()
    local found = {}
    for _, match in ipairs(compiled("a*"):matches("baac")) do
      found[#found + 1] = match.start .. ":" .. match[0]
    end
    assert.same({ "1:", "2:aa", "4:", "5:" }, found)
    assert.equal(2, #compiled("[a-z]"):matches("abc", 2))
    assert.equal(1000, #compiled("a"):matches(("a"):rep(2000)))
    assert.same({}, compiled("x"):matches("abc"))
  end)


  it("replaces with groups and names", function()
    local pair = compiled("(?<key>[a-z]+)=([0-9]+)")
    assert.same({ "1:a $ a=1; 22:bb $ bb=22", 2 },
      { pair:replace("a=1; bb=22", "$2:${key} $$ $0") })
    assert.same({ "-b-c-", 3 }, { compiled("x*"):replace("bc", "-") })
    assert.same({ "none", 0 }, { pair:replace("none", "$1") })
    assert.equal("[]", (compiled("a(b)?"):replace("a", "[$1]")))
    assert.equal("10", (re.replace("1", "([0-9])", "${1}0")))
  end)


  it("raises for a replacement that names no group", function()
    local pattern = compiled("(a)")
    for _, bad in ipairs { "$2", "$", "$x", "${b}", "${}", "${1", "$99" } do
      assert.has_error(function() pattern:replace("a", bad) end)
    end
  end)


  it("takes the flags i, m, s and x", function()
    assert.is_true(re.test("ABC", "abc", "i"))
    assert.is_true(re.test("a\nb", "^b", "m"))
    assert.is_true(re.test("a\nb", "a.b", "s"))
    assert.is_true(re.test("ab", "a b # both", "x"))
    assert.is_true(re.test("A\nb", "A . B", "ixs"))
    assert.has_error(function() re.test("a", "a", "g") end)
  end)


  it("lets $ match at the very end only", function()
    assert.is_true(re.test("12", "^[0-9]+$"))
    assert.is_false(re.test("12\n", "^[0-9]+$"))
  end)


  it("matches by characters when it can, else by bytes", function()
    assert.equal("한", re.match("한글", "^.")[0])
    assert.is_true(re.test("한", "^[가-힣]$"))
    assert.is_true(re.test("Ä", "^ä$", "i"))
    assert.equal("\xff", re.match("\xff\xfe", "^.")[0])
    assert.is_false(re.test("٣", "^\\d$"))
    assert.equal(4, compiled("."):match("한글", 2).start)
    local answer, _, code = re.test("\xff", "\\x{1F600}")
    assert.is_nil(answer)
    assert.equal("invalid_utf8", code)
  end)


  it("names the place of a fault in a pattern", function()
    local pattern, message, code = re.compile("a(b")
    assert.is_nil(pattern)
    assert.matches("at byte 4", message)
    assert.equal("invalid_pattern", code)
    assert.has_error(function() re.test("a", "(") end)
    assert.is_nil((re.compile(("()"):rep(100))))
    assert.is_nil((re.compile(("a"):rep(65537))))
    assert.is_nil((re.compile("\\C")))
  end)


  it("gives the same object for the same pattern and flags", function()
    assert.equal(re.compile("same"), re.compile("same"))
    assert.are_not.equal(re.compile("same"), re.compile("same", "i"))
    for index = 1, 600 do re.compile("other" .. index) end
    assert.is_true(compiled("same"):test("same"))
  end)


  it("keeps its type to itself", function()
    assert.equal("Regex", getmetatable(compiled("a")))
    assert.has_error(function() compiled("a").test({}, "a") end)
    assert.has_error(function() compiled("a"):test() end)
  end)


  -- Each of these would run for minutes or for ever: nested and overlapping repetitions,
  -- and those that are only slow because they are tried at every place again.
  local catastrophic = {
    { "(a+)+$", ("a"):rep(40) .. "b" },
    { "^(a|aa)+$", ("a"):rep(60) .. "b" },
    { "^(([a-z])+.)+[A-Z]([a-z])+$", ("a"):rep(60) },
    { "(.*)*(.*)*(.*)*[xyz]$", ("a"):rep(5000) },
    { "\\s+$", (" "):rep(400000) .. "x" },
    { "[a-z]+@", ("a"):rep(2000000) },
    { "(?:.|\\n)*?\\d\\d\\d$", ("1 "):rep(200000) },
    { "(x+x+)+y", ("x"):rep(5000) .. "z" },
    { "^(?:a?){40}a{40}$", ("a"):rep(40) .. "b" },
    { "((a*)*)*[bc]$", ("a"):rep(3000) },
  }

  for _, case in ipairs(catastrophic) do
    it("stops " .. case[1] .. " in bounded time", function()
      local started = os.clock()
      local answer, message, code = re.test(case[2], case[1])
      assert.is_true(os.clock() - started < 2)
      if answer == nil then
        assert.equal("limit", code)
        assert.is_string(message)
      else
        assert.is_false(answer)
      end
    end)
  end


  it("says limit for nested repetitions", function()
    for _, method in ipairs { "test", "match", "matches" } do
      local pattern = compiled("(a+)+$")
      local answer, _, code = pattern[method](pattern, ("a"):rep(40) .. "b")
      assert.is_nil(answer)
      assert.equal("limit", code)
    end
    assert.equal("limit", (select(3, re.replace(("a"):rep(40) .. "b", "(a+)+$", ""))))
  end)


  it("finds what a plain search finds, in subjects longer than a window", function()
    local seed = math.floor(time.now())
    print("seed " .. seed)
    math.randomseed(seed)
    for _ = 1, 30 do
      local pieces = {}
      for index = 1, math.random(1, 4000) do
        pieces[index] = ({ "a", "b", "한", " ", "\n" })[math.random(5)]
      end
      local subject = table.concat(pieces)
      for _, needle in ipairs { "abba", "한한b", "  \n", "baab" } do
        local expected = subject:find(needle, 1, true)
        local match = compiled("(?:" .. needle .. ")", "m"):match(subject)
        assert.equal(expected, match and match.start)
        local first = needle:match(utf8.charpattern)
        match = compiled("[" .. first .. "]" .. needle:sub(#first + 1)):match(subject)
        assert.equal(expected, match and match.start)
      end
    end
  end)
end)
