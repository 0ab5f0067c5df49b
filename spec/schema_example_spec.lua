local json = require "tide.json"
local pattern_sample = require "tide.pattern_sample"
local re = require "tide.re"
local schema = require "tide.schema"
local schema_example = require "tide.schema.example"
local time = require "tide.time"


local function example(definition)
  return schema_example.of(assert(schema.compile(definition)))
end


local function object(properties, required)
  return { type = "object", properties = properties, required = required }
end


describe("an example of a schema", function()
  it("is the one that the schema gives", function()
    assert.same({ a = 7 }, example { type = "object", properties = { a = {} }, examples = { { a = 7 } } })
    assert.same({ a = "x", b = 3 }, example(object({ a = { examples = { "x" } }, b = { default = 3 } }, { "b" })))
    assert.same({ a = "red", b = false }, example(object({ a = { enum = { "red", "blue" } }, b = { const = false } },
      { "a", "b" })))
  end)


  it("is made up of what has to be there, else of all that may be", function()
    assert.same({ a = "text" }, example(object({ a = { type = "string" }, b = { type = "string" } }, { "a" })))
    assert.same({ b = 1 }, example(object { b = { type = "integer" } }))
    assert.same({ a = { { c = true } } }, example(object({ a = { type = "array", items = object({ c = {
      type = "boolean" } }, { "c" }) } }, { "a" })))
  end)


  it("fits bounds, formats and patterns", function()
    for _, definition in ipairs {
      { type = "string", minLength = 40 }, { type = "string", maxLength = 2 },
      { type = "string", format = "date-time" },
      { type = "string", format = "uuid" }, { type = "string", format = "email" }, { type = "string", format = "ipv6" },
      { type = "string", pattern = "^[0-9]{3}-[0-9]{2}-[0-9]{5}$" },
      { type = "string", pattern = "^\\d+$", minLength = 8 },
      { type = "string", pattern = "^(KR|US)[A-Z]{2,4}x?$" }, { type = "string", contentEncoding = "base64" },
      { type = "integer", minimum = 18, multipleOf = 7 }, { type = "number", exclusiveMinimum = 0.5 },
      { type = "integer", maximum = -3 }, { type = { "null", "string" } }, { type = "array", minItems = 3, items = {} },
    } do
      local value = example(object({ value = definition }, { "value" }))
      assert.is_table(value, json.encode(definition))
    end
  end)


  it("joins branches, and chooses the first of alternatives", function()
    assert.same({ a = "text", b = 1 }, example { allOf = { object({ a = { type = "string" } }, { "a" }),
      object({ b = { type = "integer" } }, { "b" }) } })
    assert.same({ a = "text" }, example { oneOf = { object({ a = { type = "string" } }, { "a" }),
      { type = "integer" } } })
  end)


  it("is none where nothing made up would fit", function()
    assert.is_nil(example(object({ a = { type = "string", pattern = "^(?=.*\\d)(?=.*x)\\p{Hangul}$" } }, { "a" })))
    assert.is_nil(example(object({ a = false }, { "a" })))
    assert.is_nil(schema_example.of(nil))
    assert.is_nil(example(true))
  end)


  it("takes a bounded time, however deep a schema is", function()
    local nested = { type = "string" }
    for _ = 1, 10 do
      nested = { type = "array", minItems = 20, items = nested }
    end
    local started = time.monotonic()
    example(object({ a = nested }, { "a" }))
    assert.is_true(time.monotonic() - started < 0.5)
  end)
end)


describe("a sample of a pattern", function()
  it("matches it", function()
    for _, pattern in ipairs {
      "^[0-9-]{10,12}$", "^\\d{3}-?\\d{4}$", "^[A-Za-z_][A-Za-z0-9_]*$", "^(?:a|b)+$", "^a\\.b$", "^[^a-z]+$",
      "^\\+82[0-9]{9,10}$", "^[\\w.-]+@[\\w-]+\\.[a-z]{2,}$", "abc", "^.{3}$", "^(foo(bar)?){2}$", "^[a-f0-9]{32}$",
      "^\\S+$", "^#[0-9A-F]{6}$", "^$",
    } do
      local sample = pattern_sample.of(pattern, 0) or ""
      if not re.compile(pattern):test(sample) then
        sample = pattern_sample.of(pattern, 1)
      end
      assert.is_true(re.compile(pattern):test(sample), pattern .. " " .. tostring(sample))
    end
    assert.equal("1234567890", pattern_sample.of "^[0-9]{10}$")
  end)


  it("is none where the notation is not known, or it would be large", function()
    for _, pattern in ipairs { "(", "[a", "a{100}{100}", "\\p{L}", "(?<name>a)", "*", "(a{99}){99}", "[[:digit:]]",
      "\\1", ("("):rep(50) .. ("a"):rep(50) .. (")"):rep(50), ("a"):rep(2000), "[가-힣]", "x{1000000}" } do
      assert.is_nil(pattern_sample.of(pattern), pattern)
    end
  end)
end)
