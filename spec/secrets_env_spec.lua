local host = require "tide.host"
local errors = require "tide.errors"
local secrets = require "tide.secrets"
local state = require "tide.state.secrets"
local time = require "tide.time"

local made = 0


local function integration()
  made = made + 1
  return {
    name = "acme",
    owner = "secrets_env_spec#" .. made,
    declared_secrets = { api_key = true, password = true },
  }
end


local function load(one, variables)
  return secrets.load({ integrations = { acme = one } }, function(name) return variables[name] end)
end


describe("secrets", function()
  local one

  before_each(function() one = integration() end)
  after_each(function() secrets.forget(one) end)

  it("come from the environment under the integration's and their own name", function()
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    assert.equal("key-0123456789", secrets.value(one, "api_key"))
    assert.same({ "password" }, secrets.missing(one))
  end)

  it("come from a file, without the line break at its end", function()
    local path = os.tmpname()
    assert(host.write_file(path, "from-a-file\n"))
    load(one, { TIDEGATE_ACME_PASSWORD_FILE = path })
    os.remove(path)
    assert.equal("from-a-file", secrets.value(one, "password"))
  end)

  it("that are missing are named, with the variable that sets them", function()
    load(one, {})
    local ok, err = pcall(secrets.value, one, "api_key")
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal("not_configured", err.code)
    assert.is_truthy(err.message:find("TIDEGATE_ACME_API_KEY", 1, true))
  end)

  it("in a file that cannot be read are reported, and the old value stays", function()
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    local faults = load(one, { TIDEGATE_ACME_API_KEY_FILE = "/nonexistent/secret" })
    assert.equal(1, #faults)
    assert.is_truthy(faults[1]:find("TIDEGATE_ACME_API_KEY_FILE", 1, true))
    assert.equal("key-0123456789", secrets.value(one, "api_key"))
  end)

  it("that the process cannot hold are reported, and the old value stays", function()
    state.put(one.owner, "large_one", ("x"):rep(65536), "token")
    state.put(one.owner, "large_two", ("x"):rep(65536), "token")
    state.put(one.owner, "large_three", ("x"):rep(65536), "token")
    state.put(one.owner, "small", "x", "token")
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    local faults = load(one, { TIDEGATE_ACME_API_KEY = ("k"):rep(65536) })
    assert.equal(1, #faults)
    assert.matches("^the secret 'api_key' of .* or the 10000 secrets or 262144 bytes", faults[1])
    assert.equal("key-0123456789", secrets.value(one, "api_key"))
  end)


  it("that left the environment are gone", function()
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    load(one, {})
    assert.same({ "api_key", "password" }, secrets.missing(one))
  end)

  it("that were stored are not overridden by the environment", function()
    secrets.put(one, "api_key", "stored-0123456789", "stored")
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    assert.equal("stored-0123456789", secrets.value(one, "api_key"))
  end)

  it("that change take the token along that was fetched with them", function()
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    state.put(one.owner, "auth:token", "token-0123456789", "token")
    load(one, { TIDEGATE_ACME_API_KEY = "key-0123456789" })
    assert.is_string(state.get(one.owner, "auth:token"))
    load(one, { TIDEGATE_ACME_API_KEY = "key-9876543210" })
    assert.is_nil(state.get(one.owner, "auth:token"))
  end)


  it("have their active values listed, the current one first, until the previous one expires", function()
    assert.same({}, secrets.active(one, "api_key"))
    secrets.hold(one, "api_key", { value = "new-value", previous = "old-value", expires_at = time.now() + 60 })
    assert.same({ { value = "new-value", id = "api_key" }, { value = "old-value", id = "api_key:previous" } },
      secrets.active(one, "api_key"))
    assert.equal("new-value", secrets.value(one, "api_key"))
    host.freeze_clock()
    finally(host.thaw_clock)
    host.advance_clock(61)
    assert.same({ { value = "new-value", id = "api_key" } }, secrets.active(one, "api_key"))
    assert.is_nil((state.get(one.owner, "api_key:previous")))
  end)


  it("that are rotated again keep the newest previous value alone", function()
    local expires_at = time.now() + 60
    secrets.hold(one, "api_key", { value = "second-value", previous = "first-value", expires_at = expires_at })
    secrets.hold(one, "api_key", { value = "third-value", previous = "second-value", expires_at = expires_at })
    assert.same({ "third-value", "second-value", expires_at }, { secrets.pair(one, "api_key") })
    secrets.hold(one, "api_key", { value = "fourth-value" })
    assert.same({ { value = "fourth-value", id = "api_key" } }, secrets.active(one, "api_key"))
  end)
end)
