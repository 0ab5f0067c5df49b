-- Keys of upstreams are rotated while calls are made with them, against the real service.

local crypto = require "tide.crypto"
local json = require "tide.json"
local server = require "tide.server"
local task = require "tide.task"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local CALLERS <const> = 8
local ROUNDS <const> = 12

-- `stored` has its key in the store, `filed` in a file, `token` a secret that makes tokens.
local PROVIDERS <const> = {
  stored = [[ auth = { scheme = "api_key", secret = "key", header = "X-Key" }, ]],
  filed = [[ auth = { scheme = "bearer", secret = "key" }, ]],
  token = [[ auth = { scheme = "oauth2", grant = "client_credentials", token_url = "%s/token", client_id = "id",
    client_secret = "key" }, secrets = { "id" }, ]],
}

local SOURCE <const> = [[
return {
  %s
  config = { base_url = "%s", max_retries = 0, rate_limit_enabled = false, circuit_breaker_enabled = false,
    allow_private_networks = true },
  operations = {
    read = { input = true, run = function(ctx) return ctx.http.get("/thing").json end },
  },
}
]]


describe("while calls are made", function()
  local project, service, upstream, origin
  local environment
  -- What the upstream takes, and how often it was asked with what.
  local accepted, seen


  -- "stored-1" in whichever header it came.
  local function key_of(request)
    return request:header("x-key") or (request:header("authorization") or ""):match("^Bearer (.*)$")
  end


  local function answer(request)
    local key
    if request.path == "/token" then
      key = request.body:match("client_secret=([^&]*)")
    else
      key = (key_of(request) or ""):gsub("^token%-of%-", "")
    end
    seen[key] = (seen[key] or 0) + 1
    task.sleep(0.002)
    if not accepted[key] then
      return request:respond(401, { "Content-Type", "application/json" }, "{}")
    end
    local body = request.path == "/token"
      and { access_token = "token-of-" .. key, token_type = "Bearer", expires_in = 3600 } or { key = key }
    return request:respond(200, { "Content-Type", "application/json" }, json.encode(body))
  end


  before_each(function()
    accepted, seen = {}, {}
    upstream = assert(server.listen("127.0.0.1:0", answer))
    origin = "http://" .. upstream.address
    local files = { key = "filed-0" }
    for name, auth in pairs(PROVIDERS) do
      files["providers/" .. name .. ".lua"] = SOURCE:format((auth:gsub("%%s", origin)), origin)
    end
    project = support.project(files)
    environment = { TIDEGATE_MASTER_KEY = KEY, TIDEGATE_STORED_KEY = "stored-0", TIDEGATE_TOKEN_KEY = "token-0",
      TIDEGATE_TOKEN_ID = "id", TIDEGATE_FILED_KEY_FILE = project.folder .. "/key" }
    service = project:serve { workers = 2, environment = environment }
  end)


  after_each(function()
    project:close()
    upstream:close()
  end)


  -- Calls until `change(number)` was made ROUNDS times; each change is from one key to the next, both of which
  -- the upstream takes while it is made, and only the new one from when it is in force. The failures.
  local function rotate_under_load(name, change)
    local is_over, failures, calls = false, {}, 0
    local function key(number)
      return ("%s-%d"):format(name, number)
    end
    local function call()
      while not is_over do
        local status, body = service:request("POST", ("/api/v1/integrations/%s/read"):format(name), {
          body = "{}", fresh_connection = calls % 5 == 0 })
        calls = calls + 1
        if status ~= 200 then
          failures[#failures + 1] = ("%s %s"):format(status, type(body) == "table" and body.detail or body)
        end
      end
      return true
    end
    local branches = {}
    for index = 1, CALLERS do
      branches[index] = call
    end
    accepted[key(0)] = true
    branches[#branches + 1] = function()
      support.wait("calls", function() return (seen[key(0)] or 0) > 20 end)
      for number = 1, ROUNDS do
        accepted[key(number)] = true
        change(number, key(number))
        -- From here on every attempt has the new one; those that have begun may be on their way.
        task.sleep(0.05)
        local before = seen[key(number - 1)]
        support.wait("calls with the new key", function() return (seen[key(number)] or 0) > 20 end)
        assert.equal(before, seen[key(number - 1)], key(number - 1))
        accepted[key(number - 1)] = nil
      end
      is_over = true
      return true
    end
    task.all(branches, { limit = #branches })
    assert.same({}, failures)
    assert.is_true(calls > ROUNDS * 20)
    assert.is_nil(service:stdout():find(name .. "%-%d"))
  end


  local function put(name)
    return function(_, value)
      local status, body = service:request("PUT", ("/api/v1/integrations/%s/secrets/key"):format(name),
        { json = { value = value } })
      assert.equal(200, status, body.detail)
    end
  end


  it("a key that is rotated over the API or the command line is used by the next attempt, and none fails", function()
    local over_api = put "stored"
    rotate_under_load("stored", function(number, value)
      if number % 3 > 0 then
        return over_api(number, value)
      end
      local code, _, err = project:run_beside({ "secret", "rotate", "stored", "key" }, environment, value .. "\n")
      assert.equal(0, code, err)
    end)
  end)


  it("a key whose file changes is used by the next attempt, and none fails", function()
    local count = 0
    rotate_under_load("filed", function(_, value)
      if count < 3 then
        count = count + 1
        project:write("key", value)
        support.wait("the file to be read again", function()
          return select(2, service:stdout():gsub("a secret was read again", "")) == count
        end)
        return
      end
      put "filed" (nil, value)
    end)
  end)


  it("a token that an old secret made is used no more, and none fails", function()
    rotate_under_load("token", put "token")
  end)
end)
