-- Run by `tidegate test`, on a third party that is made up here and a clock that does not wait.

local t = require "tide.test"


describe("weather", function()
  local weather


  before_each(function()
    weather = t.integration("weather", { secrets = { api_key = "a-key-for-tests" } })
  end)


  it("asks for the city, with the key", function()
    weather.upstream("GET /v1/weather/Seoul", { json = { temperature = 21.5, sky = "clear" } })
    local data, meta = weather.call("current", { city = " Seoul " })
    assert.same({ city = "Seoul", temperature = 21.5, sky = "clear" }, data)
    assert.is_false(meta.mock)
    assert.equal("Bearer a-key-for-tests", weather.requests[1].headers.authorization)
    assert.equal("celsius", weather.requests[1].query.units)
  end)


  it("asks once for as long as the answer is kept", function()
    weather.upstream("GET /v1/weather/Seoul", { json = { temperature = 21.5, sky = "clear" } })
    weather.call("current", { city = "Seoul" })
    local _, meta = weather.call("current", { city = "Seoul" })
    assert.is_true(meta.from_cache)
    t.advance(301)
    weather.call("current", { city = "Seoul" })
    assert.equal(2, #weather.requests)
  end)


  it("tries again when the third party is down for a moment", function()
    weather.upstream("GET /v1/weather/Seoul", { { status = 503 }, { json = { temperature = 3, sky = "snow" } } })
    local data, meta = weather.call("current", { city = "Seoul" })
    assert.equal("snow", data.sky)
    assert.equal(2, meta.attempts)
  end)


  it("refuses a blank city and says where it stands", function()
    local ok, err = pcall(weather.call, "current", { city = "  " })
    assert.is_false(ok)
    assert.equal("invalid_input", err.code)
    assert.equal("#/city", err.pointer)
    assert.equal(0, #weather.requests)
  end)


  it("answers in mock mode without asking anybody", function()
    local data, meta = weather.call("current", { city = "Seoul" }, { mock = true })
    assert.equal("Seoul", data.city)
    assert.is_true(meta.mock)
    assert.equal(0, #weather.requests)
  end)
end)
