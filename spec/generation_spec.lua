local generation = require "tide.generation"
local json = require "tide.json"

local GOOD = [[
return {
  summary = "good",
  auth = { scheme = "bearer", secret = "api_key" },
  config = { base_url = "https://a.example", timeout_seconds = 7, extra_config = { language = "ko" } },
  operations = {
    get = { input = { type = "object" }, cache = true, idempotent = true, run = function() return 1 end },
    put = { run = function() end },
  },
}]]


local function file(name, text)
  return { name = name, path = "providers/" .. name .. ".lua", text = text or GOOD }
end


local function environment(variables)
  return function(name) return variables and variables[name] end
end


local function build(sources)
  sources.config = sources.config or {}
  sources.config_path = sources.config_path or "config.lua"
  sources.getenv = sources.getenv or environment()
  return generation.build(sources)
end


describe("generation", function()
  it("has every provider of the project with its operations", function()
    local g = assert(build({ files = { file("a"), file("b") }, version = 3 }))
    assert.equal(3, g.version)
    assert.same({}, g.errors)
    local a = g.integrations.a
    assert.equal("a", a.name)
    assert.equal("api", a.type)
    assert.equal("a", a.provider_name)
    assert.equal("providers/a.lua", a.path)
    assert.is_nil(a.error)
    assert.truthy(a.version:match("^%x%x%x%x%x%x%x%x%x%x%x%x$"))
    assert.truthy(a.loaded_at:match("^%d+%-%d+%-%d+T"))
    assert.same({ api_key = true }, a.declared_secrets)
    assert.equal("get", a.operations.get.name)
    assert.equal(a, a.operations.get.integration)
    assert.is_true(a.operations.get.cacheable)
    assert.is_true(a.operations.get.idempotent)
    assert.is_false(a.operations.put.cacheable)
    assert.is_nil(a.operations.put.idempotent)
    assert.equal("127.0.0.1:8080", g.config.listen)
  end)

  it("gives each integration its effective settings, read-only", function()
    local g = assert(build({
      files = { file("a") },
      config = { defaults = { max_retries = 1 }, integrations = { a = { is_mock_mode = true } } },
      getenv = environment({ TIDEGATE_A_MAX_RETRIES = "9" }),
      overrides = { a = { is_enabled = false, max_retries = json.null } },
    }))
    local a = g.integrations.a
    assert.equal(7, a.settings.timeout_seconds)
    assert.equal(9, a.settings.max_retries)
    assert.is_true(a.settings.is_mock_mode)
    assert.is_false(a.settings.is_enabled)
    assert.equal("ko", a.settings.extra_config.language)
    assert.equal("provider", a.settings_sources.timeout_seconds)
    assert.equal("environment", a.settings_sources.max_retries)
    assert.equal("integration", a.settings_sources.is_mock_mode)
    assert.equal("run-time", a.settings_sources.is_enabled)
    assert.has_error(function() a.settings.timeout_seconds = 1 end)
    assert.has_error(function() a.settings.extra_config.language = "en" end)
    assert.equal(7, a.values.timeout_seconds)
  end)

  it("lets the others serve when a provider does not load", function()
    local g = assert(build({ files = {
      file("good"), file("syntax", "\nreturn {"), file("raises", "\n\nlocal x = nil + 1"),
      file("wrong", "return {\n  oprations = {} }"), file("Bad-Name"),
    } }))
    assert.is_nil(g.integrations.good.error)
    local syntax = g.integrations.syntax
    assert.equal("providers/syntax.lua", syntax.error.file)
    assert.equal(2, syntax.error.line)
    assert.is_nil(syntax.provider)
    assert.same({}, syntax.operations)
    assert.equal("table", type(syntax.settings))
    assert.equal(3, g.integrations.raises.error.line)
    assert.equal(2, g.integrations.wrong.error.line)
    assert.truthy(g.integrations.wrong.error.message:find("did you mean operations?", 1, true))
    assert.truthy(g.integrations["Bad-Name"].error)
    assert.is_true(#g.errors >= 4)
    assert.equal("version 1: 1 integrations loaded, 4 not", generation.describe(g))
  end)

  it("makes an integration of its own of a second name for one provider", function()
    local source = GOOD:gsub("^return", "calls = 0\nreturn", 1)
    local g = assert(build({ files = { file("drive", source) }, config = { integrations = {
      drive2 = { provider = "drive", timeout_seconds = 3 },
    } } }))
    local drive, drive2 = g.integrations.drive, g.integrations.drive2
    assert.equal("drive", drive2.provider_name)
    assert.equal(7, drive.settings.timeout_seconds)
    assert.equal(3, drive2.settings.timeout_seconds)
    assert.equal(drive.version, drive2.version)
    -- Nothing of one is seen by the other.
    assert.are_not.equal(drive.operations.get.definition, drive2.operations.get.definition)
  end)

  it("has a bundled provider only where it is named, and the project's file first", function()
    local bundled = { { name = "nts", path = "bundled/nts.lua", text = GOOD },
      { name = "sms", path = "bundled/sms.lua", text = GOOD } }
    local g = assert(build({ bundled = bundled,
      config = { integrations = { nts = {}, text = { provider = "sms" } } } }))
    assert.equal("bundled/nts.lua", g.integrations.nts.path)
    assert.equal("bundled/sms.lua", g.integrations.text.path)
    assert.is_nil(g.integrations.sms)
    g = assert(build({ bundled = bundled, files = { file("nts") },
      config = { integrations = { nts = {} } } }))
    assert.equal("providers/nts.lua", g.integrations.nts.path)
  end)

  it("survives a provider whose table raises when it is looked at", function()
    local g = assert(build({ files = { file("a",
      "return setmetatable({}, { __index = function() error('no') end })"), file("b") } }))
    assert.truthy(g.integrations.a.error.message:find("while the provider was checked", 1, true))
    assert.is_nil(g.integrations.b.error)
  end)

  it("stops a provider that never ends, however it tries to go on", function()
    local endless = {
      plain = "while true do end",
      caught = "while true do pcall(function() while true do end end) end",
      looked_at = "return setmetatable({}, { __index = function() while true do end end })",
      repeated = 'local s = "" while true do s = ("x"):rep(1000) end',
    }
    local files = { file("good") }
    for name, text in pairs(endless) do
      files[#files + 1] = file(name, text)
    end
    local g = assert(build({ files = files, config = { script_timeout_ms = 50 } }))
    assert.is_nil(g.integrations.good.error)
    for name in pairs(endless) do
      local fault = g.integrations[name].error
      assert.truthy(fault.message:find("stopped", 1, true), fault.message)
      assert.equal("providers/" .. name .. ".lua", fault.file)
    end
  end)

  it("says which provider is not there, and which was meant", function()
    local g = assert(build({ files = { file("nice_dnb") },
      config = { integrations = { nice_dbn = {} } },
      config_text = "return {\n integrations = {\n  nice_dbn = {} } }" }))
    local missing = g.integrations.nice_dbn.error
    assert.truthy(missing.message:find("did you mean nice_dnb?", 1, true))
    assert.equal("config.lua", missing.file)
    assert.equal(3, missing.line)
  end)

  it("takes the first of two files of one name", function()
    local g = assert(build({ files = { file("a"),
      { name = "a", path = "more/a.lua", text = "return 5" } } }))
    assert.equal("providers/a.lua", g.integrations.a.path)
  end)

  it("gives providers the project's scripts, and a version that changes with them", function()
    local using = 'local shared = require "shared"\n' .. GOOD
    local function version(text)
      local g = assert(build({ files = { file("a", using), file("b") },
        scripts = { { name = "shared", path = "scripts/shared.lua", text = text } } }))
      assert.is_nil(g.integrations.a.error)
      assert.equal("shared", g.integrations.a.dependencies[1].name)
      return g.integrations.a.version, g.integrations.b.version
    end
    local a1, b1 = version("return 1")
    local a2, b2 = version("return 2")
    assert.are_not.equal(a1, a2)
    assert.equal(b1, b2)
  end)

  it("names the shared script that is wrong as the file of the error", function()
    local g = assert(build({ files = { file("a", 'local x = require "s"') },
      scripts = { { name = "s", path = "scripts/s.lua", text = "\n\n(" } } }))
    assert.equal("scripts/s.lua", g.integrations.a.error.file)
    assert.equal(3, g.integrations.a.error.line)
  end)

  it("property 34: is not built from a wrong configuration", function()
    local g, errors = build({ config = { lisen = 1 }, config_text = "return {\n lisen = 1 }" })
    assert.is_nil(g)
    assert.truthy(errors[1]:find("^config.lua:2: lisen: unknown key"), errors[1])
  end)

  it("property 34: is not built from a wrong variable of the environment", function()
    local g, errors = build({ files = { file("a") },
      getenv = environment({ TIDEGATE_A_MAX_RETRIES = "many" }) })
    assert.is_nil(g)
    assert.truthy(errors[1]:find("TIDEGATE_A_MAX_RETRIES", 1, true))
  end)

  it("property 34: is not built where two names would share a variable", function()
    local text = GOOD:gsub('"api_key"', '"b_api_key"')
    local g, errors = build({ files = { file("a", text), file("a_b") } })
    assert.is_nil(g)
    assert.truthy(errors[1]:find("TIDEGATE_A_B_API_KEY", 1, true))
  end)

  it("leaves out a run-time setting that is no longer valid, and says so", function()
    local g = assert(build({ files = { file("a") },
      overrides = { a = { max_retries = "x", gone_key = 1, is_enabled = false } } }))
    assert.equal(3, g.integrations.a.settings.max_retries)
    assert.is_false(g.integrations.a.settings.is_enabled)
    assert.equal(2, #g.errors)
  end)

  it("shares nothing with the one before", function()
    local sources = { files = { file("a") },
      config = { defaults = { extra_config = { x = { y = 1 } } } } }
    local first = assert(build(sources))
    local second = assert(build(sources))
    first.integrations.a.values.extra_config.x.y = 2
    assert.equal(1, second.integrations.a.values.extra_config.x.y)
    assert.are_not.equal(first.integrations.a.operations.get, second.integrations.a.operations.get)
  end)

  it("without providers is empty", function()
    assert.same({}, assert(build({})).integrations)
  end)
end)


describe("sources", function()
  local host = require "tide.host"
  local sources = require "tide.sources"

  it("that are not there are an error that names the file", function()
    local read, errors = sources.read("/nonexistent/config.lua", environment())
    assert.is_nil(read)
    assert.truthy(errors[1]:find("/nonexistent/config.lua", 1, true))
  end)

  it("are the configuration, providers and scripts of a project", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(host.make_directory(folder .. "/providers"))
    assert(host.make_directory(folder .. "/scripts"))
    finally(function()
      for _, path in ipairs({ "/config.lua", "/providers/a.lua", "/providers/.#a.lua",
        "/providers/notes.txt",
        "/scripts/s.lua", "/providers", "/scripts", "" }) do
        os.remove(folder .. path)
      end
    end)
    assert(host.write_file(folder .. "/config.lua", "return {}"))
    assert(host.write_file(folder .. "/providers/a.lua", GOOD))
    assert(host.write_file(folder .. "/providers/.#a.lua", "x"))
    assert(host.write_file(folder .. "/providers/notes.txt", "x"))
    assert(host.write_file(folder .. "/scripts/s.lua", "return 1"))
    local read = assert(sources.read(folder .. "/config.lua", environment()))
    assert.same({ { name = "a", path = folder .. "/providers/a.lua", text = GOOD } }, read.files)
    assert.equal("s", read.scripts[1].name)
    assert.truthy(generation.build(read).integrations.a.provider)

    assert(host.write_file(folder .. "/config.lua", 'return {\n providers = "nowhere" }'))
    local missing, errors = sources.read(folder .. "/config.lua", environment())
    assert.is_nil(missing)
    assert.truthy(errors[1]:find("config.lua:2: providers: there is no folder", 1, true), errors[1])

    assert(host.write_file(folder .. "/config.lua", "while true do end"))
    missing, errors = sources.read(folder .. "/config.lua", environment())
    assert.is_nil(missing)
    assert.truthy(errors[1]:find("stopped", 1, true), errors[1])
  end)
end)
