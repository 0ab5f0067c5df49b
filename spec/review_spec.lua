local json = require "tide.json"
local parser = require "tide.lua.parser"
local review = require "tide.review"
local support = require "spec.support.service"
local time = require "tide.time"


-- A provider that has nothing to be found, with `body` before its table and `members` in it.
local function provider(body, members, run)
  return ([[
%s
return {
  summary = "Parcels",
  auth = { scheme = "bearer", secret = "api_key" },
  config = { base_url = "https://api.acme.example/v1" },
  %s
  operations = {
    track = {
      summary = "Where a parcel is",
      input = { type = "object", properties = { parcel = { type = "string" } } },
      run = function(ctx, input)
        %s
        return ctx.http.get("/parcels/{id}", { params = { id = input.parcel } }).json
      end,
      mock = function(_, input) return { parcel = input.parcel } end,
    },
  },
}
]]):format(body or "", members or "", run or "")
end


describe("check as a reviewer", function()
  local project


  before_each(function()
    project = support.project()
  end)


  after_each(function()
    project:close()
  end)


  -- The findings of `check --strict --json`, each "FILE:LINE RULE SEVERITY".
  local function findings_of(environment)
    local _, out, err = project:run({ "check", "--strict", "--json" }, environment)
    assert.is_not_nil(json.decode(out), err)
    local places, findings = {}, json.decode(out).findings or {}
    for i, finding in ipairs(findings) do
      places[i] = ("%s:%s %s %s"):format(finding.file, finding.line, finding.rule, finding.severity)
    end
    return places, findings, err
  end


  local function assert_finds(places, text, environment)
    project:write("providers/acme.lua", text)
    local found, findings, err = findings_of(environment)
    assert.same(places, found)
    return findings, err
  end


  local function assert_clean(text)
    assert_finds({}, text)
  end


  it("has nothing to say about a provider as it should be", function()
    assert_clean(provider())
    local code, out, err = project:run { "check" }
    assert.equal(0, code)
    assert.is_nil(json.decode(out).findings)
    assert.equal("", err)
  end)


  describe("finds globals", function()
    it("that nobody has declared", function()
      local findings = assert_finds({ "providers/acme.lua:1 undeclared_global error",
        "providers/acme.lua:12 undeclared_global error", "providers/acme.lua:12 undeclared_global error" },
        provider("local _helper = function() return tostrin(1) end", nil, "count = (json or 0)"))
      assert.equal("tostrin is not declared, so it is nil (did you mean tostring?): define it as a local, or require "
        .. "its module", findings[1].message)
      assert.matches("sets the global count", findings[2].message .. findings[3].message)
    end)


    it("that a provider does not have, with what to use", function()
      local findings = assert_finds({ "providers/acme.lua:12 undeclared_global error" },
        provider(nil, nil, "io.open('x')"))
      assert.matches("io is not available to a provider", findings[1].message)
    end)


    it("that are defined too late", function()
      local findings = assert_finds({ "providers/acme.lua:2 used_before_definition error" },
        provider("local function first()\n  return second()\nend\nlocal function second() return 1 end\n"
          .. "local _ = { first, second }"))
      assert.equal("second is used before it is defined (line 4): move the definition above, or declare "
        .. "`local second` first",
        findings[1].message)
    end)


    it("in config.lua, which has env alone", function()
      project:write("config.lua", "local port = env('PORT', '0')\nreturn { listen = '127.0.0.1:' .. port,\n"
        .. "  workers = port == '1' and math.huge or 1 }")
      assert_finds({ "config.lua:3 undeclared_global error" }, provider())
    end)


    it("in shared scripts", function()
      project:write("scripts/shared.lua", "local M = {}\nfunction M.f() return undefined end\nreturn M")
      assert_finds({ "scripts/shared.lua:2 undeclared_global error" },
        provider('local shared = require "shared"', nil, "shared.f()"))
    end)


    it("and takes no local for one", function()
      assert_clean((provider([[
local a, b <const> = 1, 2
local function f(x, ...) local y = ... ; return x and y and a and b or true, f end
for i = 1, 2 do f(i) end
for k, v in pairs({}) do f(k, v) end
repeat local done = f(1) until done
do local print = f; print(1) end
local t = { f = f, ["g"] = f, a }
function t.h(self) return self.i end
function t:i() return self.h, later end
goto finish
::finish::
t.i(string.format("%s", utf8.char(65)), math.pi, os.time(), select("#", 1))
]]):gsub("later", "t")))
    end)
  end)


  it("finds misspelt members", function()
    local findings = assert_finds({ "providers/acme.lua:2 unknown_member error",
      "providers/acme.lua:13 unknown_member error", "providers/acme.lua:14 unknown_member error",
      "providers/acme.lua:15 unknown_member error" },
      provider('local json = require "tide.json"\nlocal _text = function() return json.encod({}) end', nil,
        "ctx.lgo.info('x')\nlocal _ = ctx.config.timeout_second\nstring.fromat('x')"))
    assert.equal("tide.json has no encod (did you mean encode?)", findings[1].message)
    assert.equal("ctx has no lgo (did you mean log?)", findings[2].message)
    assert.equal("ctx.config has no timeout_second (did you mean timeout_seconds?)", findings[3].message)
    assert.equal("string has no fromat (did you mean format?)", findings[4].message)
  end)


  it("finds options of requests that there are not", function()
    local findings = assert_finds({ "providers/acme.lua:13 unknown_option error" },
      provider(nil, nil, 'ctx.http.get("/a", {\nquerry = {}, headers = {} })'))
    assert.equal("ctx.http has no option querry (did you mean query?)", findings[1].message)
  end)


  it("finds operations and integrations that there are not", function()
    project:write("config.lua", 'return { integrations = { nice_dnb = {},\n'
      .. '  acme = { mock_responses = { trak = {} } } } }')
    local findings = assert_finds({ "config.lua:2 unknown_operation error",
      "providers/acme.lua:12 unknown_operation error", "providers/acme.lua:13 unknown_operation error",
      "providers/acme.lua:14 unknown_operation error" },
      provider(nil, nil, 'ctx.call("nice_dnp", "x")\nctx.call("nice_dnb", "search", {})\nctx.cache.forget("tracks")\n'
        .. 'ctx.call("nice_dnb", "search_company", {})\nctx.cache.forget("track")\nctx.call(input.parcel, "x")'))
    assert.equal("acme has no operation trak (did you mean track?)", findings[1].message)
    assert.matches("there is no integration nice_dnp %(did you mean nice_dnb%?%)", findings[2].message)
    assert.matches("nice_dnb has no operation search", findings[3].message)
  end)


  it("finds operations without a mock, a summary or a schema", function()
    assert_finds({ "providers/acme.lua:3 operation_without_mock error",
      "providers/acme.lua:3 undocumented_operation warning", "providers/acme.lua:3 undocumented_operation warning",
      "providers/acme.lua:4 operation_without_mock error" }, [[
return {
  operations = {
    track = { run = function() return {} end },
    trace = { summary = "x", input = {}, run = function() return {} end },
  },
}]])
    project:write("config.lua", [[return { integrations = { acme = { mock_responses = { track = {} } } } }]])
    assert_finds({}, [[
return { operations = { track = { summary = "x", input = {}, run = function() return {} end } } }]])
  end)


  it("finds operations where they are written, in whatever way", function()
    assert_finds({ "providers/acme.lua:4 operation_without_mock error",
      "providers/acme.lua:5 operation_without_mock error" }, [[
-- track = an example
local M = {}
local track = { summary = "track", input = {}, run = function() return {} end }
local operations = { track = track,
  trace = { summary = "x", input = {}, run = function() return {} end } }
M.operations = operations
return M]])
  end)


  it("finds webhooks that anybody may send, unless a comment says why", function()
    local function webhook(signature)
      return ([[
return {
  webhooks = {
    %s
    event_type = "type",
    on = {},
  },
}]]):format(signature)
    end
    local found = { "providers/acme.lua:3 unsigned_webhook error" }
    assert_finds(found, webhook 'signature = { scheme = "none" },')
    assert_finds(found, webhook 'signature = "none",')
    assert_clean(webhook 'signature = { scheme = "none" }, -- they sign nothing; the address is secret')
    assert_clean(webhook '-- They sign nothing.\n    -- The address is secret.\n    signature = { scheme = "none" },')
    assert_clean(webhook 'signature = { scheme = "hmac-sha256", header = "X-Signature" },')
    assert_finds({ "providers/acme.lua:3 load error" }, (webhook("")
      :gsub("webhooks = {\n    \n", "webhooks = {\n    sender = {\n"):gsub("on = {},", "on = {} },")))
  end)


  describe("finds secrets in the source", function()
    local SECRETS = {
 'sk_live_4eC39HqLyjWDarjtT1zdp7dc', "AKIAIOSFODNN7EXAMPLE",
      "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "xoxb-263594206564-FGqddMF8t08v8N7Oq4i57vs1",
      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "Bearer 2YotnFZFEjr1zCsicMWpAA",
      "AIzaSyDdI0hCZtE6vySjMm-WEfRq3CPzqKqqsHI", "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", "live_sk_zXLkKEypNArWmo50nX3lmeaxYG5R",
      "https://user:hunter2@api.acme.example/x", "5f4dcc3b5aa765d61d8327deb882cf99",
      "Zm9vYmFyMTIzNDU2Nzg5MHF3ZXJ0eXVpb3A=", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }


    it("by their form, and never shows them", function()
      for _, value in ipairs(SECRETS) do
        local findings, err = assert_finds({ "providers/acme.lua:3 secret_in_source error" },
          provider(("\n\nlocal _value = %q"):format(value)))
        assert.is_nil((json.encode(findings) .. err):find(value:sub(1, 12), 1, true), value)
      end
    end)


    it("in comments, and where texts have several lines", function()
      assert_finds({ "providers/acme.lua:2 secret_in_source error" },
        provider("--[[ not so:\nkey AKIAIOSFODNN7EXAMPLE\n]]"))
      assert_finds({ "providers/acme.lua:1 secret_in_source error" }, provider(("local _key = [[\n-----BEGIN "
        .. "PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----]]"):format(("MIIEvQIBADANBgkqhkiG"):rep(5))))
    end)


    it("by the name that they are given", function()
      for _, line in ipairs { "local password = 'hunter2'", "local t = {}; t.api_key = 'acme-prod-9'",
        "local t = { ['X-Api-Key'] = 'acme-prod-9' }", "local clientSecret = 'supersecret'" } do
        assert_finds({ "providers/acme.lua:1 secret_in_source error" },
          provider(line .. "\nlocal _ = " .. line:match("local (%w+)")))
      end
    end)


    it("in config.lua, where they are a variable's default too", function()
      project:write("config.lua", "local key = env('TIDEGATE_ACME_API_KEY', 'acme-prod-9')\nreturn {\n"
        .. "  integrations = { acme = { is_mock_mode = key == nil, extra_config = {\n"
        .. "    app_secret = 'prod-4711' } } },\n}")
      assert_finds({ "config.lua:1 secret_in_source error", "config.lua:4 secret_in_source error" },
        provider(nil, nil, "local _ = ctx.config.extra_config.app_secret"))
    end)


    it("that are the value of one of the project's", function()
      local environment = { TIDEGATE_ACME_API_KEY = "open sesame please" }
      local findings, err = assert_finds({ "providers/acme.lua:1 secret_in_source error" },
        provider('local _ = "x=open sesame please"'), environment)
      assert.is_nil((json.encode(findings) .. err):find("sesame", 1, true))
    end)


    it("and takes nothing else for one", function()
      assert_clean(provider([[
local _ = {
  "application/x-www-form-urlencoded; charset=utf-8", "/nice/bizinfo/v1.0/custom/bzmaininfo01/certification",
  "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "abcdefghijklmnopqrstuvwxyz0123456789", "2024-11-24T19:41:05.000Z",
  "123e4567-e89b-12d3-a456-426614174000", "X-Amz-Content-Sha256-Header", "getUserAccountDetailsByIdentifier2",
  "urn:ietf:params:oauth:grant-type:jwt-bearer", "sha256WithRSAEncryption", "Bearer ", "Basic realm",
  "-----BEGIN PRIVATE KEY-----", "sk_live_", "0000000000000000000000000000000000000000", "Bearer %s",
  token = "token", refresh_token = "refresh_token", token_path = "/oauth/token", secret = "api_key",
  page_token = "nextPageToken", app_key = "X-App-Key", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
  password = "", password_hint = "six letters", grant = { token = "access_token" }, api_key = "{api_key}",
}
]]))
      assert_clean(provider(nil, 'secrets = { "door_code", "user" },', [[
        ctx.http.get("/a", { auth = { scheme = "basic", username = "user", password = "door_code" } })]]))
    end)
  end)


  describe("finds hosts that are not declared", function()
    it("where a request goes there", function()
      for _, address in ipairs { '"https://files.acme.example/a"', '"https://files.acme.example/" .. input.parcel',
        '("https://files.acme.example/%s"):format(input.parcel)', "FILES .. input.parcel" } do
        local line = address:match("^FILES") and 1 or 12
        local findings = assert_finds({ ("providers/acme.lua:%d undeclared_host error"):format(line) },
          provider("local FILES <const> = 'https://" .. (line == 1 and "files" or "api") .. ".acme.example/'",
            nil, ("ctx.http.get(%s, { query = { f = FILES } })"):format(address)))
        assert.matches('files%.acme%.example is not a declared host: add it to hosts = { "files%.acme%.example" }',
          findings[1].message)
      end
      assert_finds({ "providers/acme.lua:12 undeclared_host error" },
        provider(nil, nil, 'local web = ctx.http; web.request("GET", "http://10.0.0.1:81/x")'))
    end)


    it("also by a shared script", function()
      project:write("scripts/shared.lua", "local M = {}\nfunction M.f(ctx)\n"
        .. "  return ctx.http.get('https://other.example')\nend\nreturn M")
      local findings = assert_finds({ "providers/acme.lua:1 undeclared_host error" },
        provider('local shared = require "shared"', nil, "shared.f(ctx)"))
      assert.matches("%(scripts/shared%.lua:3%)$", findings[1].message)
    end)


    it("and warns of them elsewhere", function()
      assert_finds({ "providers/acme.lua:1 undeclared_host warning" },
        provider("local _ = { 'https://other.example' }"))
    end)


    it("and knows base_url, hosts, token_url and what config.lua says", function()
      project:write("config.lua", 'return { integrations = { acme = { base_url = "https://test.acme.example" } } }')
      local text, _ = provider(nil, 'hosts = { "*.files.acme.example", "one.example:8443" },', [[
        ctx.http.get("https://api.acme.example/v2")
        ctx.http.get("HTTPS://a.files.acme.example/v2")
        ctx.http.get("https://one.example:8443/")
        ctx.http.get("https://login.acme.example/x")
        ctx.http.get("https://test.acme.example/x?y=https://no.example")
        ctx.http.get("https://" .. input.parcel)]]):gsub('auth = .-,\n', 'auth = { scheme = "oauth2", grant = '
        .. '"client_credentials", client_id = "id", client_secret = "key", '
        .. 'token_url = "https://login.acme.example/t" },\n')
      assert_clean(text)
    end)


    it("and leaves examples, mocks and texts alone", function()
      assert_clean(provider('local function made_up() return { url = "https://cdn.example/a" } end',
        'description = "https://docs.acme.example", health = function(ctx) ctx.http.get("/") end,'):gsub(
        'mock = function.-end,', 'mock = made_up,'):gsub('type = "string"', 'type = "string", '
        .. 'examples = { "https://a.example" }') .. "\n-- https://comment.example\n")
    end)
  end)


  it("finds locals and modules that nobody uses", function()
    local findings = assert_finds({ "providers/acme.lua:1 unused_local warning",
      "providers/acme.lua:2 unused_local warning", "providers/acme.lua:3 unused_local warning",
      "providers/acme.lua:4 unused_local warning" },
      provider('local json = require "tide.json"\nlocal function f() end\nlocal a, _b = 1, 2\nlocal set; set = 3'))
    assert.equal("the module tide.json is required and not used: remove the line", findings[1].message)
    assert.matches("the function f is never used", findings[2].message)
    assert.matches("the local set is set and never read", findings[4].message)
  end)


  it("finds keys of extra_config that nobody reads", function()
    project:write("config.lua",
      'return {\n  integrations = { acme = {\n    extra_config = { langauge = "ko" },\n  } },\n}')
    local text, _ = provider(nil, nil, "local extra = ctx.config.extra_config\nlocal _ = extra.language")
      :gsub("v1\" }", 'v1",\n    extra_config = { language = "ko", old = 1 } }')
    local findings = assert_finds({ "config.lua:3 unread_setting warning",
      "providers/acme.lua:6 unread_setting warning" }, text)
    assert.matches("extra_config%.old is never read by providers/acme%.lua", findings[2].message)
    assert_clean((text:gsub("local _ = extra.language", "for k in pairs(extra) do extra[k]() end")))
    assert_clean((text:gsub("local _ = extra.language", "for k in pairs(ctx.config.extra_config) do extra[k]() end")))
  end)


  it("finds secrets that are not declared, or not read", function()
    local findings = assert_finds({ "providers/acme.lua:6 unused_secret warning",
      "providers/acme.lua:12 undeclared_secret error" },
      provider(nil, 'secrets = { "app_key" },', 'ctx.secret("ap_key")'))
    assert.equal('the secret ap_key is read and not declared (did you mean api_key?): add it to secrets = { "ap_key" }',
      findings[2].message)
    assert_clean(provider(nil, 'secrets = { "api_key", "webhook_secret" },\n'
      .. 'webhooks = { signature = { scheme = "hmac-sha256", header = "X-Signature" }, on = {} },'))
    project:write("scripts/shared.lua", "local M = {}\nfunction M.f(ctx) return ctx.secret('other') end\nreturn M")
    findings = assert_finds({ "providers/acme.lua:1 undeclared_secret error" },
      provider('local shared = require "shared"', nil, "shared.f(ctx)"))
    assert.matches("other is read %(scripts/shared%.lua:2%)", findings[1].message)
  end)


  it("leaves out what is allowed with a reason", function()
    assert_clean(provider('-- check: allow unused_local (for the debugger)\nlocal a = 1\n'
      .. 'local b = 2 -- check: allow unused_local (the same)'))
    assert_finds({ "providers/acme.lua:1 allowance error", "providers/acme.lua:2 unused_local warning" },
      provider('-- check: allow unused_local\nlocal a = 1'))
    local findings = assert_finds({ "providers/acme.lua:1 allowance error",
      "providers/acme.lua:2 unused_local warning" },
      provider('-- check: allow unused_locals (because of something)\nlocal a = 1'))
    assert.matches("did you mean unused_local%?", findings[1].message)
  end)


  it("fails for errors, and for warnings only when it is strict", function()
    project:write("providers/acme.lua", provider("local a = 1"))
    local code, out, err = project:run { "check" }
    assert.equal(0, code)
    assert.equal("providers/acme.lua:1: warning: the local a is never used: remove it, or call it _a (unused_local)\n",
      err)
    assert.same({ file = "providers/acme.lua", line = 1, rule = "unused_local", severity = "warning",
      message = "the local a is never used: remove it, or call it _a" }, json.decode(out).findings[1])
    code, out = project:run { "check", "--strict" }
    assert.equal(1, code)
    assert.equal("", out)
    project:write("providers/acme.lua", provider("local _ = undefined"))
    code, out, err = project:run { "check" }
    assert.equal(1, code)
    assert.equal("", out)
    assert.matches("^providers/acme%.lua:1: undefined is not declared[^\n]* %(undeclared_global%)\n$", err)
  end)


  it("reviews the others when one does not load", function()
    project:write("providers/bad.lua", "return {\n  +\n}")
    local findings = assert_finds({ "providers/bad.lua:2 load error", "providers/acme.lua:1 undeclared_global error" },
      provider("local _ = undefined"))
    assert.matches("unexpected symbol near '%+'", findings[1].message)
  end)


  describe("takes any file", function()
    local function assert_one_fault(pattern)
      local code, out, err = project:run { "check" }
      assert.equal(1, code)
      assert.equal("", out)
      assert.matches(pattern, err)
    end


    it("with CRLF, with a mark of the byte order, with bytes that are no UTF-8", function()
      assert_finds({ "providers/acme.lua:2 undeclared_global error" },
        "\xEF\xBB\xBF" .. provider("local _ = 1\nlocal _ = undefined"):gsub("\n", "\r\n") .. "")
      assert_clean(provider("local _ = '\xff\xfe' -- \xff\0\1"))
      local _, err = assert_finds({ "providers/acme.lua:1 secret_in_source error" },
        provider("local password = '\xff\xff\xff\xff\xff\xffx'; local _ = password"))
      assert.is_nil(err:find("\xff", 1, true))
    end)


    it("that is none, is a link to nowhere, or is too large", function()
      os.execute(("mkdir -p '%s/providers/folder.lua'"):format(project.folder))
      assert_one_fault("providers/folder%.lua: could not be read")
      os.execute(("rmdir '%s/providers/folder.lua'; ln -s nowhere '%s/providers/link.lua'"):format(project.folder,
        project.folder))
      assert_one_fault("providers/link%.lua: could not be read")
      os.execute(("rm '%s/providers/link.lua'; truncate -s 100M '%s/providers/huge.lua'"):format(project.folder,
        project.folder))
      assert_one_fault("providers/huge%.lua: could not be read: .*larger than")
    end)


    it("that does not load, and says where", function()
      project:write("providers/acme.lua", "#!/usr/bin/lua\nreturn {}")
      assert_one_fault("providers/acme%.lua:1: ")
      project:write("providers/acme.lua", "return {\n\0\n}")
      assert_one_fault("providers/acme%.lua:2: ")
      project:write("providers/acme.lua", "")
      assert_one_fault("providers/acme%.lua: must return a table")
    end)


    it("of a megabyte, in bounded time and space", function()
      local line = ("local _ = undefined -- %s\n"):format(("x"):rep(1000))
      local count = (1024 * 1024 - 2000) // #line
      project:write("providers/acme.lua", "local function _f()\ndo " .. line:rep(180, "end do ") .. "end end\n"
        .. ("-- %s\n"):format(("x"):rep(1000)):rep(count - 200) .. provider())
      local places = findings_of()
      assert.equal(180, #places)
      assert.equal("providers/acme.lua:181 undeclared_global error", places[180])
    end)


    it("whose table raises when it is looked at", function()
      project:write("providers/acme.lua", [[
return { operations = { track = setmetatable({ run = function() end }, {
  __index = function(_, key) if key == "input" then error("not " .. key) end end,
}) } }]])
      assert_one_fault("providers/acme%.lua:2: not input %(while the provider was checked%)")
    end)


    it("also when a rule fails, which is said", function()
      local rules = review.rules()
      rules[#rules + 1] = { name = "faulty", kinds = { config = true }, review = function() error("a bug") end }
      finally(function() rules[#rules] = nil end)
      local found = review.run({ config_path = "config.lua", config_text = "return {}", files = {}, scripts = {} }, nil)
      assert.equal(1, #found)
      assert.equal("error", found[1].severity)
      assert.matches("could not be reviewed: .*a bug", found[1].message)
    end)


    it("also when a rule does not come to an end, which is said", function()
      local rules, budget = review.rules(), review.BUDGET_MS
      rules[#rules + 1] = { name = "endless", kinds = { config = true }, review = function() while true do end end }
      review.BUDGET_MS = 50
      finally(function() rules[#rules], review.BUDGET_MS = nil, budget end)
      local found = review.run({ config_path = "config.lua", config_text = "return {}", files = {}, scripts = {} }, nil)
      assert.equal("warning", found[1].severity)
      assert.equal("could not be reviewed: it takes too long", found[1].message)
    end)


    it("of many misspelt names and many locals, in bounded time", function()
      local lines = {}
      for i = 1, 5000 do
        lines[i] = ("do local name%d = nome%d end"):format(i, i)
      end
      project:write("providers/acme.lua", ("local function _f()\n%s\nend\n%s"):format(table.concat(lines, "\n"),
        provider()))
      local started = time.monotonic()
      assert.equal(201, #findings_of())
      assert.is_true(time.monotonic() - started < 9)
    end)


    it("with any number of faults, and shows some", function()
      project:write("providers/acme.lua", provider("local function _f()\n" .. ("_ = undefined\n"):rep(500) .. "end"))
      local places, findings = findings_of()
      assert.equal(201, #places)
      assert.equal("800 more findings are not shown", findings[201].message)
    end)


    it("of more parts than it looks at, and says so", function()
      local most = parser.MAX_NODES
      parser.MAX_NODES = 1000
      finally(function() parser.MAX_NODES = most end)
      local text = "return {\n" .. ("1,"):rep(1100) .. "}"
      local found = review.run({ config_path = "config.lua", config_text = text, files = {}, scripts = {} }, nil)
      assert.equal("warning", found[1].severity)
      assert.equal("could not be reviewed: line 2: more than 1000 parts", found[1].message)
    end)
  end)
end)
