local t = require "tide.test"
local errors = require "tide.errors"

local ACME = [[
return {
  config = {
    base_url = "https://api.acme.example", is_mock_mode = true, max_retries = 0, rate_limit_enabled = false,
    circuit_breaker_enabled = false,
  },
  operations = {
    get = { input = true, run = function(ctx) return ctx.http.get("/thing").json end,
      mock = function(ctx, input) return { mocked = input.id } end },
  },
}
]]


local function acme(config)
  return t.integration("acme", { source = ACME, config = config })
end


local function outcomes(it, calls)
  local counted = { ok = 0 }
  for index = 1, calls do
    local ok, err = pcall(it.call, "get", { id = index })
    local name = ok and "ok" or err.code
    assert.is_true(ok or errors.is(err), tostring(err))
    counted[name] = (counted[name] or 0) + 1
  end
  return counted
end


describe("mock mode", function()
  it("property 45: fails as often as mock_error_rate says, with the codes of mock_error_codes", function()
    local seed = os.time()
    math.randomseed(seed)
    for _, rate in ipairs({ 0, 0.1, 0.5, 1 }) do
      local codes = { "timeout", "network_error", "not_found" }
      local it = acme { mock_error_rate = rate, mock_error_codes = codes }
      local calls = 600
      local counted = outcomes(it, calls)
      local failed = calls - counted.ok
      local deviation = 5 * math.sqrt(calls * rate * (1 - rate))
      assert.is_true(math.abs(failed - calls * rate) <= deviation,
        string.format("seed %d: %d of %d failed at a rate of %g", seed, failed, calls, rate))
      local known = counted.ok
      for _, code in ipairs(codes) do
        known = known + (counted[code] or 0)
        assert.is_true(rate < 0.5 or counted[code] > failed / 6, "seed " .. seed .. ": " .. code)
      end
      assert.equal(calls, known)
      assert.equal(0, #it.requests)
    end
  end)

  it("retries a simulated failure as it would a real one", function()
    local it = acme { mock_error_rate = 1, max_retries = 2, mock_error_codes = { "rate_limited" } }
    local ok, err = pcall(it.call, "get", { id = 1 })
    assert.is_false(ok)
    assert.equal("rate_limited", err.code)
    assert.equal(3, err.attempts)
    assert.equal("MOCK", it.logs()[1].request_method)
    assert.equal("mock://acme/get", it.logs()[1].request_url)
  end)

  it("refuses a code that no third party can cause", function()
    assert.has_error(function() acme { mock_error_codes = { "script_error" } } end)
  end)
end)
