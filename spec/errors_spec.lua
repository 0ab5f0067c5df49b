local errors = require "tide.errors"
local fail = require "tide.fail"
local json = require "tide.json"
local secrets = require "tide.state.secrets"

local seed = tonumber(os.getenv("SEED")) or os.time()


-- A generator of its own, so that a printed seed gives the same values anywhere.
local function random_from(start)
  local state = start
  return function(most)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % most + 1
  end
end


local function random_bytes(random, length)
  local bytes = {}
  for i = 1, length do
    bytes[i] = string.char(random(256) - 1)
  end
  return table.concat(bytes)
end


describe("errors", function()
  local STATUSES = {
    invalid_input = 400, unauthorized = 401, forbidden = 403, no_such_operation = 404,
    not_found = 404,
    conflict = 409, outcome_unknown = 409, idempotency_mismatch = 422, precondition_failed = 412,
    method_not_allowed = 405,
    unsupported_media_type = 415, internal = 500, payload_too_large = 413, rejected = 422,
    rate_limited = 429,
    circuit_open = 503, disabled = 503, not_loaded = 503, overloaded = 503, unavailable = 503,
    not_configured = 503,
    upstream_auth = 502, upstream_error = 502, network_error = 502, timeout = 504,
    script_error = 500,
    script_timeout = 500, out_of_memory = 500,
  }

  it("gives every code its HTTP status", function()
    for code, status in pairs(STATUSES) do
      assert.equal(status, errors.problem(errors.new(code, "x")).status, code)
    end
  end)

  it("knows no code besides those of the contract and the task's own", function()
    for code in pairs(errors.codes) do
      assert.is_true(STATUSES[code] ~= nil or code == "cancelled", code)
    end
  end)

  it("lets only network errors, time-outs and upstream errors count against the breaker", function()
    local counted = {}
    for code, entry in pairs(errors.codes) do
      if entry.breaker then
        counted[#counted + 1] = code
      end
    end
    table.sort(counted)
    assert.same({ "network_error", "timeout", "upstream_error" }, counted)
  end)

  it("turns into text as code and message", function()
    assert.equal("not_found: no parcel 7", tostring(errors.new("not_found", "no parcel 7")))
  end)

  it("uses the title where no message is given", function()
    assert.equal("Timed out", errors.new("timeout").message)
  end)

  it("keeps the fields it is given and does not change the caller's table", function()
    local fields = { retry_after = 2, code = "timeout" }
    local err = errors.new("rate_limited", "slow down", fields)
    assert.equal(2, err.retry_after)
    assert.equal("rate_limited", err.code)
    assert.equal("timeout", fields.code)
  end)

  it("is told from every other value", function()
    assert.is_true(errors.is(errors.new("internal")))
    for _, value in ipairs({ {}, "x", 7, true, { code = "internal", message = "x" },
      setmetatable({}, { __metatable = "tide.error" }) }) do
      assert.is_false(errors.is(value))
    end
    assert.is_false(errors.is(nil))
  end)

  it("does not show its metatable, so that a script cannot change what all errors share", function()
    local err = errors.new("internal")
    assert.equal("string", type(getmetatable(err)))
    assert.has_error(function() setmetatable(err, {}) end)
  end)

  it("refuses a code that does not exist at the caller's line", function()
    local ok, err = pcall(function() errors.new("not_there") end)
    assert.is_false(ok)
    assert.truthy(err:find("errors_spec.lua", 1, true))
    assert.truthy(err:find("not_there", 1, true))
  end)

  describe("from any raised value", function()
    it("keeps an error as it is, with the traceback added", function()
      local err = errors.new("not_found")
      assert.equal(err, errors.from(err, "traceback"))
      assert.equal("traceback", err.traceback)
    end)

    it("makes a script_error of strings, numbers, nil, tables and functions", function()
      local cyclic = {}
      cyclic.self = cyclic
      for _, value in ipairs({ "x.lua:1: boom", 42, true, {}, cyclic, print,
        { message = "m", code = "c" } }) do
        local err = errors.from(value, "tb")
        assert.equal("script_error", err.code)
        assert.equal("string", type(err.message))
      end
      assert.equal("script_error", errors.from(nil).code)
      assert.equal("x.lua:1: boom", errors.from("x.lua:1: boom").message)
    end)

    it("never runs the __tostring of what was raised", function()
      local ran = false
      local value = setmetatable({}, { __tostring = function() ran = true; return "x" end,
        __index = function() ran = true end })
      errors.problem(value)
      assert.is_false(ran)
    end)

    it("bounds a message of two megabytes and takes out terminal escapes, NUL and broken UTF-8",
      function()
      local err = errors.from("\27[2J\0" .. ("\xFF"):rep(2 * 1024 * 1024))
      assert.is_true(#err.message <= 4096)
      assert.is_nil(err.message:find("[%z\27]"))
      assert.truthy(utf8.len(err.message))
    end)

    it("takes a budget's end for what it is", function()
      assert.equal("script_timeout", errors.from("stopped", "tb", "script_timeout").code)
      assert.equal("out_of_memory", errors.from(nil, "tb", "out_of_memory").code)
    end)

    it("takes an error whose code a script has overwritten for a script_error", function()
      local err = errors.new("not_found", "x")
      err.code = nil
      assert.equal("script_error", errors.from(err).code)
      err.code = { "?" }
      assert.equal("script_error", errors.problem(err).code)
    end)

    it("keeps a cancelled task's error apart", function()
      assert.equal("cancelled", errors.from({ code = "cancelled" }).code)
    end)
  end)

  describe("retries", function()
    it("follow the table for each code", function()
      for code in pairs(errors.codes) do
        local repeated = code == "network_error" or code == "timeout" or code == "upstream_error"
        assert.equal(repeated, errors.may_retry(errors.new(code), true), code)
        assert.is_false(errors.may_retry(errors.new(code), false), code)
      end
    end)

    it("repeat what was never sent, whatever the operation", function()
      assert.is_true(errors.may_retry(errors.new("network_error", "x", { sent = false }), false))
    end)

    it("repeat a rate limit of the upstream, and not ours", function()
      assert.is_true(errors.may_retry(errors.new("rate_limited", "x", { status = 429 }), false))
      assert.is_false(errors.may_retry(errors.new("rate_limited", "x"), true))
    end)

    it("stop where a script says so", function()
      assert.is_false(errors.may_retry(errors.new("timeout", "x", { retryable = false }), true))
    end)
  end)

  describe("as a problem document", function()
    it("says retryable only where repeating does no harm", function()
      assert.is_true(errors.problem(errors.new("overloaded")).retryable)
      assert.is_false(errors.problem(errors.new("timeout")).retryable)
      assert.is_false(errors.problem(errors.new("timeout"), { repeatable = false }).retryable)
      assert.is_true(errors.problem(errors.new("timeout"), { repeatable = true }).retryable)
      assert.is_false(errors.problem(errors.new("invalid_input")).retryable)
      assert.is_false(errors.problem(errors.new("conflict")).retryable)
      assert.is_true(errors.problem(errors.new("conflict", "running",
        { retry_after = 1 })).retryable)
    end)

    it("rounds Retry-After up and has one where the table asks for it", function()
      assert.equal(3,
        errors.problem(errors.new("rate_limited", "x", { retry_after = 2.1 })).retry_after)
      for _, code in ipairs({ "rate_limited", "circuit_open", "disabled", "not_loaded",
        "overloaded", "unavailable" }) do
        assert.equal("integer", math.type(errors.problem(errors.new(code)).retry_after), code)
      end
      assert.is_nil(errors.problem(errors.new("timeout")).retry_after)
    end)

    it("points at the member that is wrong, however the script wrote it", function()
      for _, pointer in ipairs({ "#/business_number", "/business_number", "business_number" }) do
        local problem = errors.problem(errors.new("invalid_input", "the check digit is wrong",
          { pointer = pointer }))
        assert.same({ { detail = "the check digit is wrong", pointer = "#/business_number" } },
          problem.errors)
      end
    end)

    it("lists the faults that a schema found, at most 100", function()
      local faults = {}
      for i = 1, 500 do
        faults[i] = { detail = "d" .. i, pointer = "#/" .. i }
      end
      local problem = errors.problem(errors.new("invalid_input", "x", { errors = faults }))
      assert.equal(100, #problem.errors)
      assert.same({ detail = "d1", pointer = "#/1" }, problem.errors[1])
    end)

    it("shows neither the upstream's answer nor the cause", function()
      local err = errors.new("upstream_error", "status 500", {
        status = 500, response = { body = "inner" }, cause = { "inner" }, traceback = "inner",
        where = "inner",
      })
      local text = json.encode(errors.problem(err))
      assert.is_nil(text:find("inner", 1, true))
      assert.equal(500, errors.problem(err).upstream_status)
    end)

    it("can be written as JSON whatever a script put on the error", function()
      local err = errors.new("rejected", "x", {
        status = 0 / 0, retry_after = math.huge, pointer = print,
        errors = { 1, { detail = print }, {} },
        trace_id = {}, integration = "\xFF", attempts = "many", policy = function() end,
      })
      assert.equal("string", type(json.encode(errors.problem(err))))
    end)

    it("property 36: names integration, operation and trace of any error, and what happened",
      function()
      local random = random_from(seed)
      for code in pairs(errors.codes) do
        local words = ("m%d"):format(random(100000))
        local err = errors.new(code, words, { integration = "acme", operation = "track" })
        local problem = errors.problem(err, { trace_id = "0af7651916cd43dd8448eb211c80319c",
          attempts = random(5) })
        local because = ("seed %d, code %s"):format(seed, code)
        assert.equal("acme", problem.integration, because)
        assert.equal("track", problem.operation, because)
        assert.equal("0af7651916cd43dd8448eb211c80319c", problem.trace_id, because)
        assert.equal("urn:tidegate:error:" .. code, problem.type, because)
        assert.equal(words, problem.detail, because)
        assert.equal("string", type(problem.title), because)
      end
    end)

    it("property 38: shows no secret, wherever in an error it stands", function()
      local random = random_from(seed)
      local value = "s3cr3t-" .. seed .. "-value"
      secrets.put("errors_spec", "key", value, "environment")
      finally(function() secrets.remove("errors_spec", "key") end)
      for _ = 1, 200 do
        local noise = random_bytes(random, random(40))
        local words = noise .. value .. noise
        local err = errors.new("upstream_error", words, {
          pointer = "#/" .. value, errors = { { detail = words, pointer = "#/a" } }, policy = value,
          response = { body = words, headers = { { "Authorization", "Bearer " .. value } } },
          cause = { words },
          integration = "acme", operation = value,
        })
        local text = json.encode(errors.problem(err, { trace_id = "t" .. value }))
        assert.is_nil(text:find(value, 1, true), "seed " .. seed)
      end
    end)

    it("property 38: shows no credential that only its form gives away", function()
      for _, words in ipairs({
        "GET https://user:hunter22@host/x failed", "Authorization: Bearer abcdefghij",
        "token=abcdefghij refused",
        'answer {"password":"abcdefghij"}', "Basic dXNlcjpwYXNzd29yZA==",
      }) do
        local detail = errors.problem(errors.new("network_error", words)).detail
        assert.is_nil(detail:find("hunter22", 1, true) or detail:find("abcdefghij", 1, true)
          or detail:find("dXNlcjpwYXNzd29yZA", 1, true), detail)
      end
    end)
  end)
end)


describe("fail", function()
  it("raises an error with the fields and the place", function()
    local ok, err = pcall(function() fail("not_found", "no parcel", { pointer = "#/parcel" }) end)
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal("not_found", err.code)
    assert.equal("#/parcel", err.pointer)
    assert.truthy(err.where:find("errors_spec.lua:%d+$"))
  end)

  it("takes an unknown code, a message or fields of the wrong type for a mistake", function()
    for _, arguments in ipairs({ { "not_fond" }, { nil }, { "cancelled" }, { "not_found", {} },
      { "not_found", "x", 7 } }) do
      local ok, err = pcall(function() fail(arguments[1], arguments[2], arguments[3]) end)
      assert.is_false(ok)
      assert.equal("string", type(err))
      assert.truthy(err:find("errors_spec.lua", 1, true))
    end
  end)

  it("suggests the code that was meant", function()
    local _, err = pcall(function() fail("not_fond") end)
    assert.truthy(err:find("did you mean not_found?", 1, true))
  end)
end)
