local crypto = require "tide.crypto"
local secrets = require "tide.state.secrets"

local OWNER <const> = "secrets_spec"


describe("tide.state.secrets", function()
  after_each(function()
    for _, secret in ipairs(secrets.list(OWNER)) do secrets.remove(OWNER, secret.name) end
  end)


  it("keeps a value with its version, source and expiry", function()
    local version = secrets.put(OWNER, "key", "value\0one", "file", 1768467600.5)
    assert.same({ "value\0one", version, "file", 1768467600.5 }, { secrets.get(OWNER, "key") })
    assert.is_nil((secrets.get(OWNER, "other")))
    assert.is_nil((secrets.get("other", "key")))
  end)


  it("counts the version up at each change of value", function()
    local first = secrets.put(OWNER, "key", "value one", "stored")
    assert.equal(first, secrets.put(OWNER, "key", "value one", "stored"))
    local second = secrets.put(OWNER, "key", "value two", "stored")
    assert.is_true(second > first)
    assert.is_false(secrets.remove(OWNER, "key", first))
    assert.is_true(secrets.remove(OWNER, "key", second))
    assert.is_true(secrets.put(OWNER, "key", "value two", "stored") > second)
  end)


  it("lists names, never values", function()
    secrets.put(OWNER, "one", "the-value-of-one", "environment")
    local list = secrets.list(OWNER)
    assert.equal(1, #list)
    assert.equal("one", list[1].name)
    assert.equal("environment", list[1].source)
    assert.is_nil(list[1].value)
    assert.same({}, secrets.list("nobody"))
  end)


  it("redacts values in every encoding that a text may show them in", function()
    local value = "p@ss/word+\"42\""
    secrets.put(OWNER, "password", value, "stored")
    assert.equal("a [redacted] b", secrets.redact("a " .. value .. " b"))
    assert.equal("p=[redacted]&x=1", secrets.redact("p=p%40ss%2fword%2B%2242%22&x=1"))
    assert.equal('{"p":"[redacted]"}', secrets.redact('{"p":"p@ss\\/word+\\"42\\""}'))
    for _, user in ipairs { "", "u", "us", "use", "user" } do
      local basic = crypto.base64(user .. ":" .. value)
      local redacted = secrets.redact("Basic " .. basic)
      assert.matches("[redacted]", redacted, 1, true)
      assert.is_true(#redacted <= #"Basic [redacted]" + 12)
    end
  end)


  it("leaves short values to their names, and other text alone", function()
    secrets.put(OWNER, "pin", "1234567", "stored")
    local text = "1234567 and %41 and \\u0041"
    assert.equal(text, secrets.redact(text))
    assert.equal("", secrets.redact(""))
  end)


  it("says how much it holds", function()
    local before = secrets.usage()
    secrets.put(OWNER, "key", ("x"):rep(1000), "stored")
    local usage = secrets.usage()
    assert.same({ 1, 1000 }, { usage.count - before.count, usage.bytes - before.bytes })
    secrets.put(OWNER, "key", "x", "stored")
    assert.equal(before.bytes + 1, secrets.usage().bytes)
    assert.same({ 10000, 262144 }, { usage.count_max, usage.bytes_max })
  end)


  it("raises for values that it cannot hold", function()
    assert.has_error(function() secrets.put(OWNER, "key", ("x"):rep(65537), "stored") end)
    assert.has_error(function() secrets.put(OWNER, ("n"):rep(200), "value", "stored") end)
    assert.has_error(function() secrets.put(OWNER, "key", "value", "nowhere") end)
    assert.has_error(function() secrets.put(OWNER, "key") end)
  end)
end)
