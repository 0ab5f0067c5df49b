local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"

local PATH <const> = "/api/v1/integrations/shop/config"

-- Answers what it finds in its configuration.
local SHOP <const> = [[
return {
  config = {
    base_url = "http://127.0.0.1:1", max_retries = 1, extra_config = { language = "ko", unit = { size = 1 } },
  },
  secrets = { "api_key" },
  operations = {
    look = {
      run = function(ctx)
        local config = ctx.config
        return { retries = config.max_retries, seconds = config.timeout_seconds, extra = config.extra_config }
      end,
    },
  },
}
]]


describe("the configuration of an integration over the API", function()
  local project, service


  local function serve(options)
    service = project:serve(options or { workers = 2 })
  end


  before_each(function()
    project = support.project {
      ["providers/shop.lua"] = SHOP, ["providers/broken.lua"] = "return 5",
      ["config.lua"] = "return { defaults = { timeout_seconds = 9 }, integrations = { shop = { slow_call_ms = 50 } } }",
    }
  end)


  after_each(function()
    project:close()
  end)


  local function get(path)
    local status, body, headers = service:request("GET", path or PATH)
    assert.equal(200, status, body.detail)
    return body.data, headers
  end


  local function patch(changes, headers, path)
    local status, body, found = service:request("PATCH", path or PATH, { json = changes, headers = headers })
    return status, body, found
  end


  local function changed(changes)
    local status, body = patch(changes)
    assert.equal(200, status, body.detail)
    return body.data
  end


  local function rollback(version)
    return service:request("POST", PATH .. "/rollback", { json = { version = version } })
  end


  local function history(query)
    local status, body = service:request("GET", PATH .. "/history" .. (query or ""))
    assert.equal(200, status, body.detail)
    return body.data, body.next_cursor
  end


  -- What the provider sees, on whichever worker.
  local function seen()
    local status, body = service:request("POST", "/api/v1/integrations/shop/look", { json = json.decode("{}"),
      fresh_connection = true })
    assert.equal(200, status, body.detail)
    return body.data
  end


  local function token(role, integrations)
    local _, made = service:request("POST", "/api/v1/tokens", { json = { name = role, role = role,
      integrations = integrations } })
    return made.data.token
  end


  it("tells each value and where it comes from, and its version as a tag", function()
    serve { environment = { TIDEGATE_SHOP_CACHE_TTL_SECONDS = "77", TIDEGATE_SHOP_API_KEY = "a-secret-of-the-shop" } }
    changed { rate_limit_burst = 3 }
    local data, headers = get()
    assert.same({ 1, "provider" }, { data.values.max_retries, data.sources.max_retries })
    assert.same({ 9, "defaults" }, { data.values.timeout_seconds, data.sources.timeout_seconds })
    assert.same({ 50, "integration" }, { data.values.slow_call_ms, data.sources.slow_call_ms })
    assert.same({ 77, "environment" }, { data.values.cache_ttl_seconds, data.sources.cache_ttl_seconds })
    assert.same({ 3, "run-time" }, { data.values.rate_limit_burst, data.sources.rate_limit_burst })
    assert.same({ true, "built-in" }, { data.values.cache_enabled, data.sources.cache_enabled })
    assert.equal("provider", data.sources["extra_config.language"])
    assert.is_true(json.is_array(data.values.redact_fields))
    assert.equal(1, data.version)
    assert.equal('"1"', headers.etag)
    assert.is_nil(json.encode(data):find("a-secret-of-the-shop", 1, true))
  end)


  it("takes a change into effect on every worker before it answers, and again after a restart", function()
    serve()
    for round = 1, 5 do
      assert.equal(round, changed({ max_retries = round, timeout_seconds = round + 0.5 }).version)
      for _ = 1, 8 do
        assert.same({ round, round + 0.5 }, { seen().retries, seen().seconds })
      end
    end
    local before = get()
    assert.equal(0, service:stop())
    serve()
    assert.same(before, get())
    assert.equal(5, seen().retries)
  end)


  it("takes the value away with null, and the layer below shows again", function()
    serve()
    changed { max_retries = 7, extra_config = { language = "en", more = { 1, 2 } } }
    assert.same({ language = "en", more = { 1, 2 }, unit = { size = 1 } }, seen().extra)
    local data = changed { max_retries = json.null, extra_config = { language = json.null, unit = { size = 2 } } }
    assert.same({ language = "ko", more = { 1, 2 }, unit = { size = 2 } }, seen().extra)
    assert.equal(1, seen().retries)
    local sources = data.sources
    assert.same({ "provider", "provider", "run-time", "run-time" }, { sources.max_retries,
      sources["extra_config.language"], sources["extra_config.more"], sources["extra_config.unit.size"] })
    data = changed { extra_config = json.null }
    assert.same({ language = "ko", unit = { size = 1 } }, seen().extra)
    assert.equal("provider", data.sources.extra_config)
  end)


  it("takes numbers as JSON writes them, and what JSON Merge Patch calls itself", function()
    serve()
    local status, body = service:request("PATCH", PATH, { body = '{"max_retries": 4.0, "cache_ttl_seconds": 1e2}',
      headers = { ["Content-Type"] = "application/merge-patch+json" } })
    assert.equal(200, status, body.detail)
    assert.same({ 4, "integer", 100 }, { body.data.values.max_retries, math.type(body.data.values.max_retries),
      body.data.values.cache_ttl_seconds })
    status = service:request("PATCH", PATH, { body = "{}", headers = { ["Content-Type"] = "text/plain" } })
    assert.equal(415, status)
  end)


  it("writes nothing when a change changes nothing", function()
    serve()
    changed { max_retries = 7 }
    for _, same in ipairs { '{"max_retries":7}', '{"max_retries":7.0}', "{}", '{"slow_call_ms":null}',
      '{"extra_config":{}}', '{"extra_config":{"language":null}}' } do
      local status, body = service:request("PATCH", PATH, { body = same })
      assert.same({ 200, 1 }, { status, body.data and body.data.version or body.detail })
    end
    assert.equal(1, #history())
    assert.equal(0, service:stop())
    assert.equal(1, project:query("SELECT count(*) AS n FROM audit_log WHERE action = 'config.change'")[1].n)
  end)


  it("refuses a wrong change as a whole, with a pointer to each fault", function()
    serve()
    local status, problem = patch { max_retries = "x", rate_limit_calls_per_minute = -1, max_retires = 1,
      provider = "x", cache_enabled = true, base_url = "ftp://x", redact_fields = { 5 } }
    assert.equal(400, status)
    assert.equal("invalid_input", problem.code)
    local found = {}
    for _, fault in ipairs(problem.errors) do
      found[fault.pointer] = fault.detail
    end
    assert.same({
      ["#/max_retries"] = "expected a whole number from 0 to 100, got text",
      ["#/rate_limit_calls_per_minute"] = "expected a whole number from 0 to 100000000, got -1",
      ["#/max_retires"] = "unknown key (did you mean max_retries?)",
      ["#/provider"] = "it cannot be changed while the service runs: it belongs into config.lua",
      ["#/base_url"] = "a URL of scheme ftp cannot be used here",
      ["#/redact_fields"] = "item 1: expected text, got 5",
    }, found)
    assert.equal(0, get().version)
    for _, body in ipairs { "", "[]", "5", "null", '{"a":', "{}{}" } do
      status = service:request("PATCH", PATH, { body = body, headers = { ["Content-Type"] = "application/json" } })
      assert.equal(400, status, body)
    end
    assert.equal(0, get().version)
  end)


  it("refuses what would not be bounded: large, and nested deep", function()
    serve()
    local status, problem = patch { extra_config = { text = ("x"):rep(70000) } }
    assert.same({ 413, "payload_too_large" }, { status, problem.code })
    assert.equal(413, (patch { extra_config = { text = ("x"):rep(1024 * 1024) } }))
    for _, depth in ipairs { 40, 100, 10000 } do
      local body = '{"extra_config":' .. ('{"a":'):rep(depth) .. "1" .. ("}"):rep(depth) .. "}"
      status = service:request("PATCH", PATH, { body = body })
      assert.equal(400, status)
    end
    assert.equal(200, (patch { extra_config = { text = ("x"):rep(60000) } }))
    status = patch { mock_responses = { look = ("x"):rep(10000) } }
    assert.equal(413, status)
    assert.equal(1, get().version)
  end)


  it("stores no secret, and shows none", function()
    serve { environment = { TIDEGATE_SHOP_API_KEY = "a-secret-of-the-shop" } }
    local status, problem = patch { extra_config = { note = "this is a-secret-of-the-shop", other = 1 } }
    assert.equal(400, status)
    assert.equal("#/extra_config", problem.errors[1].pointer)
    assert.matches("secret set", problem.errors[1].detail)
    assert.is_nil(json.encode(problem):find("a-secret-of-the-shop", 1, true))
    local data = changed { extra_config = { password = "hunter2-hunter2" } }
    assert.equal("[redacted]", data.values.extra_config.password)
    status, problem = patch { extra_config = { password = "[redacted]" } }
    assert.same({ 400, "#/extra_config" }, { status, problem.errors and problem.errors[1].pointer })
    assert.equal("hunter2-hunter2", seen().extra.password)
    local shown = json.encode({ get(), history(), (select(2, service:request("GET", "/api/v1/audit"))) })
    assert.is_nil(shown:find("hunter2", 1, true))
    assert.is_nil(service:stdout():find("hunter2", 1, true))
  end)


  it("changes only the version that If-Match names", function()
    serve()
    changed { max_retries = 7 }
    for tag, expected in pairs { ['"0"'] = 412, ['"2"'] = 412, ["1"] = 412, ['W/"1"'] = 412, ['"x", "0"'] = 412 } do
      local status, problem = patch({ max_retries = 8 }, { ["If-Match"] = tag })
      assert.same({ expected, "precondition_failed" }, { status, problem.code })
    end
    assert.equal(200, (patch({ max_retries = 8 }, { ["If-Match"] = '"1"' })))
    assert.equal(200, (patch({ max_retries = 9 }, { ["If-Match"] = '"7", "2"' })))
    assert.equal(200, (patch({ max_retries = 10 }, { ["If-Match"] = "*" })))
    assert.equal(412, (service:request("POST", PATH .. "/rollback", { json = { version = 1 },
      headers = { ["If-Match"] = '"1"' } })))
    assert.equal(4, get().version)
  end)


  it("is read by viewers and changed by operators, keys of administrators by administrators", function()
    serve()
    changed { base_url = "http://127.0.0.1:2", max_retries = 2 }
    changed { max_retries = 3 }
    local viewer, operator = token("viewer"), token("operator")
    local function ask(method, path, as, body)
      local status, problem = service:request(method, path, { token = as, json = body })
      return status, problem.detail
    end
    assert.equal(200, (ask("GET", PATH, viewer)))
    assert.equal(403, (ask("GET", PATH, token("caller"))))
    assert.equal(403, (ask("PATCH", PATH, viewer, { max_retries = 1 })))
    assert.equal(403, (ask("GET", PATH .. "/history", viewer)))
    assert.equal(200, (ask("GET", PATH .. "/history", operator)))
    assert.equal(200, (ask("PATCH", PATH, operator, { max_retries = 4 })))
    for _, key in ipairs { "base_url", "extra_config", "allow_private_networks", "webhook_ip_allowlist", "log_bodies",
      "redact_fields" } do
      local status, detail = ask("PATCH", PATH, operator, { max_retries = 1, [key] = json.null })
      assert.equal(403, status)
      assert.matches("admin is needed to change " .. key, detail)
    end
    assert.equal(200, (ask("POST", PATH .. "/rollback", operator, { version = 2 })))
    local status, detail = ask("POST", PATH .. "/rollback", operator, { version = 0 })
    assert.equal(403, status)
    assert.matches("base_url", detail)
    assert.equal(403, (ask("GET", PATH, token("admin", { "other" }))))
    assert.equal(403, (ask("PATCH", PATH, token("admin", { "other" }), { max_retries = 1 })))
  end)


  it("keeps its history, newest first, and goes back to any version of it", function()
    serve()
    changed { max_retries = 7, extra_config = { a = 1, b = { c = 2 } } }
    changed { max_retries = json.null, timeout_seconds = 2.5, extra_config = { b = { c = 3, d = 4 } } }
    changed { slow_call_ms = 5 }
    local status, body = rollback(1)
    assert.equal(200, status, body.detail)
    assert.same({ 4, 7, "run-time", "defaults" }, { body.data.version, body.data.values.max_retries,
      body.data.sources.max_retries, body.data.sources.timeout_seconds })
    assert.same({ language = "ko", unit = { size = 1 }, a = 1, b = { c = 2 } }, seen().extra)
    local all = history()
    assert.same({ 4, 3, 2, 1 }, { all[1].version, all[2].version, all[3].version, all[4].version })
    assert.same({ max_retries = 7, timeout_seconds = json.null, slow_call_ms = json.null,
      extra_config = { b = { c = 2, d = json.null } } }, all[1].patch)
    assert.same({ max_retries = 7, extra_config = { a = 1, b = { c = 2 } } }, all[1].settings)
    assert.equal("admin", all[1].actor)
    assert.equal(32, #all[1].trace_id)
    assert.is_truthy(time.parse(all[1].created_at))
    local page, cursor = history("?limit=3")
    assert.same({ 3, "2" }, { #page, cursor })
    page, cursor = history("?limit=3&cursor=" .. cursor)
    assert.same({ 1, 1, json.null }, { #page, page[1].version, cursor })
    assert.equal(200, (rollback(0)))
    assert.same({ 5, "provider" }, { get().version, get().sources.max_retries })
    assert.same({ 404, 400, 400, 400 }, { (rollback(99)), (rollback("1")), (rollback(-1)), (rollback(1.5)) })
    assert.equal(400, (service:request("GET", PATH .. "/history?cursor=x")))
  end)


  it("is noted in the audit log, from what to what", function()
    serve()
    changed { max_retries = 7 }
    changed { max_retries = json.null, extra_config = { api_key = "not-to-be-shown" } }
    rollback(1)
    assert.equal(0, service:stop())
    local rows = project:query("SELECT action, actor, integration_name, old_value, new_value, trace_id FROM audit_log "
      .. "WHERE action LIKE 'config.%' ORDER BY id")
    assert.same({ "config.change", "config.change", "config.rollback" }, { rows[1].action, rows[2].action,
      rows[3].action })
    assert.same({ max_retries = json.null }, json.decode(rows[1].old_value))
    assert.same({ max_retries = 7 }, json.decode(rows[1].new_value))
    assert.same({ max_retries = json.null, extra_config = { api_key = "[redacted]" } }, json.decode(rows[2].new_value))
    assert.matches('"keys":%["extra_config","max_retries"%]', service:stdout())
    assert.same({ "admin", "shop", 32 }, { rows[3].actor, rows[3].integration_name, #rows[3].trace_id })
  end)


  it("can be changed of an integration that did not load, and of no other", function()
    serve()
    local status, body = patch({ max_retries = 7 }, nil, "/api/v1/integrations/broken/config")
    assert.equal(200, status, body.detail)
    assert.same({ 7, "run-time" }, { body.data.values.max_retries, body.data.sources.max_retries })
    for _, method in ipairs { "GET", "PATCH" } do
      assert.equal(404, (service:request(method, "/api/v1/integrations/nobody/config", { json = method == "PATCH"
        and { max_retries = 7 } or nil })))
    end
    project:write("providers/broken.lua", SHOP)
    support.wait("the provider to load", function()
      local code, answer = service:call("broken", "look")
      return code == 200 and answer.data.retries == 7
    end)
  end)


  it("writes each column, null where nothing is overridden; what has no column is in settings", function()
    serve()
    changed { max_retries = 7, cache_enabled = false, base_url = "http://127.0.0.1:3", timeout_seconds = 2,
      circuit_breaker_timeout_seconds = 1.5, retry_backoff_factor = 1.5, slow_call_ms = 9, extra_config = { a = 1 },
      webhook_retry_seconds = { 1, 2 } }
    assert.equal(0, service:stop())
    local row = project:query("SELECT * FROM integration_configs")[1]
    assert.same({ 7, 0, "http://127.0.0.1:3", 2, 1.5 }, { row.max_retries, row.cache_enabled, row.base_url,
      row.timeout_seconds, row.retry_backoff_factor })
    assert.same({ a = 1 }, json.decode(row.extra_config))
    -- A whole number is expected of that column.
    assert.same({ circuit_breaker_timeout_seconds = 1.5, slow_call_ms = 9, webhook_retry_seconds = { 1, 2 } },
      json.decode(row.settings))
    for _, name in ipairs { "is_enabled", "is_mock_mode", "rate_limit_enabled", "cache_ttl_seconds",
      "rate_limit_calls_per_minute", "circuit_breaker_timeout_seconds", "api_key_encrypted" } do
      assert.is_nil(row[name])
    end
    serve()
    local values = get().values
    assert.same({ 7, false, 1.5, 1.5, 9, { 1, 2 } }, { values.max_retries, values.cache_enabled,
      values.circuit_breaker_timeout_seconds, values.retry_backoff_factor, values.slow_call_ms,
      values.webhook_retry_seconds })
  end)


  it("leaves out what is stored and not valid, says so, and overwrites nothing", function()
    serve()
    changed { max_retries = 7 }
    assert.equal(0, service:stop())
    project:write("break.lua", [[
      local store = require "tide.store"
      assert(store.open("sqlite:var/tidegate.db"))
      assert(store.execute("UPDATE integration_configs SET cache_ttl_seconds = -5, "
        .. "settings = '{\"slow_call_ms\":\"x\"}'"))
      return 0
    ]])
    assert.equal(0, (project:run { "run", "break.lua" }))
    serve()
    local values = get().values
    assert.same({ 7, 3600, 50 }, { values.max_retries, values.cache_ttl_seconds, values.slow_call_ms })
    local _, status = service:request("GET", "/api/v1/status")
    local faults = table.concat(status.data.generation.errors, "\n")
    assert.matches("run%-time settings: shop.cache_ttl_seconds: expected a number from 0 to 31536000, got %-5", faults)
    assert.matches("run%-time settings: shop.slow_call_ms: expected a number", faults)
    assert.matches("a provider or a run%-time setting is left out", service:stdout())
    changed { max_retries = 8 }
    assert.equal(0, service:stop())
    local row = project:query("SELECT max_retries, cache_ttl_seconds, settings FROM integration_configs")[1]
    assert.same({ max_retries = 8, cache_ttl_seconds = -5, settings = '{"slow_call_ms":"x"}' }, row)
  end)


  it("refuses to write over a row that cannot be read", function()
    serve()
    changed { max_retries = 7, slow_call_ms = 5 }
    assert.equal(0, service:stop())
    project:write("break.lua", [[
      local store = require "tide.store"
      assert(store.open("sqlite:var/tidegate.db"))
      assert(store.execute("UPDATE integration_configs SET settings = '{broken'"))
      return 0
    ]])
    assert.equal(0, (project:run { "run", "break.lua" }))
    serve()
    assert.matches("run%-time settings of shop: the column settings of its row", service:stdout())
    assert.equal(7, seen().retries)
    local status, problem = patch { max_retries = 8 }
    assert.same({ 409, "conflict" }, { status, problem.code })
    assert.matches("the column settings of its row in integration_configs is not a JSON object", problem.detail)
  end)


  it("ends consistent when fifty change one key at the same time, without a gap in the versions", function()
    serve { workers = 4 }
    local branches = {}
    for index = 1, 50 do
      branches[index] = function()
        return (service:request("PATCH", PATH, { json = { max_retries = index }, fresh_connection = true }))
      end
    end
    for _, status in ipairs(task.all(branches, { limit = 50 })) do
      assert.equal(200, status)
    end
    local all, values = history("?limit=500"), {}
    assert.equal(50, #all)
    for index, entry in ipairs(all) do
      assert.equal(51 - index, entry.version)
      assert.same(entry.patch, entry.settings)
      values[entry.patch.max_retries] = true
    end
    assert.equal(50, #values)
    assert.equal(all[1].settings.max_retries, get().values.max_retries)
    assert.equal(all[1].settings.max_retries, seen().retries)
  end)
end)
