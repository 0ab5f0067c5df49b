local json = require "tide.json"
local schema = require "tide.schema"

local seed = tonumber(os.getenv("SEED")) or os.time()
local null = json.null


local function compile(definition)
  return assert(schema.compile(definition))
end


local function holds(definition, value)
  local result, errors = compile(definition):validate(value)
  return errors == nil, result, errors
end


local function pointers(definition, value)
  local _, errors = compile(definition):validate(value)
  local list = {}
  for i, fault in ipairs(errors or {}) do
    list[i] = fault.pointer
  end
  return list
end


-- Schema, values that fit, values that do not.
local CASES = {
  { "types", { type = "string" }, { "", "x" }, { 1, true, null, json.array(), {} } },
  { "several types", { type = { "string", "null" } }, { "x", null }, { 1, false } },
  { "integers", { type = "integer" }, { 1, 1.0, -5, 1e300 }, { 1.5, "1" } },
  { "numbers", { type = "number" }, { 1, 1.5 }, { "1", null } },
  { "booleans", { type = "boolean" }, { true, false }, { 0, "true", null } },
  { "lists", { type = "array" }, { json.array(), json.array({ 1 }), { 1, 2 }, {} },
    { { a = 1 }, "x" } },
  { "objects", { type = "object", additionalProperties = true }, { {}, { a = 1 } },
    { json.array(), { 1 }, "x" } },
  { "true", true, { 1, "x", {} }, {} },
  { "false", false, {}, { 1, "x", {} } },
  { "const", { const = { a = { 1, 2 } } }, { { a = { 1, 2.0 } } }, { { a = { 2, 1 } }, {}, 1 } },
  { "const of null and false", { enum = { null, false } }, { null, false }, { 0, true } },
  { "enum", { enum = { 1, "a", { b = 1 } } }, { 1, 1.0, "a", { b = 1 } },
    { 2, "b", { b = 2 }, true } },
  { "multipleOf", { multipleOf = 0.1 }, { 0.3, 1, 0, "x" }, { 0.35 } },
  { "multipleOf of integers", { multipleOf = 3 }, { 9, 0, -3, 9.0 }, { 10, 9.5 } },
  { "multipleOf of a small number", { multipleOf = 1e-3 }, { 0.001, 4.02 }, { 1e-9 } },
  { "minimum and maximum", { minimum = 1, maximum = 3 }, { 1, 3, "x" }, { 0.9, 4 } },
  { "exclusive limits", { exclusiveMinimum = 1, exclusiveMaximum = 3 }, { 2 }, { 1, 3 } },
  { "lengths in code points", { minLength = 2, maxLength = 2 }, { "ab", "한글", "😀😀" },
    { "a", "한글이", "😀" } },
  { "pattern, not anchored", { pattern = "[0-9]+" }, { "a1b", "1", 5 }, { "ab", "" } },
  { "pattern, anchored", { pattern = "^[0-9-]{10,12}$" }, { "124-81-00998" },
    { "x124-81-00998", "1" } },
  { "items", { items = { type = "integer" } }, { json.array({ 1, 2 }), json.array(), "x" },
    { json.array({ 1, "x" }) } },
  { "prefixItems", { prefixItems = { { type = "string" }, { type = "integer" } }, items = false },
    { json.array({ "a", 1 }), json.array({ "a" }) },
    { json.array({ 1 }), json.array({ "a", 1, 2 }) } },
  { "minItems and maxItems", { minItems = 1, maxItems = 2 }, { json.array({ 1 }) },
    { json.array(), json.array({ 1, 2, 3 }) } },
  { "uniqueItems", { uniqueItems = true },
    { json.array({ 1, "1", true, json.array(), { a = 1 } }) },
    { json.array({ 1, 1.0 }), json.array({ { a = 1, b = 2 }, { b = 2, a = 1 } }) } },
  { "contains", { contains = { const = 1 } }, { json.array({ 0, 1 }) },
    { json.array({ 0 }), json.array() } },
  { "minContains and maxContains", { contains = { const = 1 }, minContains = 2, maxContains = 3 },
    { json.array({ 1, 1 }) }, { json.array({ 1 }), json.array({ 1, 1, 1, 1 }) } },
  { "minContains of 0", { contains = { const = 1 }, minContains = 0 }, { json.array({ 2 }) }, {} },
  { "required", { required = { "a" }, additionalProperties = true }, { { a = null }, "x" },
    { {}, { b = 1 } } },
  { "patternProperties", { patternProperties = { ["^n_"] = { type = "integer" } },
    additionalProperties = false },
    { { n_a = 1 }, {} }, { { n_a = "x" }, { m = 1 } } },
  { "additionalProperties as a schema", { properties = { a = true },
    additionalProperties = { type = "integer" } },
    { { a = "x", b = 1 } }, { { b = "x" } } },
  { "propertyNames", { propertyNames = { maxLength = 2 }, additionalProperties = true },
    { { ab = 1 } }, { { abc = 1 } } },
  { "minProperties and maxProperties", { minProperties = 1, maxProperties = 2,
    additionalProperties = true },
    { { a = 1 } }, { {}, { a = 1, b = 2, c = 3 } } },
  { "dependentRequired", { dependentRequired = { a = { "b" } }, additionalProperties = true },
    { { a = 1, b = 2 }, { b = 1 } }, { { a = 1 } } },
  { "dependentSchemas", { dependentSchemas = { a = { required = { "c" } } },
    additionalProperties = true },
    { { a = 1, c = 1 }, { b = 1 } }, { { a = 1 } } },
  { "allOf", { allOf = { { minimum = 1 }, { maximum = 2 } } }, { 1, 2 }, { 0, 3 } },
  { "anyOf", { anyOf = { { type = "string" }, { minimum = 2 } } }, { "x", 2 }, { 1 } },
  { "oneOf", { oneOf = { { multipleOf = 2 }, { multipleOf = 3 } } }, { 2, 3 }, { 6, 1 } },
  { "not", { ["not"] = { type = "string" } }, { 1, null }, { "x" } },
  { "if, then, else", { ["if"] = { minimum = 10 }, ["then"] = { multipleOf = 10 },
    ["else"] = { multipleOf = 3 } },
    { 20, 9 }, { 15, 4 } },
}

local FORMATS = {
  ["date-time"] = { { "2026-01-15T09:00:00Z", "2026-01-15t09:00:00.123+09:00",
    "1998-12-31T23:59:60Z", "1998-12-31T15:59:60.1-08:00" },
    { "2026-01-15", "2026-02-29T00:00:00Z", "2026-01-15 09:00:00Z", "2026-01-15T09:00:00",
      "2026-01-15T24:00:00Z", "1998-12-31T22:59:60Z" } },
  date = { { "2024-02-29" }, { "2023-02-29", "2026-13-01", "2026-1-1", "20260101", "2026-00-10",
    "1900-02-29" } },
  time = { { "09:00:00Z", "23:59:59.9+09:00" }, { "09:00:00", "25:00:00Z", "09:00:00+25:00" } },
  duration = { { "P3DT12H", "P1W", "PT1S", "P1Y2M3D" },
    { "P", "PT", "3D", "P1D1Y", "P1WT1H", "P1" } },
  email = { { "a@b.example", "a.b+c@x-y.example", '"a b"@b.example', "a@[127.0.0.1]",
    "a@[IPv6:::1]" },
    { "a", "@b", "a@", ".a@b.example", "a..b@b.example", "a@b@c.example x", "a@-b.example",
      "a\r\n@b.example", "a@b\n" } },
  hostname = { { "a", "www.example.com", "xn--4gbwdl.example" },
    { "", "-a", "a-", "a..b", ("a"):rep(64), "a_b", "a." } },
  ipv4 = { { "127.0.0.1", "0.0.0.0", "255.255.255.255" },
    { "256.0.0.1", "1.2.3", "01.2.3.4", "1.2.3.4.5", "1.2.3.4 " } },
  ipv6 = { { "::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4",
    "1:2:3:4:5:6:1.2.3.4" },
    { ":", "1", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "::1.2.3", "1.2.3.4::",
      "g::", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::8" } },
  uri = { { "https://a.example/b?c#d", "urn:isbn:123", "mailto:a@b.example", "http://[::1]:80/",
    "http://a:80" },
    { "a", "/a", "http://a b", "http://[::1", "1http://a", "http://a/%zz", "http://a/#b#c",
      "http://a\\b", "한글://x" } },
  ["uri-reference"] = { { "", "a", "/a?b", "#x", "//h/p" }, { "\\a", "%z", "a b" } },
  iri = { { "https://예.example/경로" }, { "경로" } },
  url = { { "https://a.example", "HTTP://a" }, { "ftp://a", "https://", "a" } },
  uuid = { { "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380" },
    { "", "2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638",
      "2eb8aa08-aa98-11ea-b4aa73-b441d16380", "zeb8aa08-aa98-11ea-b4aa-73b441d16380" } },
  ["json-pointer"] = { { "", "/a~0b~1" }, { "a", "/a~2", "/~" } },
  regex = { { "^a+$", "" }, { "(", "[" } },
}


describe("schema", function()
  for _, case in ipairs(CASES) do
    it("validates " .. case[1], function()
      for i, value in ipairs(case[3]) do
        local ok, _, errors = holds(case[2], value)
        assert.is_true(ok, ("value %d that fits was refused: %s"):format(i,
          errors and errors[1].detail or ""))
      end
      for i, value in ipairs(case[4]) do
        assert.is_false((holds(case[2], value)),
          ("value %d that does not fit was let through"):format(i))
      end
    end)
  end

  for name, case in pairs(FORMATS) do
    it("asserts the format " .. name, function()
      for _, text in ipairs(case[1]) do
        assert.is_true(holds({ format = name }, text), text)
      end
      for _, text in ipairs(case[2]) do
        assert.is_false(holds({ format = name }, text), text)
      end
      assert.is_true(holds({ format = name }, 5))
    end)
  end

  describe("pointers", function()
    it("name members and list positions from 0", function()
      local definition = { type = "object", properties = { a = { items = { type = "integer" } } } }
      assert.same({ "#/a/1" }, pointers(definition, { a = { 1, "x" } }))
    end)

    it("escape ~ and / and what a URI fragment cannot hold", function()
      local definition = { properties = { ["a/b~c"] = { type = "string" },
        ["한 %"] = { type = "string" } } }
      assert.same({ "#/a~1b~0c", "#/%ED%95%9C%20%25" },
        pointers(definition, { ["a/b~c"] = 1, ["한 %"] = 1 }))
    end)

    it("name a missing member and an unknown one", function()
      local definition = { type = "object", required = { "business_number" },
        properties = { business_number = true } }
      assert.same({ "#/business_number" }, pointers(definition, {}))
      assert.same({ "#/nmae" }, pointers({ type = "object", properties = { name = true } },
        { nmae = 1 }))
    end)

    it("name the whole value as #", function()
      assert.same({ "#" }, pointers({ type = "object" }, "x"))
    end)
  end)

  describe("messages", function()
    it("say what was expected and what was found, without the value", function()
      local _, errors = compile({ properties = { age = { type = "integer" } } }):validate({ age = "hunter2" })
      assert.equal("age must be a whole number, not text", errors[1].detail)
    end)

    it("suggest the name that was meant", function()
      local _, errors = compile({ properties = { business_number = true } }):validate({ busines_number = "x" })
      assert.equal("busines_number is not a known field (did you mean business_number?)",
        errors[1].detail)
    end)

    it("stop at 100", function()
      local list = {}
      for i = 1, 1000 do
        list[i] = "x"
      end
      local _, errors = compile({ items = { type = "integer" } }):validate(list)
      assert.equal(100, #errors)
    end)

    it("come in the same order every time", function()
      local definition = { type = "object", properties = {} }
      local value = {}
      for i = 1, 20 do
        definition.properties["p" .. i] = { type = "string" }
        value["p" .. i] = i
        value["q" .. i] = i
      end
      local first = pointers(definition, value)
      for _ = 1, 5 do
        assert.same(first, pointers(definition, value))
      end
    end)
  end)

  describe("members unknown at the top", function()
    it("are refused unless additionalProperties is true", function()
      assert.is_false(holds({ type = "object" }, { a = 1 }))
      assert.is_true(holds({ type = "object", additionalProperties = true }, { a = 1 }))
    end)

    it("are let through below the top", function()
      assert.is_true(holds({ properties = { a = { type = "object" } } }, { a = { b = 1 } }))
    end)

    it("are known when a branch names them", function()
      local definition = { type = "object", properties = { kind = true },
        oneOf = { { required = { "a" }, properties = { a = true } },
          { required = { "b" }, properties = { b = true } } } }
      assert.is_true(holds(definition, { kind = 1, a = 1 }))
      assert.is_false(holds(definition, { kind = 1, a = 1, c = 1 }))
    end)
  end)

  describe("defaults", function()
    it("are filled in at every depth and never into the caller's table", function()
      local definition = { properties = { a = { default = { x = 1 },
        properties = { x = true, y = { default = 2 } } } } }
      local input = {}
      local _, result = holds(definition, input)
      assert.same({ a = { x = 1, y = 2 } }, result)
      assert.same({}, input)
      result.a.x = 9
      assert.equal(1, select(2, holds(definition, {})).a.x)
    end)

    it("make a required member one that is never missing", function()
      assert.is_true(holds({ required = { "a" }, properties = { a = { default = false } } }, {}))
    end)

    it("come only from the branch that holds", function()
      local definition = { type = "object", oneOf = {
        { properties = { kind = { const = "a" }, x = { default = 1 } } },
        { properties = { kind = { const = "b" }, y = { default = 2 } } },
      } }
      assert.same({ kind = "b", y = 2 }, select(2, holds(definition, { kind = "b" })))
    end)

    it("that do not fit are an error at load", function()
      local compiled,
        err = schema.compile({ properties = { a = { type = "integer", default = "x" } } }, "input")
      assert.is_nil(compiled)
      assert.truthy(err:find("input#/properties/a/default", 1, true))
    end)
  end)

  describe("contentEncoding", function()
    local definition = { type = "object",
      properties = { file = { type = "string", contentEncoding = "base64" } } }

    it("gives bytes on the way in", function()
      assert.same({ file = "\0\255" }, select(2, holds(definition, { file = "AP8=" })))
    end)

    it("gives base64 on the way out", function()
      assert.same({ file = "AP8=" }, (compile(definition):validate({ file = "\0\255" }, "out")))
      local output = assert(schema.compile(definition, "output", "out"))
      assert.same({ file = "AP8=" }, (output:validate({ file = "\0\255" })))
    end)

    it("refuses what is not base64", function()
      assert.same({ "#/file" }, pointers(definition, { file = "*" }))
    end)
  end)

  it("makes whole floats integers where an integer is asked", function()
    local _, result = holds({ type = "integer" }, 5.0)
    assert.equal("integer", math.type(result))
  end)

  it("returns false for a false that fits", function()
    local result, errors = compile({ type = "boolean" }):validate(false)
    assert.is_false(result)
    assert.is_nil(errors)
  end)

  it("refuses a value that is missing", function()
    local result, errors = compile({ type = "object" }):validate(nil)
    assert.is_nil(result)
    assert.equal("#", errors[1].pointer)
  end)

  describe("at load", function()
    local FAULTS = {
      { { patern = "x" }, "unsupported keyword patern (did you mean pattern?)" },
      { { ["$ref"] = "#/x" }, "unsupported keyword $ref" },
      { { unevaluatedProperties = false }, "unsupported keyword" },
      { { type = "strin" }, "unknown type strin (did you mean string?)" },
      { { type = {} }, "at least one type" },
      { { pattern = "(" }, "not a regular expression" },
      { { pattern = 5 }, "regular expression" },
      { { format = "dat" }, "unknown format dat (did you mean date?)" },
      { { minLength = -1 }, "at least 0" },
      { { minimum = "1" }, "must be a number" },
      { { multipleOf = 0 }, "above 0" },
      { { enum = {} }, "at least one" },
      { { required = "a" }, "list of names" },
      { { required = { 1 } }, "list of names" },
      { { properties = { "a" } }, "by name" },
      { { properties = 5 }, "object" },
      { { items = 5 }, "must be a schema" },
      { { allOf = {} }, "at least one schema" },
      { { contentEncoding = "hex" }, "base64" },
      { { const = print }, "cannot be written as JSON" },
      { { [1] = "x" }, "by name" },
      { 5, "must be a schema" },
    }

    for i, case in ipairs(FAULTS) do
      it(("a wrong schema is an error that says why (%d: %s)"):format(i, case[2]), function()
        local compiled, err = schema.compile(case[1], "operations.track.input")
        assert.is_nil(compiled)
        assert.truthy(err:find(case[2], 1, true), err)
        assert.truthy(err:find("operations.track.input#", 1, true), err)
      end)
    end

    it("a wrong schema inside another is named by its path", function()
      local _, err, path = schema.compile({ properties = { a = { items = { patern = "x" } } } },
        "input")
      assert.truthy(err:find("input#/properties/a/items/patern", 1, true), err)
      assert.same({ "properties", "a", "items", "patern" }, path)
    end)

    it("a schema that holds itself is refused", function()
      local definition = { type = "object", properties = {} }
      definition.properties.me = definition
      local compiled, err = schema.compile(definition)
      assert.is_nil(compiled)
      assert.truthy(err:find("nested deeper", 1, true))
    end)

    it("a later change of the caller's table changes nothing", function()
      local definition = { enum = { 1 } }
      local compiled = compile(definition)
      definition.enum[1] = 2
      assert.same({ enum = { 1 } }, compiled.definition)
      assert.is_nil((compiled:validate(2)))
    end)
  end)

  describe("hostile values", function()
    local any = compile({ additionalProperties = true })

    it("that are cyclic or deeper than 64 levels are refused", function()
      local cyclic = {}
      cyclic.a = cyclic
      assert.is_nil((any:validate(cyclic)))
      local deep = {}
      local inner = deep
      for _ = 1, 200000 do
        inner.a = {}
        inner = inner.a
      end
      local _, errors = any:validate(deep)
      assert.truthy(errors[1].detail:find("64 levels", 1, true))
    end)

    it("that share tables exponentially are refused at a bound", function()
      local shared = { x = 1 }
      for _ = 1, 50 do
        shared = { a = shared, b = shared }
      end
      local _, errors = any:validate(shared)
      assert.truthy(errors[1].detail:find("members", 1, true))
    end)

    it("that JSON cannot hold are refused with their pointer", function()
      for _, value in ipairs({ print, 0 / 0, math.huge, -math.huge, coroutine.create(print),
        { 1, nil, 3 }, { a = 1, [1] = 2 }, { [1.5] = 1 } }) do
        local result, errors = any:validate({ a = value })
        assert.is_nil(result)
        assert.equal("#/a", errors[1].pointer)
      end
    end)

    it("never run their metamethods", function()
      local ran = false
      local function run() ran = true; error("ran") end
      local value = setmetatable({ a = 1 }, { __pairs = run, __index = run, __len = run,
        __eq = run })
      assert.same({ a = 1 }, (any:validate(value)))
      assert.is_false(ran)
    end)

    it("with members named like metamethods are data", function()
      assert.same({ __index = "x", __gc = 1 }, (any:validate({ __index = "x", __gc = 1 })))
    end)

    it("of 200,000 members are validated", function()
      local value = {}
      for i = 1, 200000 do
        value["k" .. i] = i
      end
      assert.is_nil(select(2, any:validate(value)))
    end)

    it("with 20,000 items stay fast under uniqueItems", function()
      local list = {}
      for i = 1, 20000 do
        list[i] = { id = i }
      end
      local started = os.clock()
      assert.is_true(holds({ uniqueItems = true }, list))
      assert.is_true(os.clock() - started < 5)
    end)
  end)

  describe("coercion of texts", function()
    local compiled = compile({ type = "object", properties = {
      number = { type = "string" }, count = { type = "integer" }, ratio = { type = "number" },
      flag = { type = "boolean" },
      tags = { type = "array" }, maybe = { type = { "integer", "null" } },
      either = { type = { "string", "integer" } },
      pick = { enum = { 1, 2 } }, free = {},
      branch = { anyOf = { { type = "integer" }, { type = "null" } } },
    } })

    it("keeps text where text is asked or nothing is said", function()
      assert.equal("1248100998", compiled:coerce("number", "1248100998"))
      assert.equal("5", compiled:coerce("either", "5"))
      assert.equal("5", compiled:coerce("free", "5"))
      assert.equal("5", compiled:coerce("unknown", "5"))
    end)

    it("reads numbers, booleans, null, lists and enums", function()
      assert.equal(12, compiled:coerce("count", "12"))
      assert.equal("integer", math.type(compiled:coerce("count", "12.0")))
      assert.equal(1.5, compiled:coerce("ratio", "1.5"))
      assert.is_false(compiled:coerce("flag", "false"))
      assert.same({ "a" }, compiled:coerce("tags", '["a"]'))
      assert.equal(null, compiled:coerce("maybe", "null"))
      assert.equal(2, schema.coerce(compiled, "pick", "2"))
      assert.equal(3, compiled:coerce("branch", "3"))
    end)

    it("says what was expected", function()
      for _, case in ipairs({ { "count", "1.5" }, { "count", "0x10" }, { "flag", "yes" },
        { "tags", "{}x" }, { "count", "" } }) do
        local value, err = compiled:coerce(case[1], case[2])
        assert.is_nil(value)
        assert.truthy(err:find(case[1], 1, true))
      end
    end)
  end)

  it("never raises and never changes its input, whatever it is given", function()
    math.randomseed(seed)
    local function random_value(depth)
      local pick = math.random(depth > 4 and 5 or 7)
      if pick == 1 then return math.random(-5, 5) end
      if pick == 2 then return math.random() * 10 end
      if pick == 3 then return ("xy~/"):sub(1, math.random(0, 4)) end
      if pick == 4 then return math.random() < 0.5 end
      if pick == 5 then return null end
      local value = pick == 6 and json.array() or {}
      for i = 1, math.random(0, 4) do
        value[pick == 6 and i or ("k" .. math.random(4))] = random_value(depth + 1)
      end
      return value
    end
    local definition = { additionalProperties = { anyOf = {
      { type = "integer", minimum = 0 }, { type = "array",
        items = { type = { "string", "object" } }, uniqueItems = true },
      { type = "object", properties = { k1 = { default = 5 } }, required = { "k2" } },
    } } }
    local compiled = compile(definition)
    for _ = 1, 500 do
      local value = random_value(1)
      local before = json.encode(value, { canonical = true })
      local first = { compiled:validate(value) }
      assert.equal(before, json.encode(value, { canonical = true }), "seed " .. seed)
      if first[2] == nil then
        -- What came out fits again and changes no more.
        local again, errors = compiled:validate(first[1])
        assert.is_nil(errors, "seed " .. seed)
        assert.equal(json.encode(first[1], { canonical = true }),
          json.encode(again, { canonical = true }), "seed " .. seed)
      end
    end
  end)
end)
