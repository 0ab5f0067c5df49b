local time = require "tide.time"


describe("tide.time", function()
  it("tells wall and monotonic time", function()
    assert.is_true(time.now() > 1700000000)
    local before = time.monotonic()
    assert.is_true(time.monotonic() >= before)
  end)


  it("writes RFC 3339 with milliseconds, in UTC", function()
    assert.equal("2026-01-15T09:00:00.000Z", time.format(1768467600))
    assert.equal("2026-01-15T09:00:00.123Z", time.format(1768467600.123))
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", time.format())
  end)


  it("reads RFC 3339 with any offset", function()
    assert.equal(1768467600, time.parse("2026-01-15T18:00:00+09:00"))
    assert.equal(1768467600.25, time.parse("2026-01-15T09:00:00.25Z"))
    local seconds, message, code = time.parse("2026-02-30T09:00:00Z")
    assert.is_nil(seconds)
    assert.matches("no such day", message)
    assert.equal("invalid_time", code)
  end)


  it("writes and reads the dates of HTTP", function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", time.format_http(784111777.9))
    assert.equal(784111777, time.parse_http("Sun, 06 Nov 1994 08:49:37 GMT"))
    assert.equal(784111777, time.parse_http("Sunday, 06-Nov-94 08:49:37 GMT"))
    assert.equal(784111777, time.parse_http("Sun Nov  6 08:49:37 1994"))
    assert.is_nil((time.parse_http("tomorrow")))
  end)


  it("formats at a fixed offset", function()
    assert.equal("20260115180000 +0900", time.strftime("%Y%m%d%H%M%S %z", 1768467600, 540))
    assert.equal("2026-01-15", time.strftime("%F", 1768467600))
    assert.has_error(function() time.strftime("%Q", 0) end)
    assert.has_error(function() time.strftime("%Y", 0, 1441) end)
  end)


  it("raises for instants that have no four-digit year", function()
    for _, bad in ipairs { 1e300, -1e300, 1 / 0, 0 / 0, 253402300800 } do
      assert.has_error(function() time.format(bad) end)
      assert.has_error(function() time.format_http(bad) end)
    end
  end)
end)
