local json = require "tide.json"
local columns = require "tide.columns"
local config_text = require "tide.settings.text"
local support = require "spec.support.service"

local SHOP <const> = [[
return {
  config = { base_url = "http://127.0.0.1:1", extra_config = { language = "ko", unit = { size = 1 } } },
  operations = {
    look = {
      input = { type = "object", properties = { id = { type = "string" }, count = { type = "integer" } } },
      run = function(ctx) return { retries = ctx.config.max_retries } end,
    },
  },
}
]]


describe("tidegate config", function()
  local project


  before_each(function()
    project = support.project { ["providers/shop.lua"] = SHOP }
  end)


  after_each(function()
    project:close()
  end)


  local function run(...)
    return project:run({ "config", ... })
  end


  local function data(...)
    local code, out, err = run(...)
    assert.equal(0, code, err)
    assert.equal("", err)
    return json.decode(out).data
  end


  local function refused(expected_code, words, ...)
    local code, out, err = run(...)
    assert.equal(expected_code, code)
    assert.equal("", out)
    assert.is_truthy(err:find(words, 1, true), err)
  end


  -- The same, whether a service runs or not.
  local function behaves()
    local set = data("set", "shop", "max_retries=7", "cache_ttl_seconds:=5", "is_enabled=yes", "slow_call_ms=1.5",
      "extra_config.language=12", "extra_config.more:=[1,2]")
    assert.same({ 7, 5, true, 1.5 }, { set.values.max_retries, set.values.cache_ttl_seconds, set.values.is_enabled,
      set.values.slow_call_ms })
    assert.same({ language = "12", more = { 1, 2 }, unit = { size = 1 } }, set.values.extra_config)
    assert.same({ key = "max_retries", value = 7, source = "run-time" }, data("get", "shop", "max_retries"))
    assert.same({ key = "extra_config.unit.size", value = 1, source = "provider" },
      data("get", "shop", "extra_config.unit.size"))
    assert.same({ key = "max_concurrency", value = json.null, source = json.null },
      data("get", "shop", "max_concurrency"))
    assert.same({ key = "is_mock_mode", value = false, source = "built-in" }, data("get", "shop", "is_mock_mode"))
    data("unset", "shop", "max_retries", "extra_config.language")
    assert.equal(3, data("get", "shop", "max_retries").value)
    assert.equal("ko", data("get", "shop", "extra_config.language").value)
    local history = data("history", "shop")
    assert.same({ 2, 1 }, { history[1].version, history[2].version })
    assert.same({ max_retries = json.null, extra_config = { language = json.null } }, history[1].patch)
    assert.equal(1, #data("history", "shop", "--limit", "1"))
    assert.equal(7, data("rollback", "shop", "1").values.max_retries)
    assert.equal(3, data("get", "shop").version)
    refused(1, "expected a whole number from 0 to 100, got text (#/max_retries)", "set", "shop", "max_retries=x")
    refused(1, "#/max_retires: unknown key", "set", "shop", "max_retires=1", "slow_call_ms=fast")
    refused(1, "there is no key max_retires (did you mean max_retries?)", "get", "shop", "max_retires")
    refused(1, "shop has no version 77", "rollback", "shop", "77")
    refused(1, "there is no integration", "get", "nobody")
    assert.equal(3, data("get", "shop").version)
  end


  it("shows and changes what is set, in the store when no service runs", function()
    behaves()
  end)


  it("does so through the service where one runs, which follows at once", function()
    local service = project:serve { workers = 2 }
    behaves()
    local _, body = service:call("shop", "look")
    assert.equal(7, body.data.retries)
    assert.equal(0, service:stop())
    assert.equal(3, data("get", "shop").version)
  end)


  it("takes what was set without a service into one that starts, and into calls without one", function()
    data("set", "shop", "max_retries=9")
    local code, out, err = project:run { "call", "shop", "look" }
    assert.equal(0, code, err)
    assert.equal(9, json.decode(out).data.retries)
    local service = project:serve()
    local _, body = service:call("shop", "look")
    assert.equal(9, body.data.retries)
  end)


  it("explains what would become of a call", function()
    refused(1, "no service runs", "explain", "shop", "look")
    project:serve()
    local explanation = data("explain", "shop", "look", "id=5", "count=3")
    assert.equal("pass", explanation.verdict)
    assert.same({ id = "5", count = 3 }, explanation.policies[2].state.input)
    assert.equal("provider", explanation.settings.extra_config.sources.language)
    refused(1, "has no operation", "explain", "shop", "nothing")
    data("set", "shop", "is_enabled=false")
    explanation = data("explain", "shop", "look")
    assert.same({ "refuse", "enabled" }, { explanation.verdict, explanation.policy })
  end)


  it("says how it is used when it is used wrongly", function()
    refused(2, "get, set, unset, history, rollback or explain?")
    refused(2, "get, set, unset, history, rollback or explain?", "put")
    refused(2, "the name of an integration is needed", "get")
    refused(2, "the name of an integration is needed", "get", "../shop")
    refused(2, "key=value is needed", "set", "shop")
    refused(2, "is neither key=value", "set", "shop", "max_retries")
    refused(2, "invalid JSON", "set", "shop", "max_retries:=seven")
    refused(2, "a key is needed", "unset", "shop")
    refused(2, "the number of a version", "rollback", "shop", "first")
    refused(2, "the name of an operation", "explain", "shop")
  end)


  it("changes nothing in the store of a service that starts or stops meanwhile", function()
    project:serve()
    os.remove(project.folder .. "/var/tidegate.sock")
    local code, _, err = run("set", "shop", "max_retries=1")
    assert.equal(1, code)
    assert.matches("pid %d+", err)
  end)
end)


describe("what tidegate config shows at a terminal", function()
  it("is aligned, whatever the script", function()
    assert.equal("a    bb\n값   c\nddd  e\n", columns.text { { "a", "bb" }, { "값", "c" }, { "ddd", "e" } })
  end)


  it("has a line for each value, members of extra_config too, with where it comes from", function()
    local text = config_text.values {
      values = { max_retries = 3, redact_fields = json.array(), extra_config = { a = 1, b = { c = "x\n\27[2Jy" } } },
      sources = { max_retries = "built-in", redact_fields = "built-in", extra_config = "run-time",
        ["extra_config.a"] = "provider", ["extra_config.b.c"] = "run-time" },
    }
    local lines = {}
    for line in text:gmatch("[^\n]+") do
      lines[#lines + 1] = line:gsub("%s+", " ")
    end
    assert.equal("KEY VALUE FROM", lines[1])
    assert.equal("extra_config.a 1 provider", lines[2])
    assert.matches("^extra_config%.b%.c .* run%-time$", lines[3])
    assert.is_nil(text:find("\27", 1, true))
    assert.equal("max_retries 3 built-in", lines[4])
    assert.equal("redact_fields [] built-in", lines[5])
  end)


  it("says so where nothing was changed", function()
    assert.equal("nothing was changed while the service ran\n", config_text.history {})
  end)


  it("keeps sources in a column of their own where one value is long", function()
    local text = config_text.values {
      values = { circuit_breaker_failure_threshold = 5, name = "서울", webhook_retry_seconds = ("9"):rep(60) },
      sources = { circuit_breaker_failure_threshold = "integration", name = "provider", webhook_retry_seconds = "env" },
    }
    local lines = {}
    for line in text:gmatch("[^\n]+") do
      lines[#lines + 1] = line
    end
    assert.equal(80, #lines[2])
    assert.equal(lines[1]:find("FROM", 1, true), lines[2]:find("integration", 1, true))
    assert.equal("name" .. (" "):rep(31) .. "서울" .. (" "):rep(30) .. "provider", lines[3])
    assert.matches("9  env$", lines[4])
  end)


  it("has a line for each policy of a call, and first what becomes of it", function()
    local text = config_text.explanation {
      integration = "shop", operation = "look", verdict = "refuse", policy = "limit", why = "no token is free",
      policies = { { policy = "enabled", verdict = "pass" },
        { policy = "limit", verdict = "refuse", why = "no token is free", state = { minute = 0 } } },
      settings = { max_retries = { value = 3, source = "defaults" } },
    }
    assert.matches("^shop%.look would be refused by limit: no token is free\n", text)
    assert.matches("\nlimit +refuse +no token is free; minute 0\n", text)
    assert.matches("\nmax_retries +3 +defaults\n", text)
  end)


  it("goes on below where a policy has much to say, and fits a terminal of 80 columns", function()
    local text = config_text.explanation {
      integration = "shop", operation = "look", verdict = "pass", settings = {},
      policies = { { policy = "breaker", verdict = "pass", state = { calls = 0, consecutive_failures = 0, failures = 0,
        mode = "auto", opened_total = 0, probes_out = 0, refused_total = 0, slow = 0, state = "closed" } },
        { policy = "concurrency", verdict = "pass", why = "max_concurrency is not set" } },
    }
    local words = {}
    for line in text:gmatch("[^\n]+") do
      assert.is_true(#line <= 80, line)
      words[#words + 1] = line:match("^ +(.*)$")
    end
    assert.matches("\nbreaker +pass +calls 0, consecutive_failures 0, failures 0, mode auto,\n +opened_total 0, ", text)
    assert.matches("state closed$", table.concat(words, " "))
  end)


  it("has no more digits than somebody reads", function()
    local text = config_text.explanation {
      integration = "shop", operation = "look", verdict = "pass", settings = {},
      policies = { { policy = "limit", verdict = "pass",
        state = { hour = 997.0398105583333, minute = 58.0, pause_seconds = 0.0049, mode = "auto" } } },
    }
    assert.matches("\nlimit +pass +hour 997%.04, minute 58, mode auto, pause_seconds 0\n", text)
  end)
end)
