local http = require "tide.http"
local server = require "tide.server"
local task = require "tide.task"
local time = require "tide.time"


describe("tide.http", function()
  local listener, handler, origin
  local held, holding


  -- A handler that does not answer before the test is over.
  local function hold(request)
    holding = holding + 1
    while held do
      task.sleep(0.005)
    end
    request:respond(200)
    holding = holding - 1
  end


  local function release()
    held = false
    while holding > 0 do
      task.sleep(0.005)
    end
  end


  before_each(function()
    held, holding = true, 0
    handler = function(request)
      request:respond(200, { "X-Answer", "yes" }, "hello")
    end
    listener = assert(server.listen("127.0.0.1:0", function(request)
      return handler(request)
    end))
    origin = "http://" .. listener.address
  end)


  after_each(function()
    release()
    listener:close()
  end)


  local function get(fields)
    local request = { method = "GET", url = origin .. "/", timeout_seconds = 5 }
    for key, value in pairs(fields or {}) do
      request[key] = value
    end
    return http.request(request)
  end


  local function header(response, name)
    for _, pair in ipairs(response.headers) do
      if pair[1] == name then
        return pair[2]
      end
    end
  end


  describe("request", function()
    it("returns the whole answer", function()
      local response = assert(get())
      assert.equal(200, response.status)
      assert.equal("hello", response.body)
      assert.equal("yes", header(response, "X-Answer"))
      assert.equal("127.0.0.1", response.remote_address)
      assert.is_boolean(response.reused)
      for _, name in ipairs { "total_ms", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms" } do
        assert.is_number(response.timings[name])
      end
      assert.is_true(response.timings.total_ms >= response.timings.first_byte_ms)
    end)


    it("sends method, headers and body as they are", function()
      local seen = {}
      handler = function(request)
        seen = { request.method, request.target, request:header("x-one"), request:header("empty"), request.body }
        request:respond(204)
      end
      local body = ("b\0y"):rep(1000)
      local response = assert(get({
        method = "PATCH",
        url = origin .. "/a%20b?c=d#e",
        headers = { { "X-One", "1" }, { "Empty", "" }, { "X-One", "2" } },
        body = body,
      }))
      assert.equal(204, response.status)
      assert.equal("", response.body)
      assert.same({ "PATCH", "/a%20b?c=d", "1, 2", "", body }, seen)
    end)


    it("keeps the body alive while it waits, whatever becomes of the table", function()
      local received
      handler = function(request)
        task.sleep(0.02)
        received = request.body
        request:respond(200)
      end
      local request = { method = "POST", url = origin, body = ("x"):rep(100000) .. tostring(time.now()) }
      local length = #request.body
      local child = task.spawn(function()
        return http.request(request)
      end)
      task.yield()
      request.body = nil
      collectgarbage()
      collectgarbage()
      assert.is_true((child:join()))
      assert.equal(length, #received)
    end)


    it("returns answers of any status, redirects among them", function()
      for _, status in ipairs { 302, 404, 500 } do
        handler = function(request)
          request:respond(status, { "Location", "/elsewhere" }, "")
        end
        assert.equal(status, assert(get()).status)
      end
    end)


    it("uses a connection again, unless a new one is asked for", function()
      assert(get())
      assert.is_true(assert(get()).reused)
      assert.is_false(assert(get({ fresh_connection = true })).reused)
    end)


    it("says when the time is over and whether anything was sent", function()
      handler = hold
      local before = time.monotonic()
      local response, message, code, sent = get({ timeout_seconds = 0.1 })
      assert.is_nil(response)
      assert.equal("timeout", code)
      assert.matches("0.1 s", message, 1, true)
      assert.is_true(sent)
      local took = time.monotonic() - before
      assert.is_true(took >= 0.1 and took < 1, "took " .. took)
      release()
    end)


    it("says that nothing was sent when nobody listens", function()
      listener:close()
      local response, message, code, sent = get({ method = "POST" })
      assert.is_nil(response)
      assert.matches("cannot connect to http://127.0.0.1", message, 1, true)
      assert.equal("network_error", code)
      assert.is_false(sent)
    end)


    it("refuses an answer over max_response_bytes", function()
      assert.equal("hello", assert(get({ max_response_bytes = 5 })).body)
      local _, message, code = get({ max_response_bytes = 4 })
      assert.equal("too_large", code)
      assert.matches("larger than 4 bytes", message, 1, true)
    end)


    it("reaches declared hosts and no others", function()
      local _, message, code, sent = get({ hosts = { "api.acme.example", "*.files.example" } })
      assert.equal("host_refused", code)
      assert.matches("127.0.0.1", message, 1, true)
      assert.is_false(sent)
      assert.equal("host_refused", (select(3, get({ hosts = {} }))))
      assert.truthy(get({ hosts = { "127.0.0.1" } }))
    end)


    it("reaches private addresses only as `private` allows", function()
      assert.truthy(get({ private = "allow" }))
      assert.truthy(get({ private = "literal" }))
      local _, message, code, sent = get({ private = "deny" })
      assert.equal("address_refused", code)
      assert.matches("loopback", message)
      assert.is_false(sent)
      assert.equal("address_refused", (select(3, get({ url = "http://169.254.169.254/" }))))
    end)


    it("cancels with its task, and leaves nothing behind", function()
      handler = hold
      local before = http.stats()
      local child = task.spawn(get)
      repeat task.sleep(0.005) until holding > 0
      assert.equal(before.in_flight + 1, http.stats().in_flight)
      child:cancel()
      child:join()
      assert.equal(before.in_flight, http.stats().in_flight)
      assert.equal(before.cancelled + 1, http.stats().cancelled)
      release()
    end)


    it("runs two hundred at a time", function()
      handler = function(request)
        task.sleep(0.01)
        request:respond(200, nil, request.query)
      end
      local calls = {}
      for index = 1, 200 do
        calls[index] = function()
          return assert(get({ url = origin .. "/?" .. index })).body
        end
      end
      local bodies = task.all(calls, { limit = 200 })
      for index = 1, 200 do
        assert.equal(tostring(index), bodies[index])
      end
    end)


    it("raises for what is not fit to be sent", function()
      local wrong = {
        { { method = "GE T" }, "method" },
        { { method = "get" }, "upper" },
        { { method = 1 }, "method: string expected" },
        { { url = "ftp://acme.example/" }, "http://" },
        { { url = origin .. "/a b" }, "space" },
        { { url = origin .. "/\r\nX: y" }, "control" },
        { { url = "http://user:secret@acme.example/" }, "user name" },
        { { url = origin .. "/\0" }, "NUL" },
        { { headers = { { "X", "a\r\nY: b" } } }, "line break" },
        { { headers = { { "X\n", "a" } } }, "header name" },
        { { headers = { { "X", 1 } } }, "headers%[1%]" },
        { { headers = { "X: 1" } }, "headers%[1%]" },
        { { headers = { { "Content-Length", "1" } } }, "Content%-Length" },
        { { body = {} }, "body" },
        { { timeout_seconds = 0 }, "timeout_seconds" },
        { { timeout_seconds = 0 / 0 }, "timeout_seconds" },
        { { connect_timeout_seconds = "1" }, "connect_timeout_seconds" },
        { { max_response_bytes = -1 }, "max_response_bytes" },
        { { max_response_bytes = 1.5 }, "max_response_bytes" },
        { { hosts = { "http://acme.example" } }, "hosts" },
        { { private = "maybe" }, "private" },
        { { http2 = "yes" }, "http2" },
        { { tls = { ca = 1 } }, "ca: string expected" },
      }
      local before = task.stats().live_operations
      for _, case in ipairs(wrong) do
        local ok, message = pcall(get, case[1])
        assert.is_false(ok)
        assert.matches(case[2], message)
        assert.not_matches("secret", message)
      end
      assert.has_error(function()
        http.request("http://acme.example")
      end)
      assert.equal(before, task.stats().live_operations)
    end)
  end)


  describe("parse_url", function()
    it("splits a URL", function()
      assert.same(
        {
          scheme = "https",
          host = "api.acme.example",
          port = 8443,
          path = "/v2/a%2Fb",
          query = "c=d",
          origin = "https://api.acme.example:8443",
        },
        http.parse_url("HTTPS://API.acme.example:8443/v2/a%2Fb?c=d#e")
      )
      assert.same(
        { scheme = "http", host = "::1", port = 80, path = "/", origin = "http://[::1]" },
        http.parse_url("http://[0::1]:80")
      )
    end)


    it("refuses what is none", function()
      for _, text in ipairs { "", "/path", "acme.example", "http://a@b/", "http://127.1/", "http://a/\n" } do
        local url, message, code = http.parse_url(text)
        assert.is_nil(url)
        assert.is_string(message)
        assert.equal("invalid_input", code)
      end
    end)
  end)


  describe("queries", function()
    it("are encoded in the order of their keys", function()
      assert.equal("", http.encode_query({}))
      assert.equal(
        "a=1&b=x%20%26%3D&b=true&c=1.5&d=",
        http.encode_query({ d = "", c = 1.5, b = { "x &=", true }, a = 1, e = {} })
      )
    end)


    it("are encoded in the order of a list", function()
      assert.equal("z=1&a=%ED%95%9C&z=2", http.encode_query({ { "z", 1 }, { "a", "한" }, { "z", 2 } }))
    end)


    it("raise for values that have no text", function()
      for _, query in ipairs { { a = { {} } }, { { "a" } }, { "a" }, { a = print }, { [true] = 1 } } do
        assert.has_error(function()
          http.encode_query(query)
        end)
      end
    end)


    it("are decoded, a key that comes twice into a list", function()
      assert.same(
        { a = { "1", "2", "3" }, b = "x y+", c = "", [""] = "d" },
        http.decode_query("a=1&b=x+y%2B&a=2&c&=d&&a=3")
      )
      local query, message, code = http.decode_query("a=%4")
      assert.is_nil(query)
      assert.is_string(message)
      assert.equal("invalid_input", code)
    end)


    it("come back as they were", function()
      local query = { one = "a\0b&=+% ", ["two words"] = { "ä", "" } }
      assert.same(query, http.decode_query(http.encode_query(query)))
    end)


    it("leave unreserved characters alone", function()
      assert.equal("aZ09-._~", http.encode("aZ09-._~"))
      assert.equal("%2F%3F%25%20%00%FF", http.encode("/?% \0\xff"))
    end)
  end)
end)
