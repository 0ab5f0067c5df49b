-- Secrets and tokens while the project changes under the running service.

local crypto = require "tide.crypto"
local json = require "tide.json"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local OTHER_KEY <const> = crypto.base64(("o"):rep(32))


-- A provider with a secret `key`, which tells its digest.
local function provider(version)
  return ([[
-- %s
local crypto = require "tide.crypto"
return {
  config = { base_url = "http://127.0.0.1:1" },
  secrets = { "key" },
  operations = {
    look = { input = true, run = function(ctx)
      return { digest = crypto.hex(crypto.digest("sha256", ctx.secret("key"))) }
    end },
  },
}
]]):format(version)
end


describe("while the project changes", function()
  local project, service


  local function serve(files, environment)
    project = project or support.project(files)
    service = project:serve { workers = 2, environment = environment }
  end


  after_each(function()
    project:close()
    project = nil
  end)


  local function put(integration, value)
    local status, body = service:request("PUT", ("/api/v1/integrations/%s/secrets/key"):format(integration),
      { json = { value = value } })
    assert.equal(200, status, body.detail)
  end


  local function seen(integration)
    local status, body = service:call(integration, "look")
    return status == 200 and body.data.digest or body.code
  end


  local function digest(value)
    return crypto.hex(crypto.digest("sha256", value))
  end


  local function reasons()
    local _, health = service:request("GET", "/health")
    return table.concat(health.reasons, "\n")
  end


  local function reload(outcome)
    local status, body = service:request("POST", "/api/v1/reload")
    assert.equal(200, status)
    assert.equal(outcome or "ok", body.data.outcome, json.encode(body.data))
  end


  it("what is wrong with the secrets of one integration is not forgotten with the reload of another", function()
    serve({ ["providers/mail.lua"] = provider "as it was", ["providers/shop.lua"] = provider "as it was",
      ["config.lua"] = "return { watch = false }" }, { TIDEGATE_MASTER_KEY = KEY })
    put("mail", "stored-value")
    assert.equal(0, service:stop())
    serve(nil, { TIDEGATE_MASTER_KEY = OTHER_KEY, TIDEGATE_MAIL_KEY = "environment-value" })
    assert.equal("not_configured", seen("mail"))
    project:write("providers/shop.lua", provider "changed")
    reload()
    assert.equal("not_configured", seen("mail"))
    assert.matches("key of mail is stored under the master key", reasons())
    project:write("providers/mail.lua", provider "changed")
    reload()
    assert.equal("not_configured", seen("mail"))
    assert.matches("key of mail is stored under the master key", reasons())
    assert(os.remove(project.folder .. "/providers/mail.lua"))
    reload()
    assert.not_matches("mail", reasons())
  end)


  it("an integration that comes finds what was stored for it, and its file is followed", function()
    serve({ ["providers/mail.lua"] = provider "as it was", ["config.lua"] = "return { watch = false }" },
      { TIDEGATE_MASTER_KEY = KEY })
    put("mail", "stored-value")
    assert.equal(0, service:stop())
    assert(os.remove(project.folder .. "/providers/mail.lua"))
    project:write("shop_key", "first-value")
    serve(nil, { TIDEGATE_MASTER_KEY = KEY, TIDEGATE_SHOP_KEY_FILE = project.folder .. "/shop_key" })
    project:write("providers/mail.lua", provider "as it was")
    project:write("providers/shop.lua", provider "as it was")
    reload()
    assert.equal(digest("stored-value"), seen("mail"))
    assert.equal(digest("first-value"), seen("shop"))
    project:write("shop_key", "second-value")
    support.wait("the file to be read again", function() return seen("shop") == digest("second-value") end)
  end)


  it("the tokens of config.lua follow it, on every worker, and none else is asked for again", function()
    local function config(name)
      return ('return { watch = false, tokens = { { name = "fixed", role = "viewer", token = "%s" } } }'):format(name)
    end
    serve({ ["config.lua"] = config("first-configured-token") })
    local _, out = project:run { "token", "create", "--name", "root", "--role", "admin" }
    service.token = out:match('"token":"([^"]+)"')
    local function statuses(token)
      local found = {}
      for _ = 1, 6 do
        local status = service:request("GET", "/api/v1/logs", { token = token, fresh_connection = true })
        found[status] = true
      end
      return found
    end
    assert.same({ [200] = true }, statuses("first-configured-token"))
    project:write("config.lua", config("second-configured-token"))
    reload()
    assert.same({ [401] = true }, statuses("first-configured-token"))
    assert.same({ [200] = true }, statuses("second-configured-token"))
    project:write("config.lua", config("short"))
    local _, answer = service:request("POST", "/api/v1/reload")
    assert.equal("failed", answer.data.outcome)
    assert.matches("tokens%[1%] needs `token`", json.encode(answer.data.errors))
    assert.same({ [200] = true }, statuses("second-configured-token"))
    assert.is_nil(service:stdout():find("configured-token", 1, true))
  end)
end)
