local t = require "tide.test"
local call = require "tide.call"
local cells = require "tide.cells"
local json = require "tide.json"

local ACME = [[
return {
  auth = { scheme = "bearer", secret = "api_key" },
  config = { base_url = "https://api.acme.example", max_retries = 0 },
  operations = {
    look = {
      cache = true,
      input = { type = "object", required = { "id" }, properties = { id = { type = "string" } } },
      run = function(ctx) return ctx.http.get("/thing").json end,
      mock = function() return {} end,
    },
  },
}
]]


local function acme(config, secrets)
  local it = t.integration("acme", { source = ACME, config = config,
    secrets = secrets or { api_key = "key-0123456789" } })
  it.upstream("GET /thing", { json = {} })
  return it
end


local function explain(it, input, options)
  local explanation = t.run(call.explain, it.generation, "acme", "look", input or { id = "a" }, options or {})
  assert.is_truthy(json.encode(explanation))
  return explanation
end


local function verdict(it, ...)
  local explanation = explain(it, ...)
  return explanation.verdict, explanation.policy
end


describe("explain", function()
  it("names the policies in order, and each value with where it comes from", function()
    local explanation = explain(acme { timeout_seconds = 7 })
    local names = {}
    for index, step in ipairs(explanation.policies) do
      names[index] = step.policy
    end
    assert.same({ "enabled", "validate", "cache", "breaker", "concurrency", "limit", "retry", "run" }, names)
    assert.equal(7, explanation.settings.timeout_seconds.value)
    assert.equal("integration", explanation.settings.timeout_seconds.source)
    assert.equal("provider", explanation.settings.max_retries.source)
    assert.equal("pass", explanation.verdict)
    assert.is_nil(json.encode(explanation):find("key%-0123456789"))
  end)

  it("makes no call and takes no token", function()
    local it = acme { rate_limit_calls_per_minute = 1 }
    for _ = 1, 5 do
      explain(it)
    end
    assert.equal(0, #it.requests)
    assert.equal(0, #it.logs())
    it.call("look", { id = "a" })
  end)

  it("says that the call would be refused, by whom and why", function()
    local it = acme { is_enabled = false }
    assert.same({ "refuse", "enabled" }, { verdict(it) })
    it = acme()
    assert.same({ "refuse", "validate" }, { verdict(it, { id = 5 }) })
    it = acme { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 0 }
    it.call("look", { id = "a" })
    assert.same({ "refuse", "limit" }, { verdict(it, { id = "b" }) })
    it = acme()
    cells.of(it.generation.integrations.acme, false).breaker:set_mode("open")
    assert.same({ "refuse", "breaker" }, { verdict(it) })
    it = acme(nil, {})
    assert.same({ "refuse", "run" }, { verdict(it) })
    assert.same({ "pass" }, { verdict(it, nil, { mock = true }) })
  end)

  it("says that it would wait, and for how long", function()
    local it = acme { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 60, total_timeout_seconds = 90 }
    it.call("look", { id = "a" })
    local explanation = explain(it, { id = "b" })
    assert.same({ "wait", "limit" }, { explanation.verdict, explanation.policy })
    assert.is_truthy(explanation.why:find("about %d+%.%d+ s"))
  end)

  it("says that the wait would be longer than the call has time for", function()
    local it = acme { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 3600, total_timeout_seconds = 20 }
    it.call("look", { id = "a" })
    local explanation = explain(it, { id = "b" })
    assert.same({ "refuse", "limit" }, { explanation.verdict, explanation.policy })
    assert.matches("longer than the time that the call has %(total_timeout_seconds%)", explanation.why)
  end)

  it("says that no request passes a limit of nothing", function()
    local explanation = explain(acme { rate_limit_calls_per_hour = 0 })
    assert.same({ "refuse", "limit" }, { explanation.verdict, explanation.policy })
    assert.equal("rate_limit_calls_per_hour is 0: no request passes", explanation.why)
  end)

  it("says what is given instead of a failure", function()
    local it = acme { cache_ttl_seconds = 10, cache_keep_seconds = 100, rate_limit_calls_per_minute = 1,
      rate_limit_max_wait_seconds = 0 }
    it.call("look", { id = "a" })
    t.advance(20)
    local explanation = explain(it)
    assert.same({ "refuse", "limit", "a stale answer" }, { explanation.verdict, explanation.policy,
      explanation.instead })
    assert.is_nil(explain(it, { id = "b" }).instead)
  end)

  it("says that all slots are taken, and whether the call may wait for one", function()
    local it = acme { max_concurrency = 1, rate_limit_queue = 0 }
    local slot <close> = cells.of(it.generation.integrations.acme, false).slots:enter(0)
    assert.is_truthy(slot)
    assert.same({ "refuse", "concurrency" }, { verdict(it) })
    local other = acme { max_concurrency = 1, rate_limit_max_wait_seconds = 0 }
    local second <close> = cells.of(other.generation.integrations.acme, false).slots:enter(0)
    assert.is_truthy(second)
    assert.same({ "refuse", "concurrency" }, { verdict(other) })
    local patient = acme { max_concurrency = 1 }
    local third <close> = cells.of(patient.generation.integrations.acme, false).slots:enter(0)
    assert.is_truthy(third)
    assert.same({ "wait", "concurrency" }, { verdict(patient) })
  end)

  it("says of each member of extra_config where it comes from", function()
    local it = acme { extra_config = { language = "en" } }
    local setting = explain(it).settings.extra_config
    assert.same({ language = "en" }, setting.value)
    assert.same({ language = "integration" }, setting.sources)
  end)

  it("says that it would be answered from the cache, fresh or stale, with the entry's age", function()
    local it = acme { cache_ttl_seconds = 10, cache_stale_seconds = 10 }
    it.call("look", { id = "a" })
    t.advance(5)
    local explanation = explain(it)
    assert.same({ "answer", "cache" }, { explanation.verdict, explanation.policy })
    assert.equal(5, explanation.policies[3].state.age_seconds)
    assert.equal('look:{"id":"a"}', explanation.policies[3].state.key)
    t.advance(10)
    assert.same({ "answer", "cache" }, { verdict(it) })
    t.advance(10)
    explanation = explain(it)
    assert.equal("pass", explanation.verdict)
    assert.is_truthy(explanation.policies[3].why:find("expired"))
  end)
end)
