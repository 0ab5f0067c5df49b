local json = require "tide.json"


-- Deep equality that tells arrays from objects, and integers from floats where text does.
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    local whole = math.type(a) == "float" and math.tointeger(a)
    return a == b and (whole or math.type(a) == math.type(b))
  end
  if json.is_array(a) ~= json.is_array(b) then return false end
  for key, value in next, a do
    if not same(value, rawget(b, key)) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end


local function assert_decodes(text, expected)
  local value, message = json.decode(text)
  assert.is_nil(message)
  assert(same(value, expected), text .. " was decoded as " .. tostring(value))
end


local function assert_refused(text, part)
  local value, message, code = json.decode(text)
  assert.is_nil(value, text .. " was accepted")
  assert.equal("invalid_json", code)
  assert.matches(part or "at byte %d+$", message)
end


local function assert_not_encodable(value, part, options)
  local text, message, code = json.encode(value, options)
  assert.is_nil(text)
  assert.equal("not_encodable", code)
  assert(message:find(part, 1, true), message .. " does not contain " .. part)
end


describe("json.decode", function()
  it("accepts a scalar as a document", function()
    assert_decodes("null", json.null)
    assert_decodes("true", true)
    assert_decodes("false", false)
    assert_decodes("42", 42)
    assert_decodes('"text"', "text")
    assert_decodes('""', "")
  end)


  it("accepts the white space of RFC 8259 wherever it may be", function()
    assert_decodes(" \t\r\n[ \n1\t,\r2 ] \n", json.array { 1, 2 })
    assert_decodes('\n{ "a" \t: [ ] , "b":{ } }\r\n', { a = json.array(), b = {} })
    assert_decodes("  1  ", 1)
  end)


  it("keeps integers exact to the ends of int64", function()
    assert_decodes("9007199254740993", 9007199254740993)
    assert_decodes("9223372036854775807", math.maxinteger)
    assert_decodes("-9223372036854775808", math.mininteger)
  end)


  it("makes floats of all other numbers", function()
    assert_decodes("9223372036854775808", 2.0 ^ 63)
    assert_decodes("-9223372036854775809", -2.0 ^ 63)
    assert.equal("float", math.type(json.decode("1.0")))
    assert.equal("float", math.type(json.decode("1e0")))
    assert_decodes("1E+2", 100.0)
    assert_decodes("0.1", 0.1)
    assert_decodes("123e-2", 1.23)
    assert_decodes("1e-400", 0.0)
  end)


  it("keeps the sign of zero, as a float", function()
    assert.equal(-math.huge, 1 / json.decode("-0"))
    assert.equal("float", math.type(json.decode("-0")))
    assert.equal("integer", math.type(json.decode("0")))
  end)


  it("refuses what JSON does not call a number", function()
    local texts = {
      "01", "-01", "00", "+1", ".5", "1.", "1.e1", "-", "--1", "1e", "1e+", "1E-", "0x10", "1_000", "- 1",
        "1 2", "1e1.5",
      "NaN", "nan", "Infinity", "-Infinity", "inf", "1f", "１", "0.e1", "-.5",
    }
    for _, text in ipairs(texts) do
      assert_refused(text)
      assert_refused("[" .. text .. "]", nil)
    end
  end)


  it("refuses numbers beyond the largest double", function()
    assert_refused("[1e400]", "number too large at byte 2$")
    assert_refused("-1e99999999999999999999999", "number too large at byte 1$")
  end)


  it("decodes every escape", function()
    assert_decodes([["\"\\\/\b\f\n\r\t"]], '"\\/\b\f\n\r\t')
    assert_decodes([["\u0041\u00e9\uD55C\ud83d\ude00\uFFFF"]], "Aé한😀\u{ffff}")
    assert_decodes([["\u0000"]], "\0")
    assert_decodes([["a\u0000b"]], "a\0b")
    assert_decodes([["\\u0041"]], "\\u0041")
    assert_decodes([["\udbff\udfff"]], "\u{10ffff}")
  end)


  it("refuses other escapes", function()
    for _, escape in ipairs { "\\a", "\\v", "\\x41", "\\'", "\\0", "\\U0041", "\\u", "\\u12", "\\u12G4",
      "\\u+123", "\\u 123", "\\\n" } do
      assert_refused('"' .. escape .. '"')
    end
    assert_refused('"\\', "invalid escape at byte 2$")
    assert_refused('["\\u00', "at byte 3$")
  end)


  it("refuses lone surrogates", function()
    for _, escape in ipairs {
      "\\ud800", "\\udc00", "\\udfff", "\\ud800\\ud800", "\\ud83d\\u0041", "\\ud83dx", "\\ud83d\\n",
        "\\ude00\\ud83d", "\\ud83d\\ude0",
    } do
      assert_refused('["ab' .. escape .. '"]', "lone surrogate at byte 5$")
    end
  end)


  it("refuses text that is not UTF-8", function()
    for _, bytes in ipairs {
      "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5", "\xff",
      "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(",
    } do
      assert_refused('"' .. bytes .. '"', "invalid UTF%-8 at byte 2$")
      assert_refused('{"12345678901234567890' .. bytes .. '":1}', "invalid UTF%-8 at byte 23$")
      assert_refused('"\\n' .. bytes .. '"', "invalid UTF%-8 at byte 4$")
    end
    assert_refused("\xff", "at byte 1$")
    assert_refused("\xff\xfe[\0]\0")
  end)


  it("accepts all of Unicode as it is", function()
    for _, text in ipairs { "é", "한국어와 English", "日本語 👩‍👩‍👧", "\u{7f}", "\u{80}",
      "\u{ffff}", "\u{10ffff}", "\u{2028}", "\u{feff}" } do
      assert_decodes('"' .. text .. '"', text)
      assert_decodes('{"' .. text .. '":"' .. text .. text .. '"}', { [text] = text .. text })
    end
  end)


  it("refuses raw control characters in strings", function()
    for byte = 0, 31 do
      assert_refused('"a' .. string.char(byte) .. '"', "raw control character in a string at byte 3$")
    end
    assert_refused('{"a\n":1}')
  end)


  it("finds the end of a string at every distance", function()
    for length = 0, 70 do
      local text = ("x"):rep(length)
      assert_decodes('"' .. text .. '"', text)
      assert_decodes('["' .. text .. '","' .. text .. '\\n"]', json.array { text, text .. "\n" })
      assert_refused('"' .. text, "string without an end at byte " .. length + 2 .. "$")
      assert_refused('"' .. text .. "\n" .. ("y"):rep(20) .. '"', "at byte " .. length + 2 .. "$")
    end
  end)


  it("refuses broken structure", function()
    local texts = {
      "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,,2]", "[,]", "[1}", "{]", "[1:2]",
        "[[]", "[]]",
      "{a:1}", "{'a':1}", '{"a"}', '{"a":}', '{"a",1}', '{"a":1,}', '{,"a":1}', '{"a":1 "b":2}', '{"a":1,,"b":2}',
      '{"a":1', '{"a":', '{"a"', '{"a', '{1:2}', "{null:1}", "{[]:1}", '{"a":1]', '{"a"::1}', "{true}", "'a'",
        '"a', '"', "[\"a\"\"b\"]",
      "tru", "True", "TRUE", "truex", "nul", "nulls", "fals", "undefined", "None", "[nul]", "n", "t", "f",
        "[tru", "nan",
      "1 2", "[] []", "{}{}", "[]x", "null,", "1 //", "// c\n1", "/**/1", "[1/**/]", "# c", "{}#", "[1]\0",
        "\0", "1\0",
      "\f1", "\v1", "\u{a0}1", "[\u{2003}1]", "\u{feff}1", "1\u{feff}", "<null>", "*", "[*]", "`a`", ";",
        "[1;2]", "(1)",
    }
    for _, text in ipairs(texts) do assert_refused(text) end
  end)


  it("says what was expected, and at which byte", function()
    assert_refused('{"a" 1}', "^invalid JSON: expected ':' at byte 6$")
    assert_refused("[1 2]", "^invalid JSON: expected ',' or ']' at byte 4$")
    assert_refused('{"a":1 "b"', "^invalid JSON: expected ',' or '}' at byte 8$")
    assert_refused("{1:2}", "^invalid JSON: expected a key in double quotes at byte 2$")
    assert_refused("[1,2", "^invalid JSON: unexpected end, expected ',' or ']' at byte 5$")
    assert_refused("[] []", "^invalid JSON: text after the document at byte 4$")
    assert_refused("\u{feff}[]", "^invalid JSON: byte order mark at byte 1$")
    assert_refused("[01]", "^invalid JSON: invalid number at byte 3$")
  end)


  it("lets the last of equal keys win", function()
    assert_decodes('{"a":1,"b":2,"a":3}', { a = 3, b = 2 })
    assert_decodes('{"a":1,"\\u0061":[]}', { a = json.array() })
    local long = ("k"):rep(100)
    assert_decodes('{"' .. long .. '":1,"' .. long .. '":2}', { [long] = 2 })
  end)


  it("takes any key as data", function()
    local text = '{"__index":1,"__gc":2,"__metatable":3,"__name":4,"":5,"a\\u0000b":6,"1":7}'
    assert_decodes(text, { __index = 1, __gc = 2, __metatable = 3, __name = 4, [""] = 5, ["a\0b"] = 6, ["1"] = 7 })
    assert.is_nil(getmetatable(json.decode(text)))
  end)


  it("tells keys apart that share their beginning and end", function()
    local object = {}
    for length = 1, 40 do
      for _, letter in ipairs { "x", "y" } do
        object[("a"):rep(length // 2) .. letter .. ("a"):rep(length - length // 2)] = length
      end
    end
    for _ = 1, 3 do assert(same(object, json.decode(json.encode(object)))) end
  end)


  it("keeps {} and [] apart", function()
    local value = json.decode('{"list":[],"object":{}}')
    assert.is_true(json.is_array(value.list))
    assert.is_false(json.is_array(value.object))
    assert.equal('{"list":[],"object":{}}', json.encode(value, { canonical = true }))
    assert.equal("[]", json.encode(json.decode("[]")))
    assert.equal("{}", json.encode(json.decode("{}")))
    assert.equal("[[],{}]", json.encode(json.decode("[[],{}]")))
  end)


  it("keeps null everywhere unless it is asked to leave members out", function()
    local text = '{"a":null,"b":[null,1,null],"c":{"d":null}}'
    assert_decodes(text, { a = json.null, b = json.array { json.null, 1, json.null }, c = { d = json.null } })
    local value = json.decode(text, { null = "absent" })
    assert(same(value, { b = json.array { json.null, 1, json.null }, c = {} }))
    assert.is_nil(json.decode('{"a":1,"a":null}', { null = "absent" }).a)
    assert.equal(1, json.decode('{"a":null,"a":1}', { null = "absent" }).a)
    assert.equal(json.null, json.decode("null", { null = "absent" }))
    assert.is_nil((json.decode('{"a":nul}', { null = "absent" })))
  end)


  it("goes 128 levels deep and says where the next one begins", function()
    local text = ("["):rep(128) .. ("]"):rep(128)
    assert.equal(text, json.encode(json.decode(text)))
    assert_refused("[" .. text .. "]", "more than 128 levels at byte 129$")
    assert_refused(('{"a":'):rep(129), "more than 128 levels at byte 641$")
    assert_refused(("["):rep(1000000), "more than 128 levels at byte 129$")
  end)


  it("decodes strings of a megabyte and objects of 200,000 keys", function()
    local long = ("0123456789abcdef"):rep(65536)
    assert_decodes('["' .. long .. '"]', json.array { long })
    assert_decodes('["\\t' .. long .. '\\n"]', json.array { "\t" .. long .. "\n" })
    local members, expected = {}, {}
    for i = 1, 200000 do
      members[i] = '"key' .. i .. '":' .. i
      expected["key" .. i] = i
    end
    assert_decodes("{" .. table.concat(members, ",") .. "}", expected)
  end)


  it("decodes arrays of any length in order", function()
    for _, length in ipairs { 1, 2, 100, 4095, 4096, 4097, 8192, 10000, 300000 } do
      local expected = {}
      for i = 1, length do expected[i] = i end
      local text = "[" .. table.concat(expected, ",") .. "]"
      assert_decodes(text, json.array(expected))
      assert.equal(text, json.encode(json.decode(text)))
    end
  end)


  it("raises for misuse", function()
    assert.has_error(function() json.decode() end)
    assert.has_error(function() json.decode(5) end)
    assert.has_error(function() json.decode({}) end)
    assert.has_error(function() json.decode("1", "absent") end)
    assert.has_error(function() json.decode("1", { null = "gone" }) end)
    assert.has_error(function() json.decode("1", { null = true }) end)
  end)
end)


describe("json.encode", function()
  it("writes scalars", function()
    assert.equal("null", json.encode(json.null))
    assert.equal("true", json.encode(true))
    assert.equal("false", json.encode(false))
    assert.equal("-42", json.encode(-42))
    assert.equal("-9223372036854775808", json.encode(math.mininteger))
    assert.equal('""', json.encode(""))
  end)


  it("writes floats in the fewest digits that read back equal", function()
    assert.equal("0.1", json.encode(0.1))
    assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
    assert.equal("5", json.encode(10 / 2))
    assert.equal("1e+21", json.encode(1e21))
    assert.equal("5e-324", json.encode(5e-324))
    assert.equal("1.7976931348623157e+308", json.encode(1.7976931348623157e308))
    assert.equal("-0.0", json.encode(-0.0))
    assert.equal("0", json.encode(0.0))
  end)


  it("writes whole floats so that they read back equal", function()
    for exponent = 0, 80 do
      local power = 2.0 ^ exponent
      for _, value in ipairs { power, -power, power * (1 + 2.0 ^ -52), 10.0 ^ exponent } do
        assert.equal(value, json.decode(json.encode(value)))
      end
    end
    assert.equal("1152921504606846976", json.encode(2.0 ^ 60))
    assert.equal("1152921504606847000", json.encode(2.0 ^ 60, { canonical = true }))
  end)


  it("escapes what must be escaped and nothing else", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. "\127é한😀\u{2028}" .. '"',
      json.encode('"\\/\b\f\n\r\t\0\31\127é한😀\u{2028}'))
    assert.equal([[{"a\u0000\"":1}]], json.encode({ ["a\0\""] = 1 }))
  end)


  it("escapes at every place in strings of every length", function()
    for length = 1, 40 do
      for place = 1, length do
        for _, special in ipairs { '"', "\\", "\1", "é" } do
          local text = ("a"):rep(place - 1) .. special .. ("b"):rep(length - place)
          assert.equal(text, json.decode(json.encode(text)))
        end
      end
      assert.equal('"' .. ("a"):rep(length) .. '"', json.encode(("a"):rep(length)))
    end
  end)


  it("writes a table as an array when its keys are exactly 1 to n", function()
    assert.equal("[1,2,3]", json.encode({ 1, 2, 3 }))
    assert.equal("[1,2,3]", json.encode({ [3] = 3, [2] = 2, [1] = 1 }))
    assert.equal('{"1":1}', json.encode({ ["1"] = 1 }))
    assert.equal("{}", json.encode({}))
    assert.equal("[]", json.encode(json.array()))
    assert.equal("[[1],[]]", json.encode({ { 1 }, json.array {} }))
    local backwards = {}
    for i = 1000, 1, -1 do backwards[i] = i end
    assert.equal(backwards[1000], json.decode(json.encode(backwards))[1000])
  end)


  it("refuses mixed, numeric and sparse keys, naming the path", function()
    assert_not_encodable({ 1, x = 2 }, "value:")
    assert_not_encodable({ x = 2, [1] = 1 }, "value:")
    assert_not_encodable({ [2] = 1 }, "value:")
    assert_not_encodable({ [0] = 1, 1 }, "value:")
    assert_not_encodable({ [-1] = 1 }, "value:")
    assert_not_encodable({ [1.5] = 1 }, "value:")
    assert_not_encodable({ [true] = 1 }, "value:")
    assert_not_encodable({ [json.null] = 1 }, "value:")
    assert_not_encodable({ [math.maxinteger] = 1 }, "value:")
    assert_not_encodable({ a = { b = { 1, 2, nil, 4 } } }, "value.a.b:")
    assert_not_encodable(json.array { a = 1 }, "value:")
    assert_not_encodable(json.array { 1, nil, 3 }, "value:")
  end)


  it("refuses what has no form, naming the path", function()
    assert_not_encodable(nil, "value: nil")
    assert_not_encodable(print, "value: a function")
    assert_not_encodable({ a = { "x", coroutine.create(print) } }, "value.a[2]: a coroutine")
    assert_not_encodable({ ["odd key"] = io.stdout }, 'value["odd key"]: userdata')
    assert_not_encodable({ 0 / 0 }, "value[1]: NaN")
    assert_not_encodable({ x = math.huge }, "value.x: NaN and infinities")
    assert_not_encodable({ x = -math.huge }, "value.x:")
    assert_not_encodable({ x = "a\xff" }, "value.x: a string that is not valid UTF-8")
    assert_not_encodable({ x = { ["\xed\xa0\x80"] = 1 } }, 'value.x["???"]: a string')
    assert_not_encodable({ [("k"):rep(1000)] = { ["\27[31m"] = print } }, '["?[31m"]: a function')
  end)


  it("bounds cycles and depth", function()
    local cycle = {}
    cycle.self = cycle
    assert_not_encodable(cycle, "more than 128 levels")
    local deep = {}
    for _ = 1, 127 do deep = { deep } end
    assert.is_string(json.encode(deep))
    assert_not_encodable({ deep }, "more than 128 levels")
    for _ = 1, 200000 do deep = { deep } end
    assert_not_encodable(deep, "more than 128 levels")
  end)


  it("bounds the result, also of tables shared exponentially", function()
    local shared = { 1 }
    for _ = 1, 100 do shared = { shared, shared } end
    assert_not_encodable(shared, "larger than 100000 bytes", { max_bytes = 100000 })
    assert_not_encodable(shared, "larger than 67108864 bytes")
    for _, value in ipairs { "0123456789", { "a", "b", "c" }, 1234567890123, { key = "x" } } do
      local text = json.encode(value)
      assert.equal(text, json.encode(value, { max_bytes = #text }))
      assert_not_encodable(value, "larger than", { max_bytes = #text - 1 })
    end
  end)


  it("consults no metatable", function()
    local function never() error("a metamethod was called") end
    local value = setmetatable({ 1, 2 }, { __index = never, __len = never, __pairs = never, __tostring = never,
      __name = 5 })
    assert.equal("[1,2]", json.encode(value))
    local options = setmetatable({}, { __index = never })
    assert.equal("[1]", json.encode({ 1 }, options))
    assert.equal("[]", json.encode(json.decode("[]", options)))
  end)


  it("sorts keys by UTF-16 code units when canonical", function()
    -- RFC 8785, section 3.2.3
    local value = {
      ["\u{20ac}"] = "Euro Sign", ["\r"] = "Carriage Return", ["\u{fb33}"] = "Hebrew Letter Dalet With Dagesh",
        ["1"] = "One",
      ["\u{1f600}"] = "Emoji: Grinning Face", ["\u{80}"] = "Control",
        ["\u{f6}"] = "Latin Small Letter O With Diaeresis",
    }
    assert.equal('{"\\r":"Carriage Return","1":"One","\u{80}":"Control","\u{f6}":"Latin Small Letter O With Diaeresis",'
      .. '"\u{20ac}":"Euro Sign","\u{1f600}":"Emoji: Grinning Face","\u{fb33}":"Hebrew Letter Dalet With Dagesh"}',
      json.encode(value, { canonical = true }))
    assert.equal('{"":1,"a":2,"aa":{"b":[],"c":0},"b":3}',
      json.encode({ b = 3, aa = { c = -0.0, b = json.array() }, a = 2, [""] = 1 }, { canonical = true }))
  end)


  it("writes equal values equally when canonical", function()
    local keys, forwards, backwards = {}, {}, {}
    for i = 1, 500 do keys[i] = ("key%d"):format(i * 7919 % 1009) end
    for i = 1, 500 do forwards[keys[i]] = { [keys[501 - i]] = i } end
    for i = 500, 1, -1 do backwards[keys[i]] = { [keys[501 - i]] = i + 0.0 } end
    local text = json.encode(forwards, { canonical = true })
    assert.equal(text, json.encode(backwards, { canonical = true }))
    assert(same(forwards, json.decode(text)))
  end)


  it("sorts 200,000 keys", function()
    local object = {}
    for i = 1, 200000 do object["key" .. i] = i end
    local text = json.encode(object, { canonical = true })
    assert.equal('{"key1":1,"key10":10,"key100":100,', text:sub(1, 34))
  end)


  it("indents when pretty", function()
    local value = { b = { 1, { c = json.null } }, a = json.array(), d = {} }
    assert.equal([[
{
  "a": [],
  "b": [
    1,
    {
      "c": null
    }
  ],
  "d": {}
}]], json.encode(value, { pretty = true }))
    assert.equal("1", json.encode(1, { pretty = true }))
  end)


  it("goes on after a refusal as if nothing had been", function()
    assert_not_encodable({ ("x"):rep(100000), print }, "value[2]")
    assert.equal('["y"]', json.encode({ "y" }))
    assert_not_encodable({ a = print, b = { c = 1 } }, "value.a", { canonical = true })
    assert.equal('{"a":1,"b":2}', json.encode({ b = 2, a = 1 }, { canonical = true }))
  end)


  it("raises for misuse", function()
    assert.has_error(function() json.encode() end)
    assert.has_error(function() json.encode(1, "pretty") end)
    assert.has_error(function() json.encode(1, { pretty = 1 }) end)
    assert.has_error(function() json.encode(1, { canonical = true, pretty = true }) end)
    assert.has_error(function() json.encode(1, { max_bytes = 0 }) end)
    assert.has_error(function() json.encode(1, { max_bytes = "1" }) end)
    assert.has_error(function() json.encode(1, { max_bytes = 1.5 }) end)
  end)
end)


describe("json.array", function()
  it("marks a table and returns it", function()
    local list = { 1 }
    assert.equal(list, json.array(list))
    assert.is_true(json.is_array(list))
    assert.is_true(json.is_array(json.array()))
    assert.equal(list, json.array(json.array(list)))
  end)


  it("leaves scripts no way to the mark", function()
    assert.equal("json.array", getmetatable(json.array()))
    assert.has_error(function() setmetatable(json.array(), {}) end)
    assert.is_false(json.is_array(setmetatable({}, { __name = "json.array", __metatable = "json.array" })))
  end)


  it("changes nothing else about the table", function()
    local list = json.array { 1, 2 }
    list[#list + 1] = 3
    assert.equal("1,2,3", table.concat(list, ","))
    assert.equal("[1,2,3]", json.encode(list))
    assert.is_nil(list.anything)
  end)


  it("refuses tables with a metatable of their own", function()
    assert.has_error(function() json.array(setmetatable({}, {})) end)
    assert.has_error(function() json.array("list") end)
  end)


  it("tells arrays from everything else", function()
    for _, value in ipairs { {}, { 1 }, "text", 1, json.null, print } do assert.is_false(json.is_array(value)) end
    assert.is_false(json.is_array(nil))
    assert.has_error(function() json.is_array() end)
  end)
end)


describe("json", function()
  it("brings any value back through encode and decode", function()
    local seed = os.time()
    math.randomseed(seed)
    local function random_string()
      local characters = {}
      for i = 1, math.random(0, 30) do
        local point = math.random(0, 3) == 0 and math.random(0, 0xd7ff) or math.random(0, 127)
        characters[i] = utf8.char(point)
      end
      return table.concat(characters)
    end
    local function random_value(depth)
      local kind = math.random(1, depth > 4 and 5 or 7)
      if kind == 1 then return math.random(0) >> math.random(0, 63) end
      -- Without a fraction and within int64, canonical floats read back as other integers.
      if kind == 2 then return (math.random() - 0.5) * 10.0 ^ math.random(-300, 15) end
      if kind == 3 then return math.random(2) == 1 end
      if kind == 4 then return json.null end
      if kind == 5 then return random_string() end
      local result = kind == 6 and json.array() or {}
      for i = 1, math.random(0, 8) do result[kind == 6 and i or random_string()] = random_value(depth + 1) end
      return result
    end
    for _, options in ipairs { {}, { canonical = true }, { pretty = true } } do
      for _ = 1, 300 do
        local value = random_value(0)
        local text = assert(json.encode(value, options))
        assert(same(value, json.decode(text)), "seed " .. seed .. ": " .. text)
      end
    end
  end)


  it("has one null, true in a condition", function()
    assert.equal("userdata", type(json.null))
    assert.equal(json.null, json.decode("[null]")[1])
    assert.is_truthy(json.null)
  end)


  describe("decoding with `only`", function()
    local ONLY = { only = { type = true, id = true }, null = "absent" }


    it("leaves out other members of the outermost object alone", function()
      local text = '{"a":[1,{"type":"x"}],"type":"t","b":"q\\n\\u00e9","id":{"id":1,"c":2},"d":null,"e":-1.5e3}'
      assert.same({ type = "t", id = { id = 1, c = 2 } }, json.decode(text, ONLY))
      assert.same({}, json.decode('{"a":{"type":1}}', ONLY))
      assert.same({ { type = 1, a = 2 } }, json.decode('[{"type":1,"a":2}]', ONLY))
      assert.equal(5, json.decode("5", ONLY))
    end)


    it("checks what it leaves out as it checks the rest", function()
      for _, broken in ipairs { '{"a":[1,]}', '{"a":"\\x"}', '{"a":tru}', '{"a":01}', '{"a":{"b" 1}}', '{"a":"\1"}',
        '{"a":"',
        '{"a":' .. ("["):rep(200), '{"a":"\255"}', '{"a":1,}', '{"a":[1 2]}', '{"a":{1:2}}' } do
        local value, message, code = json.decode(broken, ONLY)
        local _, plain = json.decode(broken)
        assert.is_nil(value)
        assert.same({ plain, "invalid_json" }, { message, code })
      end
    end)


    it("takes a table of names and nothing else", function()
      assert.has_error(function() json.decode("{}", { only = "type" }) end)
    end)
  end)
end)
