local docs_configuration = require "tide.docs.configuration"
local json = require "tide.json"
local schema = require "tide.settings.schema"
local settings = require "tide.settings"
local settings_type = require "tide.settings.type"

local seed = tonumber(os.getenv("SEED")) or os.time()


local function environment(variables)
  return function(name) return variables[name] end
end


local function faults(text)
  local config, where = settings.load("config.lua", text, environment({}))
  assert.equal("table", type(config), where)
  local result = settings.check_config(config, where)
  return result == true and {} or result
end


-- A value of the right type for a key, and one of a wrong type.
local function right(key)
  if key.values then return key.type == "text_list" and { key.values[1] } or key.values[1] end
  local samples = {
    text = "x", boolean = true, object = { a = 1 }, list = {}, text_list = { "a" }, network_list = { "10.0.0.0/8" },
    text_or_list = "a", workers = "auto",
    url = "https://a.example", base_url = "https://a.example", name = "acme",
    tls = { certificate = "c", key = "k" },
    integration = {}, integrations = {}, number_list = { key.min or 1 },
  }
  return samples[key.type] or key.default or key.min
end


local WRONG = {
  text = 5, boolean = "maybe", object = "x", list = "x", text_list = { 5 }, network_list = { "10.0.0.0/40" },
  text_or_list = 5,
  workers = "many",
  url = "nowhere", base_url = "ftp://x", name = "Not a name", tls = { certificate = "c" },
  integration = 5,
  integrations = "x", number_list = { "x" }, integer = 1.5, number = "fast",
}


describe("config.lua", function()
  it("sees env and nothing else", function()
    local config = settings.load("config.lua",
      'return { redis = env("R", "d"), store = env("S"), listen = env("L") }',
      environment({ S = "sqlite:/x.db" }))
    assert.equal("d", config.redis)
    assert.equal("sqlite:/x.db", config.store)
    assert.is_nil(config.listen)
    for _, name in ipairs({ "os", "io", "require", "string", "_G", "load", "print" }) do
      local result, err = settings.load("config.lua", "\nreturn { a = " .. name .. " }",
        environment({}))
      assert.is_nil(result)
      assert.truthy(err:find("^config.lua:2: "), err)
      assert.truthy(err:find(name, 1, true), err)
    end
  end)

  it("that does not parse, raises or returns no table is an error with its line", function()
    for _, text in ipairs({ "\nreturn {", "\nreturn { a = nil + 1 }", "\nenv()", '\nenv {}' }) do
      local result, err = settings.load("config.lua", text, environment({}))
      assert.is_nil(result)
      assert.truthy(err:find("^config.lua:%d+: "), err)
    end
    for _, text in ipairs({ "", "return 5", "return nil", "return 'x'" }) do
      local result, err = settings.load("config.lua", text, environment({}))
      assert.is_nil(result)
      assert.truthy(err:find("must return a table", 1, true), err)
    end
  end)

  it("as bytecode is refused", function()
    local result = settings.load("config.lua", string.dump(function() return {} end),
      environment({}))
    assert.is_nil(result)
  end)

  it("that holds itself is refused", function()
    local config = settings.load("config.lua", "local t = {} t.defaults = t return t",
      environment({}))
    local result = settings.check_config(config or {})
    assert.is_true(config == nil or result ~= true)
  end)

  it("is named in full however long its path is", function()
    local path = "/" .. ("long/"):rep(30) .. "config.lua"
    local _, err = settings.load(path, "return {", environment({}))
    assert.equal(path .. ":1: ", err:sub(1, #path + 4))
  end)

  it("has its relative paths resolved against its folder", function()
    local text = [[return { data_dir = "var", providers = { "a", "/b" }, store = "sqlite:var/t.db",
      listen = { "127.0.0.1:0", "unix:run/s" }, tls = { certificate = "c.pem", key = "/k.pem" } }]]
    local config = settings.load("/etc/tide/config.lua", text, environment({}))
    assert.equal("/etc/tide/var", config.data_dir)
    assert.same({ "/etc/tide/a", "/b" }, config.providers)
    assert.equal("sqlite:/etc/tide/var/t.db", config.store)
    assert.same({ "127.0.0.1:0", "unix:/etc/tide/run/s" }, config.listen)
    assert.same({ certificate = "/etc/tide/c.pem", key = "/k.pem" }, config.tls)
    assert.equal("var", settings.load("config.lua", text, environment({})).data_dir)
    assert.equal("/etc/tide/providers", settings.with_defaults({},
      "/etc/tide/config.lua").providers)
    assert.equal("postgres://h/d", settings.load("/x/c.lua", 'return { store = "postgres://h/d" }',
      environment({})).store)
  end)

  it("that is empty is right and has every built-in value", function()
    local config = settings.load("config.lua", "return {}", environment({}))
    assert.is_true(settings.check_config(config))
    local values = settings.with_defaults(config, "config.lua")
    assert.equal("127.0.0.1:8080", values.listen)
    assert.equal(1048576, values.max_request_bytes)
    assert.equal(30, values.drain_seconds)
  end)

  it("property 34: any unknown key is found at start, with its line and what was meant", function()
    math.randomseed(seed)
    for _, list in ipairs({ schema.top, schema.integration }) do
      for _, key in ipairs(list) do
        if #key.name > 4 then
          local position = math.random(2, #key.name)
          local wrong = key.name:sub(1, position - 1) .. key.name:sub(position + 1)
          local known = list == schema.top and schema.top_by_name or schema.integration_by_name
          if not known[wrong] then
            local text = list == schema.top and ("return {\n\n %s = 1 }"):format(wrong)
              or ("return { integrations = { acme = {\n\n %s = 1 } } }"):format(wrong)
            local found = faults(text)
            local because = ("seed %d: %s: %s"):format(seed, wrong, tostring(found[1]))
            assert.equal(1, #found, because)
            assert.truthy(found[1]:find("^config.lua:3: "), because)
            assert.truthy(found[1]:find("unknown key (did you mean ", 1, true), because)
          end
        end
      end
    end
  end)

  it("property 34: any value of a wrong type is found at start, naming the key and what was "
    .. "expected", function()
    for _, key in ipairs(schema.top) do
      local config = { [key.name] = WRONG[key.type] }
      local result = settings.check_config(config)
      assert.equal("table", type(result), key.name)
      assert.truthy(result[1]:find(key.name, 1, true), result[1])
      assert.truthy(result[1]:find("expect", 1, true) or result[1]:find("URL", 1, true), result[1])
      assert.is_true(settings.check_config({ [key.name] = right(key) }), key.name)
    end
    for _, key in ipairs(schema.integration) do
      for _, place in ipairs({ "defaults", "integrations" }) do
        local function config(value)
          local members = { [key.name] = value }
          return place == "defaults" and { defaults = members }
            or { integrations = { acme = members } }
        end
        local result = settings.check_config(config(WRONG[key.type]))
        assert.equal("table", type(result), key.name)
        assert.truthy(result[1]:find(key.name, 1, true), result[1])
        if key.name ~= "provider" then
          assert.is_true(settings.check_config(config(right(key))), key.name)
        end
      end
    end
  end)

  it("property 34: any number outside its bounds is found at start", function()
    for _, key in ipairs(schema.integration) do
      if key.type == "integer" or key.type == "number" then
        for _, value in ipairs({ key.min - 1, key.max + 1, 0 / 0, math.huge }) do
          assert.equal("table", type(settings.check_config({ defaults = { [key.name] = value } })),
            key.name)
        end
      end
    end
  end)

  it("property 34: all faults are reported at once", function()
    local found = faults([[return {
      listn = "x",
      workers = -1,
      defaults = { timeout_seconds = "x", provider = "a" },
      integrations = { Acme = {}, b = 5, c = { is_mock = true } },
    }]])
    assert.equal(7, #found, table.concat(found, "\n"))
  end)

  it("property 34: no value is repeated in a fault, as it may be a credential", function()
    local found = faults([[return { integrations = { acme = {
      max_retries = "hunter2-hunter2", base_url = "https://user:hunter2@h" } } }]])
    assert.equal(2, #found)
    for _, fault in ipairs(found) do
      assert.is_nil(fault:find("hunter2", 1, true), fault)
    end
  end)

  it("finds a key's line beside comments and other keys of that name", function()
    local found = faults([[
-- timeout_second = 5
return {
  defaults = { timeout_seconds = 5 },
  integrations = {
    a = { timeout_seconds = 5 },
    ["b"] = {
      -- timeout_seconds = 7
      timeout_seconds = "x" },
  },
}]])
    assert.same(1, #found)
    assert.truthy(found[1]:find("^config.lua:8: integrations.b.timeout_seconds: expected a number"),
      found[1])
  end)
end)


describe("settings", function()
  it("have a description for every key, and a default that its own type takes", function()
    for _, list in ipairs({ schema.top, schema.integration }) do
      for _, key in ipairs(list) do
        assert.truthy(settings_type.types[key.type], key.name)
        assert.truthy(#key.description > 10, key.name)
        if key.default ~= nil then
          assert.is_nil(settings_type.fault(key, key.default), key.name)
        end
      end
    end
  end)

  it("have the columns of integration_configs, with their defaults", function()
    local columns = {
      is_enabled = true, is_mock_mode = false, timeout_seconds = 30, max_retries = 3,
      retry_backoff_factor = 2.0,
      retry_max_delay_seconds = 60, circuit_breaker_enabled = true,
      circuit_breaker_failure_threshold = 5,
      circuit_breaker_timeout_seconds = 60, rate_limit_enabled = true,
      rate_limit_calls_per_minute = 60,
      rate_limit_calls_per_hour = 1000, cache_enabled = true, cache_ttl_seconds = 3600,
    }
    local values = settings.effective("acme", {})
    for name, default in pairs(columns) do
      assert.equal(default, values[name], name)
      assert.is_true(schema.integration_by_name[name].column, name)
    end
  end)

  it("ask for the role admin where the API does", function()
    local admin = {}
    for _, key in ipairs(schema.integration) do
      if key.admin then
        admin[#admin + 1] = key.name
      end
    end
    table.sort(admin)
    assert.same({ "allow_private_networks", "base_url", "extra_config", "log_bodies",
      "redact_fields", "webhook_ip_allowlist" }, admin)
  end)

  it("take each layer before the one below, and say where a value came from", function()
    local layers = {
      { "provider", { provider = { max_retries = 1 } } },
      { "defaults", { defaults = { max_retries = 2 } } },
      { "integration", { integration = { max_retries = 4 } } },
      { "environment", { getenv = environment({ TIDEGATE_ACME_MAX_RETRIES = "5" }) } },
      { "run-time", { overrides = { max_retries = 6 } } },
    }
    local given = {}
    local values, sources = settings.effective("acme", given)
    assert.equal(3, values.max_retries)
    assert.equal("built-in", sources.max_retries)
    for _, layer in ipairs(layers) do
      for key, value in pairs(layer[2]) do
        given[key] = value
      end
      values, sources = settings.effective("acme", given)
      assert.equal(layer[1], sources.max_retries)
      assert.equal(({ provider = 1, defaults = 2, integration = 4, environment = 5,
        ["run-time"] = 6 })[layer[1]], values.max_retries)
    end
  end)

  it("keep a false of a higher layer, and pass over a null of a run-time row", function()
    local values, sources = settings.effective("acme", {
      integration = { cache_enabled = false },
      overrides = { cache_enabled = json.null, max_retries = json.null },
    })
    assert.is_false(values.cache_enabled)
    assert.equal("integration", sources.cache_enabled)
    assert.equal(3, values.max_retries)
  end)

  it("merge extra_config key by key, null removing a key", function()
    local values, sources = settings.effective("acme", {
      provider = { extra_config = { language = "ko", fields = { a = "1", b = "2" }, list = { 1, 2 },
        gone = { x = 1 } } },
      defaults = { extra_config = { fields = { b = "3" } } },
      integration = { extra_config = { list = { 9 }, fields = { a = json.null } } },
      getenv = environment({ TIDEGATE_ACME_EXTRA_CONFIG = '{"new":true}' }),
      overrides = { extra_config = { gone = json.null } },
    })
    assert.same({ language = "ko", fields = { b = "3" }, list = { 9 }, new = true },
      values.extra_config)
    assert.equal("provider", sources["extra_config.language"])
    assert.equal("defaults", sources["extra_config.fields.b"])
    assert.equal("environment", sources["extra_config.new"])
    assert.is_nil(sources["extra_config.fields.a"])
  end)

  it("share no table with a layer", function()
    local provider = { extra_config = { a = { b = 1 } }, redact_fields = { "x" } }
    local values = settings.effective("acme", { provider = provider })
    values.extra_config.a.b = 2
    values.redact_fields[1] = "y"
    assert.equal(1, provider.extra_config.a.b)
    assert.equal("x", provider.redact_fields[1])
    assert.equal(0, #schema.integration_by_name.redact_fields.default)
  end)

  describe("from the environment", function()
    local function read(key, text)
      local values, errors = settings.effective("acme",
        { getenv = environment({ ["TIDEGATE_ACME_" .. key:upper()] = text }) })
      return values and values[key], errors
    end

    it("are parsed as the key's type", function()
      assert.equal("integer", math.type((read("max_retries", "7"))))
      assert.equal(0.5, (read("mock_error_rate", "0.5")))
      assert.is_true((read("is_mock_mode", "true")))
      assert.is_false((read("is_enabled", "0")))
      assert.equal("https://b.example", (read("base_url", "https://b.example")))
      assert.same({ "smtp://a:25", "smtp://b:25" },
        (read("base_url", '["smtp://a:25","smtp://b:25"]')))
      assert.same({ "a", "b" }, (read("redact_fields", '["a","b"]')))
      assert.same({ 1, 2 }, (read("webhook_retry_seconds", "[1,2]")))
      assert.same({ a = 1 }, (read("extra_config", '{"a":1}')))
    end)

    it("are an error that names the variable when they do not parse", function()
      for key, text in pairs({ max_retries = "0x10", is_enabled = "maybe", timeout_seconds = "inf",
        extra_config = "{",
        redact_fields = "a,b", base_url = "nowhere", mock_error_rate = "2",
        rate_limit_burst = "1.5" }) do
        local value, errors = read(key, text)
        assert.is_nil(value, key)
        assert.truthy(errors[1]:find("TIDEGATE_ACME_" .. key:upper(), 1, true), errors[1])
      end
    end)

    it("never set the provider, which only config.lua does", function()
      assert.is_nil((read("provider", "other")))
    end)
  end)

  it("whose names would share a variable are an error", function()
    assert.same({},
      settings.variable_conflicts({ nice_dnb = { app_key = true }, nts = { service_key = true } }))
    local found = settings.variable_conflicts({ nice = { dnb_base_url = true }, nice_dnb = {} })
    assert.equal(1, #found)
    assert.truthy(found[1]:find("TIDEGATE_NICE_DNB_BASE_URL", 1, true))
    assert.equal(1, #settings.variable_conflicts({ a = { base_url = true } }))
    assert.equal(1, #settings.variable_conflicts({ a = { key = true, key_file = true } }))
    assert.equal(2, #settings.variable_conflicts({ master = { key = true } })) -- TIDEGATE_MASTER_KEY, and its file
    assert.equal(1, #settings.variable_conflicts({ a_b = { c = true }, a = { b_c = true } }) // 2)
  end)

  it("survive any text as a value of the environment", function()
    math.randomseed(seed)
    for _, key in ipairs(schema.integration) do
      for _ = 1, 20 do
        local text = {}
        for i = 1, math.random(0, 12) do
          text[i] = string.char(math.random(1, 255))
        end
        text = table.concat(text)
        local value, fault = settings_type.parse(key, text)
        assert.is_true(value ~= nil or type(fault) == "string",
          ("seed %d: %s"):format(seed, key.name))
      end
    end
  end)

  it("are documented, each key once", function()
    local page = docs_configuration.render()
    for _, list in ipairs({ schema.top, schema.integration }) do
      for _, key in ipairs(list) do
        assert.truthy(page:find("| `" .. key.name .. "` |", 1, true), key.name)
      end
    end
  end)
end)
