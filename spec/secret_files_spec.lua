local crypto = require "tide.crypto"
local json = require "tide.json"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local OTHER_KEY <const> = crypto.base64(("o"):rep(32))

local SHOP <const> = [[
local crypto = require "tide.crypto"
return {
  config = { base_url = "http://127.0.0.1:1" },
  secrets = { "api_key", "other" },
  operations = {
    look = {
      input = true,
      run = function(ctx, input)
        return { digest = crypto.hex(crypto.digest("sha256", ctx.secret(input.name))) }
      end,
    },
  },
}
]]


describe("a secret in a file", function()
  local project, service


  local function serve(variables)
    local environment = { TIDEGATE_MASTER_KEY = KEY, TIDEGATE_SHOP_API_KEY_FILE = project.folder .. "/api_key",
      TIDEGATE_SHOP_OTHER_FILE = project.folder .. "/other" }
    for name, value in pairs(variables or {}) do
      environment[name] = value
    end
    service = project:serve { environment = environment, workers = 2 }
  end


  before_each(function()
    project = support.project { ["providers/shop.lua"] = SHOP, api_key = "first-value\n",
      other = "other-value" }
  end)


  after_each(function()
    project:close()
  end)


  local function seen(name)
    local status, body = service:call("shop", "look", { name = name or "api_key" })
    return status == 200 and body.data.digest or body.code
  end


  local function digest(value)
    return crypto.hex(crypto.digest("sha256", value))
  end


  local function wait_for(value, name)
    support.wait("the value to take effect", function() return seen(name) == digest(value) end)
  end


  local function count(text)
    return select(2, service:stdout():gsub(text, ""))
  end


  it("takes effect again when the file changes, on every worker", function()
    serve()
    assert.equal(digest("first-value"), seen())
    project:write("api_key", "second-value\n")
    wait_for("second-value")
    project:write("api_key", "third-value")
    wait_for("third-value")
    -- The log has a writer of its own.
    support.wait("both to be told", function() return count("a secret was read again from its file") == 2 end)
    for _, value in ipairs { "first-value", "second-value", "third-value" } do
      assert.is_nil(service:stdout():find(value, 1, true))
    end
  end)


  it("stays as it was when the file goes, which is said once; and follows the file that comes back", function()
    serve()
    os.remove(project.folder .. "/api_key")
    support.wait("the fault to be told", function() return count("could not be read again") > 0 end)
    assert.equal(digest("first-value"), seen())
    project:write("api_key", "second-value")
    wait_for("second-value")
    assert.equal(1, count("could not be read again"))
  end)


  it("is read once the file is there, though it was not at the start", function()
    os.remove(project.folder .. "/api_key")
    serve()
    assert.equal("not_configured", seen())
    project:write("api_key", "late-value")
    wait_for("late-value")
  end)


  it("does not replace a stored value, and takes its place when that is deleted", function()
    serve()
    local path = "/api/v1/integrations/shop/secrets/api_key"
    assert.equal(200, (service:request("PUT", path, { json = { value = "stored-value", keep_previous_seconds = 9 } })))
    project:write("api_key", "second-value")
    -- Files are looked at together: two rounds of the other one.
    for _, value in ipairs { "other-second", "other-third" } do
      project:write("other", value)
      wait_for(value, "other")
    end
    assert.equal(digest("stored-value"), seen())
    assert.equal(204, (service:request("DELETE", path)))
    assert.equal(digest("second-value"), seen())
    local _, list = service:request("GET", "/api/v1/integrations/shop/secrets")
    assert.same({ name = "api_key", source = "file", updated_at = json.null, previous_expires_at = json.null },
      list.data[1])
  end)


  it("may come from a pipe at the start, which is not read again", function()
    local pipe = project.folder .. "/pipe"
    os.execute(("mkfifo '%s'; (printf 'piped-value' > '%s') &"):format(pipe, pipe))
    serve { TIDEGATE_SHOP_API_KEY_FILE = pipe }
    local path = "/api/v1/integrations/shop/secrets/api_key"
    assert.equal(digest("piped-value"), seen())
    assert.equal(200, (service:request("PUT", path, { json = { value = "stored-value" } })))
    assert.equal(204, (service:request("DELETE", path)))
    assert.equal("not_configured", seen())
    support.wait("the log", function() return count("is no file that could be read again") == 1 end)
  end)
end)


describe("a master key in a file", function()
  local project, service
  local path = "/api/v1/integrations/shop/secrets/api_key"


  local function serve()
    service = project:serve { workers = 2, environment = { TIDEGATE_MASTER_KEY_FILE = project.folder .. "/key" } }
  end


  before_each(function()
    project = support.project { ["providers/shop.lua"] = SHOP, key = KEY .. "\n" }
  end)


  after_each(function()
    project:close()
  end)


  local function put(value)
    local status, body = service:request("PUT", path, { json = { value = value } })
    assert.equal(200, status, body.detail)
  end


  local function seen()
    local status, body = service:call("shop", "look", { name = "api_key" })
    return status == 200 and body.data.digest or body.detail
  end


  local function digest(value)
    return crypto.hex(crypto.digest("sha256", value))
  end


  local function health_says(words)
    local _, health = service:request("GET", "/health")
    return json.encode(health.reasons):find(words) ~= nil
  end


  local function key_ids()
    local ids = {}
    for index, row in ipairs(project:query("SELECT key_id FROM secrets ORDER BY name")) do
      ids[index] = row.key_id
    end
    return ids
  end


  local function id_of(key)
    return digest("tidegate key id" .. crypto.from_base64(key)):sub(1, 8)
  end


  it("is read again when it changes: what is stored goes under the new one", function()
    serve()
    put("stored-value")
    project:write("key", OTHER_KEY .. "," .. KEY)
    support.wait("the keys to be taken", function()
      return service:stdout():find("under another master key", 1, true)
    end)
    project:write("key", OTHER_KEY)
    put("another-value")
    assert.equal(digest("another-value"), seen())
    assert.equal(0, service:stop())
    assert.same({ id_of(OTHER_KEY) }, key_ids())
    serve()
    assert.equal(digest("another-value"), seen())
    for _, key in ipairs { KEY, OTHER_KEY } do
      assert.is_nil(service:stdout():find(key, 1, true))
    end
  end)


  it("that is wrong leaves what it does not open, until the right one comes back", function()
    serve()
    put("stored-value")
    assert.equal(0, service:stop())
    project:write("key", OTHER_KEY)
    serve()
    local words = "api_key of shop is stored under the master key " .. id_of(KEY)
    assert.matches(words, seen())
    assert.is_true(health_says(words))
    local _, status = service:request("GET", "/api/v1/status")
    assert.matches(words, json.encode(status.data.secrets.faults))
    assert.equal("not_configured", status.data.generation.integrations.shop)
    project:write("key", KEY)
    support.wait("the right key to be taken", function() return seen() == digest("stored-value") end)
    assert.is_false(health_says(words))
    assert.equal(0, service:stop())
    assert.same({ id_of(KEY) }, key_ids())
  end)


  it("that is gone or malformed while the service runs leaves the values that are in force", function()
    serve()
    put("stored-value")
    os.remove(project.folder .. "/key")
    support.wait("the fault", function() return health_says("TIDEGATE_MASTER_KEY_FILE: could not read") end)
    assert.equal(digest("stored-value"), seen())
    put("second-value")
    project:write("key", "not-a-master-key-at-all")
    support.wait("the fault", function() return health_says("key 1 of 1 is not 32 bytes in base64") end)
    assert.equal(digest("second-value"), seen())
    assert.equal(503, (service:request("PUT", path, { json = { value = "third-value" } })))
    project:write("key", KEY)
    support.wait("the right key to be taken", function() return not health_says("MASTER_KEY") end)
    put("third-value")
    assert.equal(digest("third-value"), seen())
    assert.is_nil(service:stdout():find("not-a-master-key-at-all", 1, true))
  end)
end)
