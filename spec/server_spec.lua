local http = require "tide.http"
local server = require "tide.server"
local task = require "tide.task"


describe("tide.server", function()
  local listener
  local handler


  local function request(fields)
    local copy = { method = "GET", url = "http://" .. listener.address .. (fields.target or "/"), timeout_seconds = 5 }
    for key, value in pairs(fields) do
      if key ~= "target" then
        copy[key] = value
      end
    end
    return http.request(copy)
  end


  local function header(response, name)
    for _, pair in ipairs(response.headers) do
      if pair[1]:lower() == name then
        return pair[2]
      end
    end
  end


  local function assert_problem(response, status, code)
    assert.equal(status, response.status)
    assert.equal("application/problem+json", header(response, "content-type"))
    assert.matches("^%x+$", header(response, "x-trace-id"))
    assert.equal(32, #header(response, "x-trace-id"))
    local members = {
      ('"type":"urn:tidegate:error:%s"'):format(code),
      ('"status":%d'):format(status),
      ('"code":"%s"'):format(code),
      '"title":"',
      '"detail":"',
      '"retryable":false',
      ('"trace_id":"%s"'):format(header(response, "x-trace-id")),
    }
    for _, member in ipairs(members) do
      assert.is_truthy(response.body:find(member, 1, true), member .. " is not in " .. response.body)
    end
  end


  before_each(function()
    handler = nil
    listener = assert(server.listen("127.0.0.1:0", function(...)
      return handler(...)
    end, { max_body_bytes = 1000 }))
  end)


  after_each(function()
    listener:close()
  end)


  it("gives the handler the request and the client its answer", function()
    local seen = {}
    handler = function(req)
      for _, field in ipairs { "method", "target", "path", "query", "body", "version", "peer", "peer_uid", "gone" } do
        seen[field] = req[field]
      end
      seen.header, seen.absent, seen.unknown = req:header("x-one"), req:header("x-none"), req.no_such_field
      assert.is_true(req:respond(201, { "X-Two", "2", "x-three", "" }, "done\0"))
    end
    local res = assert(request {
      method = "POST",
      target = "/%61/%2f?b=%20",
      headers = { { "X-One", "1" }, { "x-one", "2" } },
      body = "in\0",
    })
    assert.equal(201, res.status)
    assert.equal("done\0", res.body)
    assert.equal("2", header(res, "x-two"))
    assert.equal("", header(res, "x-three"))
    assert.equal("POST", seen.method)
    assert.equal("/%61/%2f?b=%20", seen.target)
    assert.equal("/a/%2f", seen.path)
    assert.equal("b=%20", seen.query)
    assert.equal("in\0", seen.body)
    assert.equal("1.1", seen.version)
    assert.matches("^127%.0%.0%.1:%d+$", seen.peer)
    assert.equal("1, 2", seen.header)
    assert.is_false(seen.gone)
    assert.is_nil(seen.absent)
    assert.is_nil(seen.unknown)
    assert.is_nil(seen.peer_uid)
  end)


  it("lists headers in order with names in lower case", function()
    local names = {}
    handler = function(req)
      for _, pair in ipairs(req:headers()) do
        if pair[1]:match("^x%-") then
          names[#names + 1] = pair[1] .. "=" .. pair[2]
        end
      end
      req:respond(204)
    end
    assert.equal(204, assert(request { headers = { { "X-B", "1" }, { "X-A", "2" }, { "X-B", "3" } } }).status)
    assert.same({ "x-b=1", "x-a=2", "x-b=3" }, names)
  end)


  it("runs each request in a task of its own", function()
    local inside, most = 0, 0
    handler = function(req)
      inside = inside + 1
      most = math.max(most, inside)
      task.sleep(0.05)
      inside = inside - 1
      req:respond(200, nil, req.path)
    end
    local calls = {}
    for i = 1, 3 do
      calls[i] = task.spawn(function()
        return assert(request { target = "/" .. i }).body
      end)
    end
    for i = 1, 3 do
      local _, body = calls[i]:join()
      assert.equal("/" .. i, body)
    end
    assert.equal(3, most)
    assert.equal(0, listener:stats().requests)
    assert.equal(3, listener:stats().handled)
  end)


  it("keeps a request readable after its task has ended", function()
    local kept
    handler = function(req)
      kept = req
      req:respond(200)
    end
    assert(request { method = "POST", body = "kept" })
    collectgarbage()
    assert.equal("kept", kept.body)
    assert.has_error(function()
      kept:respond(200)
    end, "the request has been answered")
  end)


  it("answers 500 with a problem for a handler that raises or does not answer", function()
    handler = function()
      error("the secret of the handler")
    end
    local res = assert(request {})
    assert_problem(res, 500, "internal")
    assert.is_nil(res.body:find("secret", 1, true))
    handler = function() end
    assert_problem(assert(request {}), 500, "internal")
  end)


  it("answers a body that is too large with a problem, without the handler", function()
    handler = function()
      error("not reached")
    end
    assert_problem(assert(request { method = "POST", body = ("x"):rep(1001) }), 413, "payload_too_large")
    assert.equal(1, listener:stats().refused)
    assert.equal(0, listener:stats().handled)
  end)


  it("refuses headers that would split or reframe the answer", function()
    local messages = {}
    local function try(req, ...)
      local ok, message = pcall(req.respond, req, ...)
      assert.is_false(ok)
      messages[#messages + 1] = message
    end
    handler = function(req)
      try(req, 200, { "X-A", "b\r\nX-C: d" })
      try(req, 200, { "X A", "b" })
      try(req, 200, { "Content-Length", "3" })
      try(req, 200, { "X-A" })
      try(req, 200, { "X-A", 1 })
      try(req, 100)
      try(req, "ok")
      req:respond(200, nil, "sound")
    end
    assert.equal("sound", assert(request {}).body)
    assert.matches("control character", messages[1])
    assert.matches("not the name of a header", messages[2])
    assert.matches("set by the server", messages[3])
    assert.equal(7, #messages)
  end)


  it("names what is wrong with an address or an option", function()
    local none, message, code = server.listen("example.com:80", print)
    assert.is_nil(none)
    assert.matches("example.com:80", message, 1, true)
    assert.equal("invalid_input", code)
    none, message, code = server.listen(listener.address, print)
    assert.is_nil(none)
    assert.matches(listener.address, message, 1, true)
    assert.equal("address_in_use", code)
    assert.has_error(function()
      server.listen("127.0.0.1:0", print, { max_body = 1 })
    end)
    assert.has_error(function()
      server.listen("127.0.0.1:0", print, { max_body_bytes = 0 })
    end)
    assert.has_error(function()
      server.listen("127.0.0.1:0")
    end)
  end)


  it("serves two listeners on one port when both ask for it", function()
    local first <close> = assert(server.listen("127.0.0.1:0", print, { reuse_port = true }))
    local second <close> = assert(server.listen(first.address, print, { reuse_port = true }))
    assert.equal(first.address, second.address)
  end)


  it("answers what it has accepted while it drains, and takes no more", function()
    handler = function(req)
      listener:drain()
      task.sleep(0.01)
      req:respond(200, nil, "last")
    end
    local res = assert(request {})
    assert.equal("last", res.body)
    assert.equal("close", header(res, "connection"))
    local none, _, code = request {}
    assert.is_nil(none)
    assert.equal("network_error", code)
  end)


  it("ends its connections when it is closed, but not the tasks behind them", function()
    local finished, sent
    handler = function(req)
      listener:close()
      task.sleep(0.01)
      sent = req:respond(200)
      finished = req.gone
    end
    local none, _, code = request {}
    assert.is_nil(none)
    assert.equal("network_error", code)
    for _ = 1, 500 do
      if finished ~= nil then break end
      task.sleep(0.01)
    end
    assert.is_true(finished)
    assert.is_false(sent)
    assert.same({ 0, 0 }, { listener:stats().connections, listener:stats().handled })
  end)
end)
