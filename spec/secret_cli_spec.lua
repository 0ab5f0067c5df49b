local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local OTHER_KEY <const> = crypto.base64(("o"):rep(32))

local SHOP <const> = [[
local crypto = require "tide.crypto"
return {
  config = { base_url = "http://127.0.0.1:1" },
  secrets = { "webhook_secret", "api_key" },
  operations = {
    look = {
      input = { type = "object" },
      run = function(ctx) return { digest = crypto.hex(crypto.digest("sha256", ctx.secret("api_key"))) } end,
    },
  },
}
]]


describe("tidegate secret", function()
  local project
  local environment


  local function id_of(key)
    return crypto.hex(crypto.digest("sha256", "tidegate key id" .. crypto.from_base64(key))):sub(1, 8)
  end


  before_each(function()
    environment = { TIDEGATE_MASTER_KEY = KEY }
    project = support.project { ["providers/shop.lua"] = SHOP }
  end)


  after_each(function()
    project:close()
  end)


  local function run(arguments, input)
    local code, out, err = project:run({ "secret", table.unpack(arguments) }, environment, input)
    return code, out, err
  end


  local function answer_of(arguments, input)
    local code, out, err = run(arguments, input)
    assert.equal(0, code, err)
    assert.equal("", err)
    return json.decode(out)
  end


  -- A running service is in another process: this worker may stand still.
  local function both_ways(check)
    check()
    local service = project:serve { environment = environment }
    check(service)
    assert.equal(0, service:stop())
  end


  local function digest_of_key()
    local code, out, err = project:run({ "call", "shop", "look" }, environment)
    return code == 0 and json.decode(out).data.digest or err
  end


  it("stores what it reads, lists it without its value, and deletes it, with and without a service", function()
    both_ways(function(service)
      local set = answer_of({ "set", "shop", "api_key" }, "a-value-of-the-shell\n").data
      assert.equal("stored", set.source)
      assert.equal(crypto.hex(crypto.digest("sha256", "a-value-of-the-shell")), digest_of_key())
      local code, out = run { "list", "shop" }
      assert.equal(0, code)
      assert.is_nil(out:find("a-value-of-the-shell", 1, true))
      local entries = json.decode(out).data
      assert.same({ "api_key", "stored", set.updated_at },
        { entries[1].name, entries[1].source, entries[1].updated_at })
      assert.same({ "webhook_secret", "missing" }, { entries[2].name, entries[2].source })
      assert.same({ deleted = "api_key" }, answer_of { "delete", "shop", "api_key" })
      assert.matches("not_configured", digest_of_key())
      assert.equal("missing", answer_of({ "list", "shop" }).data[1].source)
      local again, _, message = run { "delete", "shop", "api_key" }
      assert.equal(1, again)
      assert.matches("the secret api_key of shop is not stored", message)
      if service then
        assert.is_nil(service:stdout():find("a-value-of-the-shell", 1, true))
      end
    end)
  end)


  it("keeps the previous value for as long as it is asked to", function()
    both_ways(function()
      answer_of({ "set", "shop", "api_key" }, "first-value")
      local rotated = answer_of({ "set", "shop", "api_key", "--keep-previous", "600" }, "second-value").data
      assert.is_string(rotated.previous_expires_at)
      assert.equal(rotated.previous_expires_at, answer_of({ "list", "shop" }).data[1].previous_expires_at)
      assert.equal(json.null, answer_of({ "set", "shop", "api_key" }, "third-value").data.previous_expires_at)
    end)
  end)


  it("rotates: the previous value stays good for a day, or for as long as is said", function()
    both_ways(function()
      local fresh = answer_of({ "rotate", "shop", "webhook_secret" }, "only-value").data
      assert.equal(json.null, fresh.previous_expires_at)
      answer_of { "delete", "shop", "webhook_secret" }
      answer_of({ "set", "shop", "api_key" }, "first-value")
      local rotated = answer_of({ "rotate", "shop", "api_key" }, "second-value").data
      assert.near(time.now() + 86400, time.parse(rotated.previous_expires_at), 20)
      rotated = answer_of({ "rotate", "shop", "api_key", "--keep", "600" }, "third-value").data
      assert.near(time.now() + 600, time.parse(rotated.previous_expires_at), 20)
      assert.equal(crypto.hex(crypto.digest("sha256", "third-value")), digest_of_key())
      rotated = answer_of({ "rotate", "shop", "api_key", "--keep", "0" }, "fourth-value").data
      assert.equal(json.null, rotated.previous_expires_at)
    end)
  end)


  it("seals what is stored under the first master key, and says how many; again there is nothing to do", function()
    both_ways(function(service)
      answer_of({ "set", "shop", "api_key" }, "first-value")
      answer_of({ "rotate", "shop", "api_key" }, "second-value")
      answer_of({ "set", "shop", "webhook_secret" }, "another-value")
      if service then
        assert.same({ resealed = 0, left = 0, key_id = id_of(KEY) }, answer_of({ "rekey" }).data)
        return
      end
      environment.TIDEGATE_MASTER_KEY = OTHER_KEY .. "," .. KEY
      assert.same({ resealed = 2, left = 0, key_id = id_of(OTHER_KEY) }, answer_of({ "rekey" }).data)
      assert.same({ resealed = 0, left = 0, key_id = id_of(OTHER_KEY) }, answer_of({ "rekey" }).data)
      environment.TIDEGATE_MASTER_KEY = OTHER_KEY
      assert.equal(crypto.hex(crypto.digest("sha256", "second-value")), digest_of_key())
      assert.is_string(answer_of({ "list", "shop" }).data[1].previous_expires_at)
      environment.TIDEGATE_MASTER_KEY = KEY
      assert.same({ resealed = 0, left = 2, key_id = id_of(KEY) }, answer_of({ "rekey" }).data)
      local rows = project:query("SELECT new_value FROM audit_log WHERE action = 'secret.rekey'")
      assert.same({ { new_value = '{"secrets":2}' } }, rows)
    end)
  end)


  it("takes the value as it is but for one line break at its end", function()
    for input, value in pairs { ["a\nb\n\n"] = "a\nb\n", ["a\r\n"] = "a", [" a "] = " a ", ["값"] = "값" } do
      answer_of({ "set", "shop", "api_key" }, input)
      assert.equal(crypto.hex(crypto.digest("sha256", value)), digest_of_key())
    end
  end)


  it("refuses what is wrong, naming no value", function()
    local usage = {
      { {}, "set, rotate, list, delete or rekey%?" },
      { { "set", "shop" }, "names of an integration and of its secret" },
      { { "set", "shop", "api_key", "the-value" }, "comes from standard input" },
      { { "list" }, "name of an integration" },
      { { "rotate", "shop" }, "names of an integration and of its secret" },
      { { "rotate", "shop", "api_key", "the-value" }, "comes from standard input" },
      { { "rekey", "shop" }, "too many arguments" },
      { { "delete", "shop", "../x" }, "names of an integration and of its secret" },
      { { "set", "shop", "api_key", "--keep-previous", "long" }, "takes a whole number" },
    }
    for _, case in ipairs(usage) do
      local code, _, err = run(case[1])
      assert.equal(2, code)
      assert.matches(case[2], err)
    end
    both_ways(function()
      local cases = {
        { { "set", "shop", "api_key" }, "", "there is none" },
        { { "set", "shop", "api_key" }, "\n", "there is none" },
        { { "set", "shop", "api_key" }, "the-value\xff", "not text in UTF%-8" },
        { { "set", "shop", "api_key" }, ("the-value"):rep(7282) .. "\n", "1 to 65536 bytes" },
        { { "set", "shop", "api_key" }, ("the-value"):rep(8000), "" },
        { { "set", "shop", "api_kei" }, "the-value", "did you mean api_key%?" },
        { { "set", "nobody", "api_key" }, "the-value", "there is no integration \"?nobody" },
        { { "set", "shop", "api_key", "--keep-previous", "31536001" }, "the-value", "whole number from 0 to 31536000" },
      }
      for _, case in ipairs(cases) do
        local code, out, err = run(case[1], case[2])
        assert.equal(1, code)
        assert.equal("", out)
        assert.matches(case[3], err)
        assert.is_nil(err:find("the-value", 1, true))
        assert.not_matches("traceback", err)
      end
      assert.equal("missing", answer_of({ "list", "shop" }).data[1].source)
    end)
  end)


  it("needs a master key to store, and none to look", function()
    local code, _, err = project:run({ "secret", "set", "shop", "api_key" }, {}, "the-value")
    assert.equal(1, code)
    assert.matches("set TIDEGATE_MASTER_KEY", err)
    local wrong = { TIDEGATE_MASTER_KEY = "short-key" }
    code, _, err = project:run({ "secret", "rekey" }, {})
    assert.equal(1, code)
    assert.matches("there is no master key: set TIDEGATE_MASTER_KEY", err)
    code, _, err = project:run({ "secret", "set", "shop", "api_key" }, wrong, "the-value")
    assert.equal(1, code)
    assert.matches("key 1 of 1 is not 32 bytes in base64", err)
    assert.is_nil(err:find("short-key", 1, true))
    assert.equal(0, (project:run { "secret", "list", "shop" }))
  end)


  it("leaves no value in the store, and a row in the audit log", function()
    answer_of({ "set", "shop", "api_key" }, "a-value-of-the-shell")
    answer_of { "delete", "shop", "api_key" }
    local rows = project:query("SELECT action, actor, integration_name, subject FROM audit_log ORDER BY id")
    assert.same({
      { action = "secret.put", actor = "command line", integration_name = "shop", subject = "api_key" },
      { action = "secret.delete", actor = "command line", integration_name = "shop", subject = "api_key" },
    }, rows)
    for _, file in ipairs(host.list(project.folder .. "/var")) do
      assert.is_nil(project:read("var/" .. file):find("a-value-of-the-shell", 1, true))
    end
  end)
end)
