local json = require "tide.json"
local secrets = require "tide.state.secrets"

local OWNER <const> = "log_spec"


describe("tide.log", function()
  local lines, log, engine, loaded

  before_each(function()
    lines = {}
    loaded = { engine = package.loaded["tide.engine.log"], log = package.loaded["tide.log"] }
    engine = {
      level = "debug",
      write = function(line) lines[#lines + 1] = line end,
      enabled = function(level) return level ~= "debug" or engine.level == "debug" end,
      set_level = function(level) engine.level = level end,
      stats = function() return { dropped = 0 } end,
    }
    package.loaded["tide.engine.log"], package.loaded["tide.log"] = engine, nil
    log = require "tide.log"
  end)

  after_each(function()
    package.loaded["tide.engine.log"], package.loaded["tide.log"] = loaded.engine, loaded.log
    for _, secret in ipairs(secrets.list(OWNER)) do secrets.remove(OWNER, secret.name) end
  end)


  local function last()
    return assert(json.decode(lines[#lines]))
  end


  it("writes time, level and message first, then the fields", function()
    log.info("call ended", { trace_id = "abc", duration_ms = 12, nested = { list = { 1, 2 } } })
    assert.matches('^{"time":"%d%d%d%d%-[^"]+Z","level":"info","message":"call ended",', lines[1])
    assert.equal("abc", last().trace_id)
    assert.equal(12, last().duration_ms)
    assert.same({ 1, 2 }, { table.unpack(last().nested.list) })
  end)


  it("writes every level, and those only that are on", function()
    for _, level in ipairs { "debug", "info", "warn", "error" } do
      log[level]("m")
      assert.equal(level, last().level)
    end
    log.set_level("info")
    log.debug("m")
    assert.equal(4, #lines)
  end)


  it("keeps one event on one line, without what a terminal would act on", function()
    log.warn("a\nb\27[31m\0c", { ["x\n"] = "y\r\n\7" })
    assert.is_nil(lines[1]:find("[%c]"))
    assert.equal("a\nb\27[31m\0c", last().message)
  end)


  it("takes out members with sensitive names, at any depth", function()
    log.info("m", {
      authorization = "Bearer abc", Cookie = "c", ["Set-Cookie"] = "s", password = "p", api_key = "k",
      ["X-Api-Key"] = "k", app_secret = "s", nested = { { refresh_token = "r" } }, private_key = "pem",
      signature = "sig", harmless = "shown",
    })
    local event = last()
    assert.equal("shown", event.harmless)
    for _, name in ipairs { "authorization", "Cookie", "Set-Cookie", "password", "api_key", "X-Api-Key",
      "app_secret", "private_key", "signature" } do
      assert.equal("[redacted]", event[name])
    end
    assert.equal("[redacted]", event.nested[1].refresh_token)
  end)


  it("takes out the values of known secrets, in the message and in fields", function()
    secrets.put(OWNER, "key", 'very"secret/value', "stored")
    log.error('failed with very"secret/value', { url = "https://a.example/?q=very%22secret%2Fvalue" })
    assert.is_nil(lines[1]:find("secret/value", 1, true))
    assert.is_nil(lines[1]:find("secret%2Fvalue", 1, true))
    assert.equal("failed with [redacted]", last().message)
  end)


  it("cuts a long message after it is redacted, at a character", function()
    secrets.put(OWNER, "key", "0123456789abcdef", "stored")
    log.info(("한"):rep(5459) .. "0123456789abcdef")
    assert.is_nil(lines[1]:find("01234567", 1, true))
    assert.is_true(#last().message <= 16384)
    log.info(("한"):rep(6000))
    assert.is_true(#last().message <= 16384)
    assert.matches("^한한", last().message)
  end)


  it("shows what cannot be shown as well as it can", function()
    log.info("bad \xff bytes", { nan = 0 / 0, fn = print, ["k\xff"] = 1, text = "\xff" })
    assert.matches("^bad .+ bytes$", last().message)
    log.info(nil)
    assert.equal("nil", last().message)
    log.info(setmetatable({}, { __tostring = function() error("no") end }))
    assert.equal("(table)", last().message)
    assert.equal(3, #lines)
  end)


  it("keeps time, level and message its own", function()
    log.info("m", { time = 1, level = "x", message = "y", other = 2 })
    assert.equal("m", last().message)
    assert.equal("info", last().level)
    assert.equal(2, last().other)
  end)


  it("leaves fields out that would make the line too long", function()
    local fields = {}
    for index = 1, 10 do fields["f" .. index] = ("x"):rep(60000) end
    log.info("m", fields)
    assert.is_true(#lines[1] < 256 * 1024)
    assert.equal("(too long)", last().fields)
  end)


  it("raises for fields that are no table", function()
    assert.has_error(function() log.info("m", "fields") end)
  end)
end)
