local crypto = require "tide.crypto"
local json = require "tide.json"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))

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
